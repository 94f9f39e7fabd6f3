"""DogStatsD as clients written elsewhere send it, over every kind of socket, to a running server, after a real flush.

Everything is sent at once, by `heard`; the tests look at what came of it.
"""

# mypy: allow-untyped-calls

import json
import os
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from datadog.dogstatsd import DogStatsd

from end_to_end.instance import Instance, LabelSet, Samples, free_ports, label_set, running, wait_until

ROOT = Path(__file__).parents[2]
EXAMPLE_S = 22  # one bucket at least is filled by it, whenever it begins
BUCKET_S = 10
# A flush every 15 s sends buckets that are over, and a commit takes its time.
HEARD_WITHIN_S = 60
HOT_SHOTS = "hot-shots@17.1.1"
HOT_SHOTS_PROGRAM = """
const StatsD = require('hot-shots');
const [port, path] = process.argv.slice(2);
// On a busy machine the library gives up half a second after close() and throws away what it has not sent.
const patient = {closingFlushInterval: 1000};
const over = {
  udp: new StatsD({...patient, port: Number(port), globalTags: {client: 'udp'}}),
  buffered: new StatsD({...patient, port: Number(port), globalTags: {client: 'buffered'}, maxBufferSize: 1000}),
  uds: new StatsD({...patient, protocol: 'uds', path, globalTags: {client: 'uds'}}),
};
for (const client of Object.values(over)) {
  for (let i = 1; i <= 10; i++) {
    client.increment('hot.requests', 2);
    client.histogram('hot.size', i);
    client.timing('hot.time', i);
    client.distribution('hot.spread', i);
    client.unique('hot.users', 'user' + i % 3);
    client.gauge('hot.load', i / 4);
  }
  client.event('deployed', 'line one\\nline two', {alert_type: 'success'});
  client.check('hot.up', client.CHECKS.WARNING, {message: 'slow'});
  client.close();
}
"""


@dataclass(frozen=True)
class Sockets:
    """Where the server listens."""

    udp: int
    datagram: Path
    stream: Path


@dataclass(frozen=True)
class Heard:
    """The instance, and when the last line had been sent."""

    instance: Instance
    sockets: Sockets
    sent_at_s: float
    hot_shots: str  # why it sent nothing; empty if it did

    def samples(self, selector: str, tenant: str = "default") -> dict[LabelSet, Samples]:
        return self.instance.samples(selector, self.sent_at_s + 120, 400, tenant)

    def total(self, name: str, tenant: str = "default", **labels: str) -> float:
        """Return what the rates of a series amount to over all of its buckets."""
        (samples,) = self.samples(selector(name, **labels), tenant).values()
        return sum(float(value) for value in samples.values()) * BUCKET_S


def selector(name: str, **labels: str) -> str:
    return name + "{" + ", ".join(f'{key}="{value}"' for key, value in labels.items()) + "}"


@contextmanager
def example(sockets: Sockets) -> Iterator[None]:
    """Run the example for a while."""
    environment = {**os.environ, "DD_DOGSTATSD_URL": f"udp://127.0.0.1:{sockets.udp}"}
    command = [sys.executable, str(ROOT / "examples" / "send_metrics.py"), str(EXAMPLE_S)]
    process = subprocess.Popen(command, env=environment)
    try:
        yield
        assert process.wait(EXAMPLE_S + 30) == 0
    finally:
        process.kill()
        process.wait()


def send_with_python(client: DogStatsd, repeat: int = 10) -> None:
    """Send some of everything."""
    for number in range(1, repeat + 1):
        client.increment("py.requests", 2)
        client.gauge("py.load", number / 4)
        client.histogram("py.size", number)
        client.distribution("py.spread", number)
        client.set("py.users", f"user:{number % 3}")
        client.timing("py.time", number)
    client.event("deployed", "line one\nline two | more", alert_type="success", tags=["env:test"])
    client.service_check("py.up", client.WARNING, message="slow\nm: really")


