"""The process that hears, and the server's side of it: what is stored, offered again, lost, and how they end."""

import asyncio
import os
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from subprocess import PIPE

import pytest

from dogstatsd.heard import HOST, T0, Sent, settings_of
from end_to_end.instance import free_ports
from opstrace.config import Config
from opstrace.dogstatsd import service as services
from opstrace.dogstatsd.aggregate import Timed
from opstrace.dogstatsd.frames import LENGTH, Listening, Payload, Report, Start, decoded, encoded
from opstrace.dogstatsd.parse import Kind
from opstrace.dogstatsd.payloads import Body, Content
from opstrace.dogstatsd.service import MAX_OFFERS, Service
from opstrace.dogstatsd.worker import MAX_WAITING_FLUSHES, Flushed, Outlet, Spoken
from opstrace.errors import IntakeError, Overloaded, Undecodable
from opstrace.telemetry import Telemetry

WITHIN_S = 20.0


@dataclass
class Room:
    """A store that refuses what it is told to refuse, and keeps the rest."""

    refusals: list[Exception] = field(default_factory=list)
    offers: int = 0
    sent: Sent = field(default_factory=Sent)

    async def store(self, tenant: str, content: Content, data: bytes) -> None:
        assert tenant == "default"
        self.offers += 1
        if self.refusals:
            raise self.refusals.pop(0)
        self.sent.take([Body(content, data)])


@dataclass
class Running:
    """A service that runs, with a client."""

    service: Service
    room: Room
    telemetry: Telemetry
    send: Callable[[bytes], object]

    def counted(self, name: str) -> float:
        return sum(value for found, _, value in self.telemetry.samples() if found == f"opstrace_dogstatsd_{name}")


async def until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + WITHIN_S
    while not condition():
        assert time.monotonic() < deadline, f"not within {WITHIN_S} s: {what}"
        await asyncio.sleep(0.05)


@asynccontextmanager
async def running(room: Room) -> AsyncIterator[Running]:
    port = free_ports()["http_port"]
    document = {
        "enabled": True,
        "listeners": [{"url": f"udp://127.0.0.1:{port}"}],
        "dogstatsd_flush_incomplete_buckets": True,
    }
    config = Config(tenants=("default", "other"), dogstatsd=settings_of(document))
    telemetry = Telemetry()
    service = Service(config, HOST, room.store, telemetry)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        service.open()
        client.connect(("127.0.0.1", port))
        # What is sent before the process listens waits in the socket.
        client.send(b"early:1|g")
        service.start()
        try:
            yield Running(service, room, telemetry, client.send)
        finally:
            await service.stop()


def test_what_waited_is_heard_and_a_stop_hands_it_over() -> None:
    room = Room()

    async def walk() -> None:
        async with running(room) as ran:
            ran.send(b"late:2|c\nbad\nworse:x|g\n_e{1,1}:a|b")
            await until(lambda: ran.counted("packets_total") == 2, "two packets")
            assert ran.counted("refused_total") == 2
            assert ran.counted("contexts") == 2

    asyncio.run(walk())
    assert {one["metric"] for one in room.sent.series} == {"early", "late"}
    assert [one["msg_title"] for one in room.sent.events] == ["a"]


def test_a_steady_sender_is_recent_all_the_time_and_one_that_ended_is_not() -> None:
    """Of every six reports two come after a flush, with three buckets in all."""
    spoken = Spoken()
    shown = []
    for flushed in [0, 10, 0, 0, 20, 0] * 3 + [0] * 6:
        spoken.note(Counter(steady=flushed) if flushed else Counter())
        shown += [busy.recent for busy in spoken.busiest("default")]
    assert shown[4:17] == [30] * 13
    assert shown[-1] == 0
    assert [(busy.name, busy.lines) for busy in spoken.busiest("default")] == [("steady", 90)]


def test_a_payload_without_room_is_offered_again() -> None:
    room = Room([Overloaded("full", retry_after_s=0)] * (MAX_OFFERS - 1))

    async def walk() -> None:
        async with running(room) as ran:
            ran.send(b"timed:1|g|T%d" % T0)
            await until(lambda: len(room.sent.series) == 1, "the payload")
            assert ran.counted("lost_total") == 0

    asyncio.run(walk())
    assert room.offers >= MAX_OFFERS


