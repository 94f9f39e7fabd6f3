"""The process that serves an instance: one at a time, known by a lock the kernel drops when the process is gone.

The pid file only tells which process holds the lock; a stale one misleads nobody. A server in the background is born
with the lock, so that nobody finds the place free while it still loads.
"""

import fcntl
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from opstrace import atomic_file
from opstrace.errors import InstanceError
from opstrace.homes import Place, explained
from opstrace.instance import Instance

LOG_ROTATION_BYTES: Final = 16 * 1024 * 1024  # at a start, a longer log becomes server.log.1
_LOCK_PATIENCE_S: Final = 2.0  # others hold the lock for a moment when they look whether it is free


def pid_of(instance: Place) -> int | None:
    """Return the process id of an instance's running server: None if none runs, 0 if it has not told it yet."""
    with _lock_file(instance) as descriptor:
        if _take(descriptor, fcntl.LOCK_SH):
            return None
    try:
        pid = int(_pid_file(instance).read_text(encoding="ascii"))
    except (OSError, ValueError):
        return 0
    return pid if _has_open(pid, instance.home / "server.lock") else 0


def logs_to_file(instance: Place, pid: int) -> bool:
    """Say whether a running server writes to the instance's log; one in the foreground writes to standard error."""
    try:
        errors = Path(f"/proc/{pid}/fd/2").readlink()
    except OSError:  # another user's, or gone
        return True
    return str(errors).startswith(str(instance.log_file))  # also where that was put aside


def check_runs(instance: Place) -> None:
    """Raise InstanceError if no server of an instance runs: another one may listen in its place."""
    if pid_of(instance) is None:
        raise InstanceError(f"{instance.name} does not run; start it by `opstrace start {instance.name}`")


@contextmanager
def held(instance: Instance) -> Iterator[None]:
    """Be the instance's server while inside; raise InstanceError if another process is."""
    with _lock_file(instance) as descriptor:
        _take_patiently(descriptor, instance)
        with _told(instance):
            yield


@contextmanager
def inherited(instance: Instance, descriptor: int) -> Iterator[None]:
    """Be the instance's server while inside, with the lock that `spawn` gave to this process."""
    os.set_inheritable(descriptor, False)
    try:
        with _told(instance):
            yield
    finally:
        os.close(descriptor)


@contextmanager
def _told(instance: Instance) -> Iterator[None]:
    _tell_pid(instance, os.getpid())
    try:
        yield
    finally:
        _pid_file(instance).unlink(missing_ok=True)


def _tell_pid(instance: Instance, pid: int) -> None:
    with explained(f"cannot start the server of {instance.name}"):
        atomic_file.write(_pid_file(instance), str(pid))


def _pid_file(instance: Place) -> Path:
    return instance.home / "server.pid"


def rotate_log(instance: Instance) -> int:
    """Put a long log aside; return the length in bytes of the one that will be continued."""
    log = instance.log_file
    with explained(f"cannot put the log of {instance.name} aside"):
        size_bytes = log.stat().st_size if log.exists() else 0
        if size_bytes <= LOG_ROTATION_BYTES:
            return size_bytes
        log.replace(log.with_name(log.name + ".1"))
        return 0


@contextmanager
def spawned(instance: Instance) -> Iterator["subprocess.Popen[bytes]"]:
    """Start the server in the background, in a session of its own, writing to the instance's log.

    It stays when the context ends, but for an interruption: a server half started would be in the way of whatever
    comes next. Raises InstanceError if another process is the server.
    """
    process: subprocess.Popen[bytes] | None = None
    try:
        with _lock_file(instance) as lock, _log_file(instance) as log:
            _take_patiently(lock, instance)
            with _uninterrupted(), explained(f"cannot start the server of {instance.name}"):
                process = subprocess.Popen(  # noqa: S603  (ourselves, and a name that was checked)
                    [sys.executable, "-P", "-m", "opstrace", "serve", instance.name, str(lock)],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                    cwd=instance.home,
                    pass_fds=(lock,),
                )
            _tell_pid(instance, process.pid)
        yield process
    except KeyboardInterrupt:
        if process:
            process.terminate()
            process.wait()
        raise


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Put an interruption off until the end: a process that is being born has no name yet to end it by."""
    came: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, _frame: came.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if came and before is not signal.SIG_IGN:
        raise KeyboardInterrupt


def stop(instance: Place, timeout_s: float) -> bool:
    """Ask the server to drain and end, and wait for it; say whether one ran. Raise InstanceError if it stays."""
    pid = _told_pid(instance)
    if pid is None:
        return False
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        signal.pidfd_send_signal(descriptor, signal.SIGTERM)
        ending = select.poll()  # select() knows no descriptor beyond 1,023
        ending.register(descriptor, select.POLLIN)
        ended = ending.poll(timeout_s * 1000)
    except PermissionError as error:
        raise InstanceError(f"may not stop process {pid}: it belongs to another user") from error
    finally:
        os.close(descriptor)
    if not ended:
        raise InstanceError(
            f"process {pid} of instance {instance.name} is still draining after {timeout_s:.0f} s; "
            f"wait and repeat the command, or end it by `kill -9 {pid}`: what was acknowledged is on disk"
        )
    return True


def last_error(instance: Instance, offset: int) -> str | None:
    """Return the message of the last error line in the log after `offset` bytes."""
    try:
        with instance.log_file.open("rb") as file:
            file.seek(offset)
            lines = file.read().decode(errors="replace").splitlines()
    except OSError:
        return None
    messages = [line.partition(" error: ")[2] for line in lines if " error: " in line]
    return messages[-1] if messages else None


@contextmanager
def _log_file(instance: Instance) -> Iterator[int]:
    with explained(f"cannot write the log of {instance.name}"):
        descriptor = os.open(instance.log_file, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@contextmanager
def _lock_file(instance: Place) -> Iterator[int]:
    with explained(f"cannot look after the server of {instance.name}"):
        descriptor = os.open(instance.home / "server.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _take(descriptor: int, kind: int) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _take_patiently(descriptor: int, instance: Instance) -> None:
    deadline = time.monotonic() + _LOCK_PATIENCE_S
    while not _take(descriptor, fcntl.LOCK_EX):
        if time.monotonic() > deadline:
            raise InstanceError(f"the server of {instance.name} is already running{_with_pid(instance)}")
        time.sleep(0.02)


def _told_pid(instance: Place) -> int | None:
    """Return what `pid_of` does, but wait for a server that has not told its pid yet."""
    deadline = time.monotonic() + _LOCK_PATIENCE_S
    while (pid := pid_of(instance)) == 0:
        if time.monotonic() > deadline:
            raise InstanceError(
                f"the server of {instance.name} runs, but its pid file is gone; end it by its pid as `ps` shows it"
            )
        time.sleep(0.02)
    return pid


def _has_open(pid: int, path: Path) -> bool:
    """Say whether a process has a file open: who does not is a dead server's pid, given to somebody else."""
    try:
        return any(_same(entry, path) for entry in Path(f"/proc/{pid}/fd").iterdir())
    except PermissionError:  # another user's
        return True
    except OSError:
        return False


def _same(entry: Path, path: Path) -> bool:
    try:
        return entry.samefile(path)
    except OSError:  # closed meanwhile
        return False


def _with_pid(instance: Instance) -> str:
    pid = pid_of(instance)
    return f" (pid {pid})" if pid else ""
