"""Sockets: what they hear, what they refuse, and what the kernel loses."""

import socket
import struct
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from dogstatsd.heard import T0, Hearing, settings_of
from opstrace.config import Dogstatsd
from opstrace.dogstatsd import sockets
from opstrace.dogstatsd.listen import MAX_STREAM_CONNECTIONS, Ear, Listening
from opstrace.errors import InstanceError


@pytest.fixture
def short() -> Iterator[Path]:
    """A directory whose name leaves room for a socket's path."""
    with tempfile.TemporaryDirectory(prefix="dsd-") as directory:
        yield Path(directory)


@dataclass
class Heard:
    """A socket with an aggregator behind it, read when it is told to."""

    bound: socket.socket
    max_packet: int = 64
    eol_required: bool = False
    hearing: Hearing = field(default_factory=lambda: Hearing({}))

    def __post_init__(self) -> None:
        self.listening = Listening(lambda: T0 + 1.0)
        self.ear = Ear(self.bound, "url", self.hearing.aggregator, self.max_packet, self.eol_required)
        self.listening.add(self.ear)

    def gauges(self) -> dict[str, float]:
        """Read all there is, and return the gauges."""
        for _ in range(10):
            self.listening.wait(0.02)
        self.listening.close()
        self.hearing.flush(10)
        return {one["metric"]: one["points"][0] for one in self.hearing.sent.series}


def settings(*urls: str, **others: object) -> Dogstatsd:
    return settings_of({"listeners": [{"url": url} for url in urls], **others})


@contextmanager
def opened(made: Dogstatsd) -> Iterator[list[socket.socket]]:
    found = sockets.opened(made)
    try:
        yield found
    finally:
        sockets.close(made, found)


@contextmanager
def udp(**others: bool) -> Iterator[tuple[Heard, socket.socket]]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as bound, socket.socket(bound.family, bound.type) as client:
        bound.bind(("127.0.0.1", 0))
        client.connect(bound.getsockname())
        yield Heard(bound, **others), client


def test_datagrams() -> None:
    """Each is a packet of its own: a missing newline at its end runs into nothing."""
    with udp() as (heard, client):
        for packet in (b"a:1|g", b"b:2|g\nc:3|g\n", b"", b"\n", b"d:4|g\r\n"):
            client.send(packet)
        assert heard.gauges() == {"a": 1, "b": 2, "c": 3, "d": 4}
        assert (heard.ear.traffic.packets, heard.ear.traffic.bytes) == (5, 25)


def test_more_datagrams_than_are_read_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("opstrace.dogstatsd.listen.MAX_BATCH_PACKETS", 7)
    with udp() as (heard, client):
        for number in range(50):
            client.send(b"a:%d|g" % number)
        heard.listening.wait(0.02)
        assert heard.ear.traffic.packets == 7
        assert heard.gauges() == {"a": 49}
        assert heard.ear.traffic.packets == 50


def test_a_datagram_that_is_too_long_loses_the_line_it_was_cut_in() -> None:
    with udp() as (heard, client):
        client.send(b"fits:1|g|#" + b"x" * 54)
        client.send(b"a:1|g\nlong:1|g|#" + b"x" * 64)
        client.send(b"long:1|g|#" + b"x" * 64)
        assert heard.gauges() == {"fits": 1, "a": 1}
        assert heard.hearing.refused == {"truncated": 2}


def test_a_line_without_an_end_where_one_is_wanted() -> None:
    with udp(eol_required=True) as (heard, client):
        client.send(b"a:1|g\nb:2|g")
        client.send(b"c:3|g\n")
        assert heard.gauges() == {"a": 1, "c": 3}
        assert heard.hearing.refused == {"unterminated": 1}


def frame(lines: bytes) -> bytes:
    return struct.pack("<I", len(lines)) + lines


