"""From sockets to lines: datagrams, and streams of frames. Everything here runs in one thread, and never waits.

dogstatsd-and-sketches.md, section 2 (DataDog/datadog-agent: comp/dogstatsd/listeners).
"""

import contextlib
import selectors
import socket
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from opstrace.dogstatsd.aggregate import Aggregator

# Datagrams that are read before anything else has its turn; joined, they are taken in at once.
MAX_BATCH_PACKETS: Final = 256
MAX_STREAM_CONNECTIONS: Final = 1000
_FRAME: Final = struct.Struct("<I")
_CHUNK: Final = 64 * 1024


@dataclass(slots=True)
class Traffic:
    """What came in by one listener since it was last asked for."""

    packets: int = 0
    bytes: int = 0


@dataclass(slots=True)
class Ear:
    """One listener: its socket, the aggregator that takes its lines, the longest packet it accepts."""

    socket: socket.socket
    url: str
    aggregator: Aggregator
    max_packet: int
    eol_required: bool = False
    traffic: Traffic = field(default_factory=Traffic)

    def take(self, packets: Sequence[bytes], now_s: float) -> None:
        """Take in packets, none of which ends within a line of the next."""
        lengths = [*map(len, packets)]
        self.traffic.packets += len(packets)
        self.traffic.bytes += sum(lengths)
        if self.eol_required or max(lengths) > self.max_packet:
            packets = [self._whole(packet) for packet in packets]
        self.aggregator.take(b"\n".join(packets), now_s)

    def _whole(self, packet: bytes) -> bytes:
        """Return a packet without the line that was cut off because it was too long, or that has no end."""
        reason = "truncated" if len(packet) > self.max_packet else "unterminated" if self.eol_required else ""
        if not reason:
            return packet
        lines, _, rest = packet[: self.max_packet].rpartition(b"\n")
        if rest or reason == "truncated":
            self.aggregator.refuse(reason, rest)
        return lines


class Listening:
    """The sockets of a process, and what is to be done when one of them can be read."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._selector = selectors.DefaultSelector()
        self._clock = clock
        self._connections: set[socket.socket] = set()

    def add(self, ear: Ear) -> None:
        """Listen."""
        ear.socket.setblocking(False)
        stream = ear.socket.type == socket.SOCK_STREAM
        read = (lambda: self._accept(ear)) if stream else (lambda: self._receive(ear))
        self._selector.register(ear.socket, selectors.EVENT_READ, read)

    def watch(self, descriptor: int, call: Callable[[], None]) -> None:
        """Call a function whenever a descriptor can be read."""
        self._selector.register(descriptor, selectors.EVENT_READ, call)

    def wait(self, timeout_s: float) -> None:
        """Read what there is to be read, waiting so long for it."""
        for key, _ in self._selector.select(timeout_s):
            key.data()

    def close(self) -> None:
        """Listen no more."""
        self._selector.close()
        for connection in self._connections:
            connection.close()

    def _receive(self, ear: Ear) -> None:
        packets: list[bytes] = []
        # One byte more than is allowed, so that a packet that is too long can be told.
        receive, size = ear.socket.recv, ear.max_packet + 1
        with contextlib.suppress(OSError):  # nothing more is there, or never was
            while len(packets) < MAX_BATCH_PACKETS:
                packets.append(receive(size))
        if packets:
            ear.take(packets, self._clock())

    def _accept(self, ear: Ear) -> None:
        try:
            connection, _ = ear.socket.accept()
        except OSError:
            return
        if len(self._connections) >= MAX_STREAM_CONNECTIONS:
            ear.aggregator.refuse("too_many_connections", b"")
            connection.close()
            return
        connection.setblocking(False)
        self._connections.add(connection)
        frames = _Frames(ear)
        self._selector.register(connection, selectors.EVENT_READ, lambda: self._read_stream(ear, connection, frames))

    def _read_stream(self, ear: Ear, connection: socket.socket, frames: "_Frames") -> None:
        try:
            chunk = connection.recv(_CHUNK)
        except BlockingIOError:
            return
        except OSError:
            chunk = b""
        packets, open_ = frames.feed(chunk)
        if packets:
            ear.take(packets, self._clock())
        if not (chunk and open_):
            self._selector.unregister(connection)
            self._connections.remove(connection)
            connection.close()


class _Frames:
    """The frames of one connection: a length in four bytes, then so many bytes of lines."""

    def __init__(self, ear: Ear) -> None:
        self._ear = ear
        self._rest = b""

    def feed(self, chunk: bytes) -> tuple[list[bytes], bool]:
        """Return the packets that are complete now, and whether more may come on this connection."""
        data, start = self._rest + chunk, 0
        packets: list[bytes] = []
        while len(data) - start >= _FRAME.size:
            (length,) = _FRAME.unpack_from(data, start)
            if length > self._ear.max_packet:
                self._ear.aggregator.refuse("frame_too_long", b"")
                return packets, False
            if length == 0:
                return packets, False
            end = start + _FRAME.size + length
            if len(data) < end:
                break
            packets.append(data[start + _FRAME.size : end])
            start = end
        self._rest = data[start:]
        if not chunk and self._rest:
            self._ear.aggregator.refuse("unfinished_frame", b"")
        return packets, True
