"""The ports an instance listens on: which they are, whether they are free, and who has them if not."""

import contextlib
import errno
import ipaddress
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from opstrace.config import Config, udp_address
from opstrace.errors import InstanceError

HTTP_ADDRESS: Final = "127.0.0.1"  # plain HTTP is for this machine's own Agents only
_BACKLOG: Final = 1024  # connections that wait to be accepted
_LISTENING: Final = "0A"  # Linux: include/net/tcp_states.h
_SERVING: Final = ("up", "serve")  # commands that serve an instance


@dataclass(frozen=True, slots=True)
class Listener:
    """One address to listen on, and the config key its port comes from."""

    key: str
    address: str
    port: int

    @property
    def family(self) -> socket.AddressFamily:
        """The address's family."""
        return socket.AF_INET6 if ipaddress.ip_address(self.address).version == 6 else socket.AF_INET

    @property
    def reachable_address(self) -> str:
        """An address by which this machine itself gets here."""
        return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.address, self.address)  # noqa: S104  (a look-up)


def listeners(config: Config) -> list[Listener]:
    """Return what a server with this config listens on, HTTPS first."""
    found = [Listener("https_port", config.listen, config.https_port)]
    if config.http_port:
        found.append(Listener("http_port", HTTP_ADDRESS, config.http_port))
    return found


def check_free(config: Config) -> None:
    """Raise InstanceError for the first port that cannot be listened on."""
    for listener in listeners(config):
        bound_tcp(listener).close()
    for datagrams in config.dogstatsd.listeners if config.dogstatsd.enabled else ():
        if datagrams.url.startswith("udp://"):
            bound_udp(datagrams.url).close()


def bound_tcp(listener: Listener) -> socket.socket:
    """Return a socket that listens; raise InstanceError, naming who has the port."""
    bound = socket.socket(listener.family, socket.SOCK_STREAM)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((listener.address, listener.port))
        bound.listen(_BACKLOG)
        bound.setblocking(False)
    except OSError as error:
        bound.close()
        raise InstanceError(_reason(listener, error)) from error
    return bound


def bound_udp(url: str) -> socket.socket:
    """Return a socket that is bound to `udp://ADDRESS:PORT`; raise InstanceError, naming who has the port."""
    address, port = udp_address(url)
    bound = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM)
    try:
        bound.bind((address, port))
    except OSError as error:
        bound.close()
        raise InstanceError(_udp_reason(address, port, error)) from error
    return bound


def owner(port: int, *, udp: bool = False) -> str | None:
    """Return the process that listens on a port as `name (pid N)`, if /proc tells us."""
    inodes = set(_udp_inodes(port) if udp else _listening_inodes(port))
    for pid, inode in _sockets() if inodes else ():
        if inode in inodes:
            return f"{_command(pid)} (pid {pid})"
    return None


def _reason(listener: Listener, error: OSError) -> str:
    port, key = listener.port, listener.key
    if error.errno == errno.EADDRINUSE:
        by = owner(port) or "another process"
        return (
            f"port {port} on {listener.address} is taken by {by}; stop it, or set {key} in the config to a free port"
        )
    if error.errno == errno.EACCES:
        return f"port {port} needs privileges this user lacks; set {key} in the config to 1024 or more"
    if error.errno == errno.EADDRNOTAVAIL:
        return f"{listener.address} is not an address of this machine; set listen in the config to one that is"
    return f"cannot listen on {listener.address} port {port} ({key}): {error.strerror}"


def _udp_reason(address: str, port: int, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        by = owner(port, udp=True) or "another process, most likely a Datadog Agent's own DogStatsD"
        return (
            f"port {port} on {address} (UDP) is taken by {by}; stop it (of an Agent: use_dogstatsd: false), "
            "or set dogstatsd.listeners in the config to a free port"
        )
    return f"cannot listen on {address} port {port} (UDP; dogstatsd.listeners): {error.strerror}"


def _listening_inodes(port: int) -> Iterator[str]:
    for columns in _bound_sockets(port, "tcp"):
        if columns[3] == _LISTENING:
            yield columns[9]


def _udp_inodes(port: int) -> Iterator[str]:
    for columns in _bound_sockets(port, "udp"):
        yield columns[9]


def _bound_sockets(port: int, protocol: str) -> Iterator[list[str]]:
    """Yield the columns of sockets with this local port (proc_pid_net(5): address is column 1, state 3, inode 9)."""
    for table in (f"/proc/net/{protocol}", f"/proc/net/{protocol}6"):
        try:
            rows = Path(table).read_text(encoding="ascii").splitlines()[1:]
        except OSError:
            continue
        yield from (columns for columns in map(str.split, rows) if int(columns[1].rpartition(":")[2], 16) == port)


def _sockets() -> Iterator[tuple[int, str]]:
    """Yield (pid, inode) of all sockets of the processes we may look into."""
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it may not be looked into, or is gone
            for entry in (process / "fd").iterdir():
                if (target := _target(entry)).startswith("socket:["):
                    yield int(process.name), target[8:-1]


def _target(entry: Path) -> str:
    try:
        return str(entry.readlink())
    except OSError:  # closed meanwhile
        return ""


def _command(pid: int) -> str:
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
        if "opstrace" in words and (serving := next((word for word in words if word in _SERVING), "")):
            return f"the server of instance {words[words.index(serving) + 1] or 'default'}"
        return Path(f"/proc/{pid}/comm").read_text(errors="replace").strip()
    except (OSError, IndexError):
        return "a process"