def python_clients(sockets: Sockets) -> Iterator[tuple[str, DogStatsd]]:
    """Yield clients of the `datadog` library, one for each way it sends, each with a tag of its own.

    By a Unix socket they wait: ten datagrams fill it, and without a timeout the library throws the next ones away.
    """
    ways: dict[str, dict[str, Any]] = {
        "plain": {"host": "127.0.0.1", "port": sockets.udp, "telemetry_min_flush_interval": 0},
        "buffered": {"host": "127.0.0.1", "port": sockets.udp, "disable_buffering": False},
        "aggregated": {"host": "127.0.0.1", "port": sockets.udp, "disable_aggregation": False},
        "unixgram": {"socket_path": str(sockets.datagram)},
        "unixgram_buffered": {"socket_path": f"unixgram://{sockets.datagram}", "disable_buffering": False},
        "unixstream": {"socket_path": f"unixstream://{sockets.stream}"},
    }
    for way, options in ways.items():
        yield way, DogStatsd(constant_tags=[f"way:{way}"], socket_timeout=5, **options)


def send_frames(path: Path) -> None:
    """Send a frame byte by byte, two at once, then one that is too long, which ends the connection."""

    def frame(lines: bytes) -> bytes:
        return struct.pack("<I", len(lines)) + lines

    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as stream:
        stream.connect(str(path))
        for byte in frame(b"frames.slow:1|c\nframes.slow:2|c\n"):
            stream.sendall(bytes([byte]))
        stream.sendall(frame(b"frames.two:1|c") + frame(b"frames.two:2|c"))
        stream.sendall(frame(b"x" * 9000))
        assert stream.recv(1) == b""


def send_nonsense(port: int) -> None:
    """Send what is refused, and a good line in its midst."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.sendto(
            b"bad.idle:NaN|g\nhello\nbad.value:x|g\ngood.line:7|g\n\xff\xfe\x00:1|q\n_e{9,9}:a|b", ("127.0.0.1", port)
        )
        udp.sendto(b"good.first:1|g\ncut.off:1|g|#" + b"x" * 9000, ("127.0.0.1", port))


def send_the_last(port: int) -> None:
    """Send what is flushed no earlier than anything sent before it: its bucket is the last, or comes after that."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.sendto(b"said.last:1|g", ("127.0.0.1", port))


def node_headers() -> dict[str, str]:
    """Return the setting by which npm compiles against the headers beside the machine's Node, and fetches none."""
    prefix = Path(shutil.which("node") or "").resolve().parents[1]
    return {"npm_config_nodedir": str(prefix)} if (prefix / "include" / "node").is_dir() else {}


def send_with_hot_shots(directory: Path, sockets: Sockets) -> str:
    """Send with the Node library; return why that was not possible."""
    if not shutil.which("npm") or not shutil.which("node"):
        return "there is no npm on this machine"
    install = ["npm", "install", "--silent", "--no-audit", "--no-fund", "--prefix", str(directory), HOT_SHOTS]
    try:
        installed = subprocess.run(
            install, env=os.environ | node_headers(), capture_output=True, text=True, timeout=120, check=False
        )
    except subprocess.TimeoutExpired:
        return "npm did not end within two minutes"
    if installed.returncode:
        return f"npm could not install {HOT_SHOTS}: {installed.stderr[-200:]}"
    if not (directory / "node_modules" / "unix-dgram").is_dir():
        return "npm could not build unix-dgram, which hot-shots needs for Unix sockets"
    program = directory / "send.js"
    program.write_text(HOT_SHOTS_PROGRAM)
    subprocess.run(["node", str(program), str(sockets.udp), str(sockets.datagram)], timeout=60, check=True)
    return ""


@pytest.fixture(scope="module")
def heard(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Heard]:
    """Start a server, send with every client meanwhile the example runs, and wait until it has flushed."""
    with tempfile.TemporaryDirectory(prefix="dsd-") as short:  # a socket's path has 107 bytes at most
        sockets = Sockets(free_ports()["http_port"], Path(short, "dgram"), Path(short, "stream"))
        listeners = [
            {"url": f"udp://127.0.0.1:{sockets.udp}"},
            {"url": f"unixgram://{sockets.datagram}"},
            {"url": f"unixstream://{sockets.stream}", "tenant": "staging"},
        ]
        config = {
            "tenants": ["default", "staging"],
            "dogstatsd": {"enabled": True, "listeners": listeners, "hostname": "laptop"},
        }
        with running(tmp_path_factory.mktemp("dogstatsd"), "dogstatsd", config) as instance:
            yield _send(instance, sockets, tmp_path_factory.mktemp("node"))


