"""A segment of kept requests, byte by byte: which records in it can be read, and what else there is.

Whoever looks for the next record behind a damaged place finds it by how every description begins; its checksum says
whether it is one.
"""

import struct
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

MAGIC: Final = b"opskept1"
LENGTHS: Final = struct.Struct("<III")  # of the request, of its body; CRC-32 of both
_DESCRIPTION: Final = b'{"time_ms":'
# Places behind a damaged one that may begin a record; each costs a checksum of what it says is its length.
_MAX_TRIES: Final = 1000


@dataclass(frozen=True, slots=True)
class Stretch:
    """Bytes of a segment, and what is in them."""

    begin: int
    end: int
    records: int
    body_bytes: int

    def of(self, content: bytes) -> bytes:
        """Return the bytes."""
        return content[self.begin : self.end]


@dataclass(frozen=True, slots=True)
class Survey:
    """What there is in a segment; what follows `whole` was torn off by a crash."""

    readable: list[Stretch]
    damaged: list[Stretch]
    whole: int


def survey(content: bytes) -> Survey:
    """Say what can be read of a segment, what is damaged, and where its torn end begins."""
    at = len(MAGIC) if content.startswith(MAGIC) else 0
    readable: list[Stretch] = []
    damaged: list[Stretch] = []
    while at < len(content):
        found = _record(content, at)
        if found:
            readable.append(found)
            at = found.end
        elif (following := _following(content, at)) is not None:
            damaged.append(_lost(content, at, following))
            at = following
        elif _torn(content, at):
            break
        else:
            damaged.append(_lost(content, at, len(content)))
            at = len(content)
    return Survey(readable, damaged, at)


def checksum(request: bytes | memoryview, body: bytes | memoryview) -> int:
    """Return what the head of a record holds of it."""
    return zlib.crc32(body, zlib.crc32(request))


def totals(stretches: Iterable[Stretch]) -> tuple[int, int]:
    """Return how many records there are in stretches, and how large their bodies are."""
    found = list(stretches)
    return sum(one.records for one in found), sum(one.body_bytes for one in found)


def _head(content: bytes, at: int) -> tuple[int, int, int] | None:
    """Return the lengths and the checksum at a place; None where what they tell of does not fit in."""
    if at + LENGTHS.size > len(content):
        return None
    request_bytes, body_bytes, expected = LENGTHS.unpack_from(content, at)
    fits = at + LENGTHS.size + request_bytes + body_bytes <= len(content)
    return (request_bytes, body_bytes, expected) if fits else None


def _record(content: bytes, at: int) -> Stretch | None:
    """Return the record that begins at a place, if it can be read."""
    head = _head(content, at)
    if head is None or not content.startswith(_DESCRIPTION, at + LENGTHS.size):
        return None
    request_bytes, body_bytes, expected = head
    body = at + LENGTHS.size + request_bytes
    view = memoryview(content)
    if checksum(view[at + LENGTHS.size : body], view[body : body + body_bytes]) != expected:
        return None
    return Stretch(at, body + body_bytes, 1, body_bytes)


def _following(content: bytes, at: int) -> int | None:
    """Return where the next readable record begins behind a damaged place: where that says, or anywhere."""
    if (head := _head(content, at)) and _record(content, said := at + LENGTHS.size + head[0] + head[1]):
        return said
    tries, place = 0, at
    while tries < _MAX_TRIES and (place := content.find(_DESCRIPTION, place + 1)) >= 0:
        begin = place - LENGTHS.size
        if begin > at and _head(content, begin):
            if _record(content, begin):
                return begin
            tries += 1
    return None


def _torn(content: bytes, at: int) -> bool:
    """Say whether the rest is what a crash leaves: less than a record, or room that was never written to."""
    return _head(content, at) is None or not content[at:].strip(b"\0")


def _lost(content: bytes, begin: int, end: int) -> Stretch:
    """Return a damaged stretch, with as many records and as much of bodies as it seems to have had."""
    head = _head(content, begin)
    if head and begin + LENGTHS.size + head[0] + head[1] == end:
        return Stretch(begin, end, 1, head[1])
    if end - begin <= LENGTHS.size:
        return Stretch(begin, end, 0, 0)
    return Stretch(begin, end, max(content.count(_DESCRIPTION, begin, end), 1), end - begin)
