"""The sockets of listeners, and what the kernel threw away because nobody was quick enough to read them."""

import contextlib
import errno
import os
import socket
import stat
from collections.abc import Sequence
from pathlib import Path

from opstrace import ports
from opstrace.config import Dogstatsd
from opstrace.errors import InstanceError

# Everybody on the machine may write; nobody else may read.
_MODE = 0o722


def opened(settings: Dogstatsd) -> list[socket.socket]:
    """Return a bound socket for each listener of a config; raise InstanceError when one cannot be had."""
    found: list[socket.socket] = []
    try:
        for listener in settings.listeners:
            found.append(_bound(listener.url))
            if settings.dogstatsd_so_rcvbuf:
                found[-1].setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, settings.dogstatsd_so_rcvbuf)
    except BaseException:
        close(settings, found)
        raise
    return found


def close(settings: Dogstatsd, sockets: Sequence[socket.socket]) -> None:
    """Close sockets, and remove the files of those that have one."""
    for listener, bound in zip(settings.listeners, sockets, strict=False):
        bound.close()
        if (path := _path(listener.url)) is not None:
            with contextlib.suppress(OSError):
                path.unlink()


def kernel_drops(bound: socket.socket) -> int:
    """Return how many datagrams a UDP socket has lost since it was opened; 0 for other sockets."""
    if bound.family not in (socket.AF_INET, socket.AF_INET6):
        return 0
    table = Path("/proc/net/udp6" if bound.family == socket.AF_INET6 else "/proc/net/udp")
    inode = str(os.fstat(bound.fileno()).st_ino)
    with contextlib.suppress(OSError):
        for columns in map(str.split, table.read_text(encoding="ascii").splitlines()[1:]):
            if columns[9] == inode:  # proc_pid_net(5): the inode is column 9, drops the last
                return int(columns[-1])
    return 0


def _path(url: str) -> Path | None:
    scheme, _, rest = url.partition("://")
    return None if scheme == "udp" else Path(rest)


def _bound(url: str) -> socket.socket:
    path = _path(url)
    if path is None:
        return ports.bound_udp(url)
    kind = socket.SOCK_DGRAM if url.startswith("unixgram://") else socket.SOCK_STREAM
    _clear(path, kind)
    bound = socket.socket(socket.AF_UNIX, kind)
    try:
        bound.bind(str(path))
        path.chmod(_MODE)
        if kind == socket.SOCK_STREAM:
            bound.listen(128)
    except OSError as error:
        bound.close()
        raise InstanceError(f"cannot listen on {url} (dogstatsd.listeners): {error.strerror or error}") from error
    return bound


def _clear(path: Path, kind: int) -> None:
    """Remove a socket's file that nobody listens at any more; raise InstanceError for anything else that is there."""
    if not os.path.lexists(path):
        return
    if not stat.S_ISSOCK(path.lstat().st_mode):
        raise InstanceError(f"{path} is there and is no socket; remove it, or change dogstatsd.listeners")
    with socket.socket(socket.AF_UNIX, kind) as probe:
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()
            return
        except OSError as error:
            # One of the other kind, of streams or of datagrams, has somebody who listens.
            if error.errno != errno.EPROTOTYPE:
                raise InstanceError(f"{path} is there and cannot be looked at: {error.strerror}") from error
    raise InstanceError(
        f"{path} is taken by another process, perhaps an Agent; stop it, or change dogstatsd.listeners"
    )
