"""What the process that hears datagrams and the server tell each other: messages, each after its length."""

import struct
from typing import Final

import msgspec

from opstrace.config import Dogstatsd

LENGTH: Final = struct.Struct("<I")
# Reasons that are counted, and not shown in the log: trace-agents without traces send means of nothing, which are no
# numbers, for ever (DataDog/datadog-agent: pkg/trace/timing/timing.go).
QUIET_REASONS: Final = frozenset({"not_finite"})


class Listening(msgspec.Struct, frozen=True):
    """One socket that the process inherits."""

    descriptor: int
    url: str
    tenant: str
    eol_required: bool


class Start(msgspec.Struct, frozen=True):
    """All the process has to know, written to its standard input; the input's end is the end of its work."""

    settings: Dogstatsd
    hostname: str
    listening: list[Listening]
    max_contexts: int
    max_samples: int


class Payload(msgspec.Struct, frozen=True, tag="payload"):
    """A body to be stored."""

    tenant: str
    content: str  # of payloads.Content
    data: bytes


class Busy(msgspec.Struct, frozen=True):
    """A metric's name, and how many lines spoke of it since the process began."""

    tenant: str
    name: str
    lines: int
    recent: int  # in the last reports


class Report(msgspec.Struct, frozen=True, tag="report"):
    """What happened since the report before; by listener or tenant, and what."""

    packets: dict[str, int]
    octets: dict[str, int]
    lines: list[tuple[str, str, int]]  # tenant, type
    refused: list[tuple[str, str, int]]  # tenant, reason
    examples: dict[str, bytes]  # tenant → a line that was refused, for no quiet reason
    blocked: dict[str, int]
    contexts: dict[str, int]  # now
    buckets: dict[str, int]
    lost: int  # flushes, because the server took none
    waiting: int  # flushes, now
    kernel_drops: dict[str, int]  # since the socket was opened
    busiest: list[Busy]


_ENCODER: Final = msgspec.msgpack.Encoder()
_DECODER: Final = msgspec.msgpack.Decoder(Payload | Report)


def encoded(message: Payload | Report | Start) -> bytes:
    """Return a message with its length before it."""
    data = _ENCODER.encode(message)
    return LENGTH.pack(len(data)) + data


def decoded(data: bytes) -> Payload | Report:
    """Return a message without its length; raise msgspec.DecodeError."""
    message: Payload | Report = _DECODER.decode(data)
    return message


def decoded_start(data: bytes) -> Start:
    """Return the first message, without its length; raise msgspec.DecodeError."""
    return msgspec.msgpack.decode(data, type=Start)
