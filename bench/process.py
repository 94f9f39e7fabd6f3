"""A server under measurement: its own child process, what it burns, what it occupies, when it is ready."""

import http.client
import os
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_READY_S = 60.0
_STOP_S = 60.0
_SETTLED_SHARE = 0.03  # of one core, over one interval: nothing but housekeeping is left
_SETTLED_INTERVAL_S = 3.0
_SETTLED_WITHIN_S = 60.0


@dataclass(frozen=True)
class Server:
    """A running server: which product, where it listens, its process, the headers it wants, how soon it was up."""

    product: str
    port: int
    pid: int
    headers: Mapping[str, str]
    ready_s: float

    def of_agents(self) -> "Server":
        """Return the same for senders that introduce themselves as Agents do."""
        return replace(self, headers={**self.headers, "User-Agent": "datadog-agent/7.75.3"})

    def cpu_s(self) -> float:
        """Return the CPU seconds burnt so far, user and system, by the process and all below it."""
        return sum(_burnt_s(pid) for pid in _family(self.pid))

    def rss_bytes(self) -> int:
        """Return the memory occupied by the process and all below it."""
        resident = (Path(f"/proc/{pid}/statm").read_text().split()[1] for pid in _family(self.pid))
        return sum(int(pages) * _PAGE_BYTES for pages in resident)

    def forget_peak(self) -> None:
        """Begin anew to look for the most memory (proc_pid_clear_refs(5))."""
        for pid in _family(self.pid):
            Path(f"/proc/{pid}/clear_refs").write_text("5")

    def peak_bytes(self) -> int:
        """Return the most memory that the process and all below it occupied since, each by itself."""
        return sum(int(_status(pid)["VmHWM"].split()[0]) * 1024 for pid in _family(self.pid))

    def settle(self) -> None:
        """Wait until merges and other work put off are done, so that they are counted."""
        deadline = time.monotonic() + _SETTLED_WITHIN_S
        while time.monotonic() < deadline:
            before = self.cpu_s()
            time.sleep(_SETTLED_INTERVAL_S)
            if self.cpu_s() - before < _SETTLED_SHARE * _SETTLED_INTERVAL_S:
                return


@contextmanager
def serving(
    product: str, command: Sequence[str], port: int, ready_path: str, headers: Mapping[str, str], directory: Path
) -> Iterator[Server]:
    """Start a server on loopback, hand it over once `ready_path` answers 200, end it by its pid."""
    with (directory / f"{product}.log").open("ab") as log:
        started = time.monotonic()
        process = subprocess.Popen(command, cwd=directory, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        _wait_ready(process, port, ready_path, headers, directory / f"{product}.log")
        yield Server(product, port, process.pid, headers, time.monotonic() - started)
    finally:
        _end(process)


def _wait_ready(
    process: "subprocess.Popen[bytes]", port: int, path: str, headers: Mapping[str, str], log: Path
) -> None:
    deadline = time.monotonic() + _READY_S
    while time.monotonic() < deadline and process.poll() is None:
        if _answers(port, path, headers):
            return
        time.sleep(0.02)
    raise SystemExit(f"bench: {' '.join(process.args)} did not come up:\n{log.read_text()[-2000:]}")  # type: ignore[arg-type]


def _answers(port: int, path: str, headers: Mapping[str, str]) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
    try:
        connection.request("GET", path, headers=dict(headers))
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _end(process: "subprocess.Popen[bytes]") -> None:
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(_STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _family(pid: int) -> list[int]:
    """Return the process and all its living descendants."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *(member for child in children for member in _family(int(child)))]


def _status(pid: int) -> dict[str, str]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def _burnt_s(pid: int) -> float:
    """Return the CPU time of a process and of its children that ended (proc_pid_stat(5), fields 14 to 17)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) / _TICKS_PER_S
