"""A real instance, made and started with the command a user types, and spoken to over real sockets."""

import http.client
import json
import os
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlencode

import yaml

REQUEST_S = 20.0  # how long one answer may take: the Agent's forwarder gives up after 20 s
COMMAND_S = 120.0

K = TypeVar("K")
V = TypeVar("V")

# A label set, and its samples: milliseconds to the value as Prometheus writes it.
LabelSet = frozenset[tuple[str, str]]
Samples = dict[int, str]


@dataclass(frozen=True)
class Answer:
    """What came back for one request."""

    status: int
    headers: Mapping[str, str]  # names in lower case
    body: bytes

    @property
    def media_type(self) -> str:
        return self.headers.get("content-type", "").partition(";")[0].strip()

    def json(self) -> Any:
        return json.loads(self.body)


def free_ports() -> dict[str, int]:
    """Return the two ports of a config: nobody listens on them at this moment."""
    with socket.socket() as http, socket.socket() as https:
        ports = {}
        for name, probe in {"http_port": http, "https_port": https}.items():
            probe.bind(("127.0.0.1", 0))
            ports[name] = probe.getsockname()[1]
        return ports


def exchange(
    connection: http.client.HTTPConnection,
    method: str,
    path: str,
    body: bytes | Iterable[bytes] | None = None,
    headers: Mapping[str, str] | None = None,
) -> Answer:
    """Send one request, path and headers as given, and read the answer; follows nothing, adds no header of its own.

    A server may answer and close before it has read an oversized body: the answer counts, not the broken pipe.
    """
    try:
        try:
            chunked = body is not None and not isinstance(body, bytes)
            connection.request(method, path, body=body, headers=dict(headers or {}), encode_chunked=chunked)
        except (BrokenPipeError, ConnectionResetError):
            pass
        response = connection.getresponse()
        names = {name.lower(): value for name, value in response.getheaders()}
        return Answer(response.status, names, response.read())
    finally:
        connection.close()