def _send(instance: Instance, sockets: Sockets, directory: Path) -> Heard:
    with example(sockets):
        for _, client in python_clients(sockets):
            send_with_python(client)
            client.flush()
            client.stop()
        send_frames(sockets.stream)
        send_nonsense(sockets.udp)
        missing = send_with_hot_shots(directory, sockets)
    send_the_last(sockets.udp)
    found = Heard(instance, sockets, time.time(), missing)
    wait_until(lambda: bool(found.samples("said_last")), HEARD_WITHIN_S, "what was sent last")
    return found


def labels(name: str, kind: str, **tags: str) -> LabelSet:
    return label_set({"__name__": name, "instance": "laptop", "job": "ddagent", "type": kind, **tags})


@pytest.mark.parametrize(
    ("name", "kind", "value", "margin"),
    [
        ("example_requests", "rate", 10, 0.4),  # a call or two may fall into the neighbouring bucket
        ("example_latency_count", "rate", 5, 0.2),
        ("example_latency_max", "gauge", 3, 0),
        ("example_latency_avg", "gauge", 2.2, 0.03),
        ("example_latency_median", "gauge", 2, 0),
        ("example_latency_95percentile", "gauge", 3, 0),
    ],
)
def test_the_walkthrough(heard: Heard, name: str, kind: str, value: float, margin: float) -> None:
    """A histogram and a counter, five times a second: the numbers of docs/dogstatsd.md."""
    samples = heard.samples(name)
    assert samples.keys() == {labels(name, kind)}
    (of_gauge,) = heard.samples("example_latency_max").values()
    filled = sorted(of_gauge)[1:-1]
    assert filled
    assert [float(samples[labels(name, kind)][time_ms]) for time_ms in filled] == pytest.approx(
        [value] * len(filled), abs=margin
    )


def test_the_walkthrough_loses_nothing(heard: Heard) -> None:
    """Whatever bucket a call fell in, all of them are there: 5 a second, 2 requests each."""
    assert heard.total("example_requests") == pytest.approx(2 * 5 * EXAMPLE_S)
    assert heard.total("example_latency_count") == pytest.approx(5 * EXAMPLE_S)


@pytest.mark.parametrize("way", ["plain", "buffered", "unixgram", "unixgram_buffered", "unixstream", "aggregated"])
def test_the_datadog_library(heard: Heard, way: str) -> None:
    """Each way of the library gives the same numbers."""
    tenant = "staging" if way == "unixstream" else "default"
    assert heard.total("py_requests", tenant, way=way) == pytest.approx(20)
    assert heard.total("py_size_count", tenant, way=way) == pytest.approx(10)
    assert heard.total("py_time_count", tenant, way=way) == pytest.approx(10)
    for name, kind, value in (
        ("py_load", "gauge", "2.5"),
        ("py_size_max", "gauge", "10"),
        ("py_time_max", "gauge", "10"),
        ("py_spread_max", "distribution", "10"),
        ("py_up", "service_check", "1"),
    ):
        (samples,) = heard.samples(selector(name, way=way), tenant).values()
        assert [*samples.values()][-1] == value, name
        assert heard.samples(selector(name, way=way), tenant).keys() == {labels(name, kind, way=way)}
    (users,) = heard.samples(selector("py_users", way=way), tenant).values()
    assert max(users.values()) == "3"
    counts = heard.samples(selector("py_spread_count", way=way), tenant)[
        labels("py_spread_count", "distribution", way=way)
    ]
    assert sum(map(float, counts.values())) == 10


def test_the_client_speaks_of_itself(heard: Heard) -> None:
    """The library's own counters come along."""
    found = heard.samples('datadog_dogstatsd_client_packets_sent{way="plain"}')
    (found_labels,) = found
    assert dict(found_labels)["client_transport"] == "udp"


