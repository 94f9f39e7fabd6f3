"""How many things a body holds: each costs the same whether it says anything or not, and an empty one has two bytes.

They are counted by the bytes that each begins with, before anything is decoded: there are no more of them than of
these, and rarely fewer.
"""

from collections.abc import Mapping
from typing import Final

import numpy as np

from opstrace.errors import PayloadTooLarge
from opstrace.intake.payload import Family

# Of one body: series and points, sketches, events, or lines of logs.
MAX_THINGS: Final = 500_000

_OF_JSON: Final = b"{["
# In protobuf these are the keys of fields that repeat (DataDog/agent-payload: proto/metrics/agent_payload.proto).
_MARKS: Final[Mapping[Family, bytes]] = {
    Family.SERIES_V2_PROTOBUF: b'\n"',  # series, points
    Family.SKETCHES: b"\n:",  # sketches, those of one series
    Family.EVENTS_BATCH: b"\n",
    Family.LOGS_TEXT: b"\n",
    Family.SERIES_V1: _OF_JSON,
    Family.SERIES_V2_JSON: _OF_JSON,
    Family.CHECK_RUN: _OF_JSON,
    Family.DISTRIBUTION_POINTS: _OF_JSON,
    Family.INTAKE: _OF_JSON,
}
# Marks that are common in tags; a field whose content is as short stands in no text.
_IN_TEXT: Final = {Family.SKETCHES: ord(":")}
_SHORT: Final = ord(" ")


def things_in(family: Family, content: bytes) -> int:
    """Return how many things a body holds, at most, as far as they are counted; raise PayloadTooLarge."""
    things = count_of(content, _MARKS.get(family, b""))
    if things > MAX_THINGS and family in _IN_TEXT:
        things -= _in_text(content, _IN_TEXT[family])
    if things > MAX_THINGS:
        raise PayloadTooLarge(
            f"payload too large: it holds more than {MAX_THINGS} series, points, events or lines; send it in parts"
        )
    return things


def count_of(content: bytes, marks: bytes) -> int:
    """Return how many bytes of a body are marks; `bytes.count` takes five times as long for those that are many."""
    codes = np.frombuffer(content, np.uint8)
    return sum(int(np.count_nonzero(codes == mark)) for mark in marks)


def _in_text(content: bytes, mark: int) -> int:
    """Return how many marks no short field follows."""
    codes = np.frombuffer(content, np.uint8)
    return int(np.count_nonzero((codes[:-1] == mark) & (codes[1:] >= _SHORT)))