@dataclass
class Instance:
    """One instance called `name`; its files, keys and HOME are all below `directory`."""

    name: str
    directory: Path
    config: dict[str, Any]
    command: Sequence[str] = (str(Path(sys.executable).with_name("opstrace")),)
    host: str = field(default="127.0.0.1", init=False)

    @property
    def http_port(self) -> int:
        port: int = self.config["http_port"]
        return port

    @property
    def https_port(self) -> int:
        port: int = self.config["https_port"]
        return port

    def environment(self) -> dict[str, str]:
        """Return an environment that knows nothing but this instance: an empty HOME, no settings."""
        inherited = {name: os.environ[name] for name in ("PATH", "LANG", "TMPDIR") if name in os.environ}
        home = self.directory / "home"
        home.mkdir(exist_ok=True)
        return inherited | {"HOME": str(home)}

    def run(self, *arguments: str, stdin: str = "", check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run the command with these arguments, where the token files are."""
        done = subprocess.run(
            [*self.command, *arguments],
            cwd=self.directory,
            env=self.environment(),
            input=stdin,
            capture_output=True,
            text=True,
            timeout=COMMAND_S,
            check=False,
        )
        if check and done.returncode != 0:
            raise AssertionError(f"{arguments} ended with {done.returncode}\n{done.stdout}{done.stderr}")
        return done

    def create(self) -> subprocess.CompletedProcess[str]:
        """Create and start it, in the background, as `create local` does."""
        return self.run("create", "local", self.name, stdin=yaml.safe_dump(self.config))

    def destroy(self) -> None:
        """Stop it and remove its data."""
        self.run("destroy", "local", self.name, "--yes")

    def key(self, tenant: str = "default") -> str:
        """Return the tenant's key, from the token file `create` left in the directory."""
        return (self.directory / f"tenant-api-token-{tenant}").read_text().strip()

    def send(
        self,
        method: str,
        path: str,
        body: bytes | Iterable[bytes] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Send one request over plain HTTP."""
        connection = http.client.HTTPConnection(self.host, self.http_port, timeout=REQUEST_S)
        return exchange(connection, method, path, body, headers)

    def send_tls(
        self, method: str, path: str, context: ssl.SSLContext, name: str, headers: Mapping[str, str]
    ) -> Answer:
        """Send one request over TLS to the host `name`, which need not resolve."""
        connection = http.client.HTTPConnection(name, self.https_port, timeout=REQUEST_S)
        plain = socket.create_connection((self.host, self.https_port), timeout=REQUEST_S)
        try:
            connection.sock = context.wrap_socket(plain, server_hostname=name)
        except BaseException:
            plain.close()
            raise
        return exchange(connection, method, path, None, headers)

    def ask(self, endpoint: str, parameters: Mapping[str, str | Sequence[str]], tenant: str = "default") -> Any:
        """Return the `data` of one successful answer of the Prometheus API."""
        path = f"/prometheus/api/v1/{endpoint}?{urlencode(parameters, doseq=True)}"
        answer = self.send("GET", path, headers={"Authorization": f"Bearer {self.key(tenant)}"})
        assert answer.status == 200, (path, answer)
        document = json.loads(answer.body, parse_float=Decimal)
        assert document["status"] == "success", document
        return document["data"]

    def samples(self, selector: str, at_s: float, window_s: int, tenant: str = "default") -> dict[LabelSet, Samples]:
        """Return every stored sample of the selected series in the window that ends at `at_s`."""
        data = self.ask("query", {"query": f"{selector}[{window_s}s]", "time": f"{at_s:.3f}"}, tenant)
        assert data["resultType"] == "matrix", data
        return unique((label_set(row["metric"]), milliseconds(row["values"])) for row in data["result"])

    def vector(self, expression: str, at_s: float, tenant: str = "default") -> dict[LabelSet, str]:
        """Return the instant vector of an expression."""
        data = self.ask("query", {"query": expression, "time": f"{at_s:.3f}"}, tenant)
        assert data["resultType"] == "vector", data
        return unique((label_set(row["metric"]), row["value"][1]) for row in data["result"])

    def series(self, selector: str, start_s: float, end_s: float, tenant: str = "default") -> set[LabelSet]:
        """Return the label sets the series endpoint lists."""
        bounds = {"match[]": selector, "start": f"{start_s:.3f}", "end": f"{end_s:.3f}"}
        return set(unique((label_set(labels), None) for labels in self.ask("series", bounds, tenant)))


def unique(pairs: Iterable[tuple[K, V]]) -> dict[K, V]:
    """Return the pairs as a dict; a key that comes twice is a fault of the answer."""
    found: dict[K, V] = {}
    for key, value in pairs:
        assert key not in found, f"twice in one answer: {key}"
        found[key] = value
    return found


def label_set(labels: Mapping[str, str]) -> LabelSet:
    return frozenset(labels.items())


def milliseconds(values: Sequence[tuple[Decimal | int, str]]) -> Samples:
    return unique((int(Decimal(timestamp) * 1000), value) for timestamp, value in values)


def walked(directory: Path) -> list[Path]:
    """Return what lies below a directory of a server that runs: what the engine writes comes and goes meanwhile."""
    for _ in range(100):
        with suppress(FileNotFoundError):
            return list(directory.rglob("*"))
    raise AssertionError(f"{directory} does not come to rest")


def wait_until(condition: Any, timeout_s: float, what: str) -> None:
    """Return once the condition holds; fail when it does not within the time."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"not within {timeout_s} s: {what}"
        time.sleep(0.05)


@contextmanager
def running(directory: Path, name: str, config: Mapping[str, Any]) -> Iterator[Instance]:
    """Create an instance on free ports, hand it over, destroy it."""
    instance = Instance(name, directory, {**free_ports(), **config})
    try:
        instance.create()
        yield instance
    finally:
        instance.destroy()