@pytest.mark.parametrize(
    ("sent", "gauges", "refused"),
    [
        (frame(b"a:1|g") + frame(b"b:2|g\nc:3|g\n"), {"a": 1, "b": 2, "c": 3}, {}),
        (frame(b"a:1|g") + frame(b"") + frame(b"b:2|g"), {"a": 1}, {}),
        (frame(b"a:1|g") + frame(b"x" * 65) + frame(b"b:2|g"), {"a": 1}, {"frame_too_long": 1}),
        (b"\xff\xff\xff\xff", {}, {"frame_too_long": 1}),
        (frame(b"a:1|g")[:-1], {}, {"unfinished_frame": 1}),
        (frame(b"a:1|g")[:3], {}, {"unfinished_frame": 1}),
        (b"", {}, {}),
    ],
)
@pytest.mark.parametrize("pieces", [1, 1000])
def test_streams(short: Path, pieces: int, sent: bytes, gauges: dict[str, int], refused: dict[str, int]) -> None:
    """Frames in one piece and byte by byte."""
    path = short / "stream"
    with opened(settings(f"unixstream://{path}")) as (bound,):
        heard = Heard(bound)
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(path))
            size = max(len(sent) // pieces, 1)
            for start in range(0, len(sent), size):
                heard.listening.wait(0)
                try:
                    client.send(sent[start : start + size])
                except BrokenPipeError:  # closed because of what came before
                    break
        assert heard.gauges() == gauges
        assert heard.hearing.refused == refused


def test_connections_are_bounded(short: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("opstrace.dogstatsd.listen.MAX_STREAM_CONNECTIONS", 2)
    assert MAX_STREAM_CONNECTIONS == 1000
    path = short / "stream"
    with opened(settings(f"unixstream://{path}")) as (bound,), ExitStack() as stack:
        heard = Heard(bound)

        def connected(name: str) -> socket.socket:
            client = stack.enter_context(socket.socket(socket.AF_UNIX))
            client.connect(str(path))
            for _ in range(3):
                heard.listening.wait(0.01)
            return client

        first, second, third = (connected(name) for name in "abc")
        second.sendall(frame(b"b:2|g"))
        assert third.recv(1) == b""
        first.close()
        heard.listening.wait(0.01)
        connected("d").sendall(frame(b"d:4|g"))
        assert heard.gauges() == {"b": 2, "d": 4}
        assert heard.hearing.refused == {"too_many_connections": 1}


def test_sockets_with_files(short: Path) -> None:
    """All may write to them, stale ones are replaced, live ones and other files are left alone."""
    path, file = short / "socket", short / "file"
    url = f"unixgram://{path}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as stale:
        stale.bind(str(path))
    with opened(settings(url)):
        assert path.stat().st_mode & 0o777 == 0o722
        for same in (url, f"unixstream://{path}"):
            with pytest.raises(InstanceError, match="is taken by another process, perhaps an Agent"):
                sockets.opened(settings(same))
    assert not path.exists()
    file.write_text("mine")
    with pytest.raises(InstanceError, match="is there and is no socket"):
        sockets.opened(settings(f"unixgram://{file}"))
    assert file.read_text() == "mine"
    with pytest.raises(InstanceError, match="cannot listen on"):
        sockets.opened(settings(f"unixgram://{short}/none/socket"))


@pytest.mark.parametrize("address", ["127.0.0.1", "[::1]"])
def test_a_taken_port(address: str) -> None:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as taken:
        taken.bind((address.strip("[]"), 0))
        port = taken.getsockname()[1]
        with pytest.raises(InstanceError, match=rf"port {port} on .* \(UDP\) is taken by .*\(pid [0-9]+\); stop it"):
            sockets.opened(settings(f"udp://{address}:{port}"))


def test_what_the_kernel_drops_is_known() -> None:
    with udp() as (heard, client):
        heard.bound.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        assert sockets.kernel_drops(heard.bound) == 0
        for _ in range(200):
            client.send(b"a:1|g|#" + b"x" * 50)
        heard.gauges()
        assert sockets.kernel_drops(heard.bound) == 200 - heard.ear.traffic.packets > 0