def test_hot_shots(heard: Heard) -> None:
    """The Node library, over UDP and a Unix socket."""
    if heard.hot_shots:
        pytest.skip(heard.hot_shots)
    for client in ("udp", "buffered", "uds"):
        assert heard.total("hot_requests", client=client) == pytest.approx(20), client
        assert heard.total("hot_size_count", client=client) == pytest.approx(10), client
        for name, value in {"hot_size_max": "10", "hot_time_max": "10", "hot_users": "3", "hot_load": "2.5"}.items():
            (samples,) = heard.samples(selector(name, client=client)).values()
            assert max(samples.values(), key=float) == value, name
        assert heard.samples(selector("hot_up", client=client)).keys() == {
            labels("hot_up", "service_check", client=client)
        }


def test_frames_of_a_stream(heard: Heard) -> None:
    """Frames come in any pieces; one that is too long ends its connection and nothing else."""
    assert heard.total("frames_slow", "staging") == pytest.approx(3)
    assert heard.total("frames_two", "staging") == pytest.approx(3)


def test_nonsense_is_counted_and_harms_nobody(heard: Heard) -> None:
    """The good lines are there, the others are counted by reason and one of them is in the log."""
    assert heard.samples("good_line").keys() == {labels("good_line", "gauge")}
    assert heard.samples("good_first").keys() == {labels("good_first", "gauge")}
    assert heard.samples('{__name__=~"bad_.*|cut_.*"}') == {}
    metrics = _metrics(heard.instance)
    for tenant, reason in (
        ("default", "no_type"),
        ("default", "bad_value"),
        ("default", "unknown_type"),
        ("default", "bad_event"),
        ("default", "not_finite"),
        ("default", "truncated"),
        ("staging", "frame_too_long"),
    ):
        assert f'opstrace_dogstatsd_refused_total{{reason="{reason}",tenant="{tenant}"}} 1.0' in metrics
    assert "opstrace_dogstatsd_lost_total" in metrics
    log = heard.instance.directory / "home" / ".local" / "share" / "opstrace" / "dogstatsd" / "server.log"
    told = [line for line in log.read_text().splitlines() if "tenant default refused" in line]
    assert len(told) == 1
    assert "warning: DogStatsD of tenant default refused 5 lines; one of them is '" in told[0]
    assert "bad.idle" not in told[0]


def test_nothing_was_lost(heard: Heard) -> None:
    """The kernel dropped nothing, no flush and no payload was lost, the worker was never started again."""
    metrics = _metrics(heard.instance)
    for name in ("kernel_drops_total", "lost_total", "restarts_total"):
        values = [line for line in metrics.splitlines() if line.startswith(f"opstrace_dogstatsd_{name}")]
        assert values
        assert {float(line.rpartition(" ")[2]) for line in values} == {0.0}, name


def test_stats_name_the_busiest(heard: Heard) -> None:
    """`opstrace dogstatsd-stats` shows names with their lines, the busiest first."""
    found = json.loads(heard.instance.run("dogstatsd-stats", "dogstatsd", "--json").stdout)["names"]
    lines = {(one["tenant"], one["name"]): one["lines"] for one in found}
    assert lines["default", "example.latency"] == 5 * EXAMPLE_S
    assert lines["staging", "py.requests"] == 10
    assert [one["lines"] for one in found] == sorted((one["lines"] for one in found), reverse=True)
    shown = heard.instance.run("dogstatsd-stats", "dogstatsd").stdout.splitlines()
    assert shown[0].split() == ["TENANT", "NAME", "LINES", "RECENT"]


def test_the_books_know_the_sender(heard: Heard) -> None:
    """What DogStatsD sends is booked as any sender's."""
    entries = json.loads(heard.instance.run("losses", "dogstatsd", "--json").stdout)["entries"]
    points: Counter[str] = Counter()
    for one in entries:
        if one["host"] == "laptop" and one["unit"] == "points":
            points[one["outcome"]] += one["total"]
    assert points["received"] == points["stored"] > 100
    events = [one for one in entries if one["unit"] == "events" and one["outcome"] == "stored"]
    assert sum(one["total"] for one in events) == 6 + (0 if heard.hot_shots else 3)
    assert {one["version"] for one in entries if one["host"] == "laptop"} == {"dogstatsd"}