@pytest.mark.parametrize(
    "refusals", [[Overloaded("full", retry_after_s=0)] * MAX_OFFERS, [Undecodable("broken for ever")]]
)
def test_a_payload_that_is_refused_is_lost_and_counted(refusals: list[IntakeError]) -> None:
    room = Room(list(refusals))

    async def walk() -> None:
        async with running(room) as ran:
            ran.send(b"timed:1|g|T%d" % T0)
            await until(lambda: ran.counted("lost_total") == 1, "a loss")
            ran.send(b"timed:2|g|T%d" % T0)
            await until(lambda: len(room.sent.series) == 1, "the next payload")

    asyncio.run(walk())
    assert [one["points"] for one in room.sent.series if one["metric"] == "timed"] == [{0: 2.0}]


def test_a_worker_that_dies_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    """What comes meanwhile waits in the socket."""
    monkeypatch.setattr(services, "_RESTART_PAUSE_S", 0.01)
    room = Room()

    async def walk() -> None:
        async with running(room) as ran:
            await until(lambda: ran.counted("packets_total") == 1, "the first packet")
            (worker,) = _children()
            os.kill(worker, 9)
            ran.send(b"timed:1|g|T%d" % T0)
            await until(lambda: len(room.sent.series) == 1, "a payload of the second worker")
            assert ran.counted("restarts_total") == 1

    asyncio.run(walk())
    assert _children() == []


def test_whatever_breaks_it_hears_again(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(services, "_RESTART_PAUSE_S", 0.01)
    room = Room([ValueError("one that nobody expected")])

    async def walk() -> None:
        async with running(room) as ran:
            ran.send(b"timed:1|g|T%d" % T0)
            await until(lambda: ran.counted("restarts_total") == 1, "a new worker")
            ran.send(b"timed:1|g|T%d" % T0)
            await until(lambda: len(room.sent.series) == 1, "a payload of the second worker")

    asyncio.run(walk())
    assert "one that nobody expected" in caplog.text


def test_the_worker_ends_with_its_server() -> None:
    """A server that was killed leaves nobody behind who listens in its place."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as bound:
        bound.bind(("127.0.0.1", 0))
        listening = [Listening(bound.fileno(), "udp://127.0.0.1:1", "default", eol_required=False)]
        settings = settings_of({"dogstatsd_flush_incomplete_buckets": True})
        command = [sys.executable, "-P", "-m", "opstrace.dogstatsd.worker"]
        with subprocess.Popen(command, stdin=PIPE, stdout=PIPE, pass_fds=[bound.fileno()]) as worker:
            assert worker.stdin
            assert worker.stdout
            worker.stdin.write(encoded(Start(settings, HOST, listening, 10, 10)))
            worker.stdin.flush()
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
                client.sendto(b"a:1|g", bound.getsockname())
            worker.stdout.close()
            worker.stdin.close()
            assert worker.wait(WITHIN_S) == 0


def test_flushes_that_find_no_room_are_lost_and_counted() -> None:
    """A server that takes nothing does not stop the worker from hearing."""
    into, out = os.pipe()
    output = os.fdopen(out, "wb")
    outlet = Outlet(settings_of({}), output)
    # More than a pipe holds, so that the thread hangs in writing it.
    samples = [Timed(Kind.GAUGE, "a" * 1000, "h", (), 1.0, T0)] * 1000
    for _ in range(MAX_WAITING_FLUSHES + 3):
        outlet.put(Flushed("default", (), samples))
        time.sleep(0.01)
    assert outlet.lost == 2
    messages: list[Payload | Report] = []
    with os.fdopen(into, "rb") as server:
        for _ in range(MAX_WAITING_FLUSHES + 1):
            (length,) = LENGTH.unpack(server.read(LENGTH.size))
            messages.append(decoded(server.read(length)))
        outlet.close()
        output.close()
    assert [type(message) for message in messages] == [Payload] * (MAX_WAITING_FLUSHES + 1)


def _children() -> list[int]:
    """Return the workers of this process."""
    found = Path(f"/proc/{os.getpid()}/task").glob("*/children")
    children = [int(pid) for file in found for pid in file.read_text().split()]
    return [pid for pid in children if "opstrace.dogstatsd.worker" in Path(f"/proc/{pid}/cmdline").read_text()]