def test_a_taken_port_names_its_owner(heard: Heard, tmp_path: Path) -> None:
    """A second server on the same port is refused with a sentence that says who has it."""
    other = Instance(
        "other",
        tmp_path,
        {
            "tenants": ["default"],
            **free_ports(),
            "dogstatsd": {"enabled": True, "listeners": [{"url": f"udp://127.0.0.1:{heard.sockets.udp}"}]},
        },
    )
    done = other.run("create", "local", "other", stdin=json.dumps(other.config), check=False)
    assert done.returncode == 1
    assert f"port {heard.sockets.udp} on 127.0.0.1 (UDP) is taken by " in done.stderr
    assert "dogstatsd.listeners" in done.stderr


def test_a_worker_that_dies_is_replaced_and_a_stop_sends_what_is_over(heard: Heard) -> None:
    """The sockets outlive the process that reads them; a stop removes their files."""
    server = int((_home(heard.instance) / "server.pid").read_text())
    (worker,) = Path(f"/proc/{server}/task/{server}/children").read_text().split()
    os.kill(int(worker), 9)
    wait_until(lambda: not Path(f"/proc/{worker}").exists(), 10, "the end of the worker")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.sendto(b"after.death:5|g", ("127.0.0.1", heard.sockets.udp))
    context = 'opstrace_dogstatsd_contexts{tenant="default"} 1.0'
    wait_until(lambda: context in _metrics(heard.instance), 30, "a report of the next worker")
    read_s = time.time()
    wait_until(lambda: time.time() // BUCKET_S > read_s // BUCKET_S, 15, "the end of a bucket")
    metrics = _metrics(heard.instance)
    assert "opstrace_dogstatsd_restarts_total 1.0" in metrics
    heard.instance.run("stop", "dogstatsd")
    assert not heard.sockets.datagram.exists()
    assert not heard.sockets.stream.exists()
    heard.instance.run("start", "dogstatsd")
    (samples,) = heard.samples("after_death").values()
    assert [*samples.values()] == ["5"]


def _home(instance: Instance) -> Path:
    return instance.directory / "home" / ".local" / "share" / "opstrace" / instance.name


def _metrics(instance: Instance) -> str:
    answer = instance.send("GET", "/metrics", headers={"DD-API-KEY": instance.key("system")})
    return answer.body.decode()


def test_up_hears_it_once_when_told_to(tmp_path: Path) -> None:
    """`opstrace up --dogstatsd` listens though the config does not say so, and the config stays as it is."""
    port = free_ports()["http_port"]
    listeners = {
        "listeners": [{"url": f"udp://127.0.0.1:{port}"}],
        "dogstatsd_flush_incomplete_buckets": True,
    }
    config = {
        "tenants": ["default"],
        **free_ports(),
        "dogstatsd": listeners,
    }
    instance = Instance("once", tmp_path, config)
    (tmp_path / "config.yaml").write_text(json.dumps(config))
    command = [*instance.command, "up", "once", "-c", "config.yaml", "--dogstatsd"]
    with (tmp_path / "log").open("w") as log:
        server = subprocess.Popen(command, cwd=tmp_path, env=instance.environment(), stdout=log, stderr=log)
    try:
        wait_until(lambda: "Log in here" in (tmp_path / "log").read_text(), 30, "the server")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
            udp.sendto(b"once.heard:3|g", ("127.0.0.1", port))
        wait_until(lambda: "_packets_total{" in _metrics(instance), 20, "a report")
        server.terminate()
        assert server.wait(30) == 0
        stored = (_home(instance) / "config.yaml").read_text()
        assert "enabled" not in stored
        instance.run("start", "once")
        found = instance.samples('{__name__="once_heard"}', time.time() + 60, 300)
        assert [[*samples.values()] for samples in found.values()] == [["3"]]
    finally:
        server.kill()
        server.wait()
        instance.destroy()
