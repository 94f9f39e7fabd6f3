"""Datagrams' lines: the grammar of metrics, events and service checks, as the Agent reads it.

dogstatsd-and-sketches.md, sections 3, 6 and 7 (DataDog/datadog-agent: comp/dogstatsd/server/impl/parse*.go). Lines
are bytes, because lengths in events count bytes; text in what comes of them is Unicode.
"""

import re
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final

from opstrace.golang import parse_float

_INTEGER: Final = re.compile(rb"[+-]?[0-9]+")
_INT64: Final = range(-(2**63), 2**63)

_EVENT: Final = b"_e{"
# Without the pipe, as the Agent has it: no metric's name can begin so.
_CHECK: Final = b"_sc"
_SHORTEST_HEADER: Final = 7  # bytes of `_e{1,1}`
# What events may say; anything else is as if it had not been said.
_PRIORITIES: Final = frozenset(("normal", "low"))
_ALERT_TYPES: Final = frozenset(("error", "warning", "info", "success"))
_STATUSES: Final = {b"0": 0, b"1": 1, b"2": 2, b"3": 3}


class Kind(Enum):
    """A metric's type; the value is the word on the wire."""

    COUNTER = "c"
    GAUGE = "g"
    HISTOGRAM = "h"
    TIMING = "ms"
    DISTRIBUTION = "d"
    SET = "s"


_KINDS: Final = {kind.value.encode(): kind for kind in Kind}


class Malformed(Exception):
    """A line that is refused; the reason is what it is counted under."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Metric:
    """One line of a metric."""

    name: str
    kind: Kind
    values: tuple[float, ...]  # none of a set
    member: bytes = b""  # of a set
    rate: float = 1.0
    tags: tuple[str, ...] = ()  # as they came
    timestamp: int | None = None  # s


@dataclass(frozen=True, slots=True)
class Event:
    """One event; what it did not say is empty, 0 for its time."""

    title: str
    text: str
    time_s: int = 0
    host: str = ""
    aggregation_key: str = ""
    priority: str = "normal"
    source_type: str = ""
    alert_type: str = "info"
    tags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ServiceCheck:
    """One run of a service check; what it did not say is empty, 0 for its time."""

    name: str
    status: int
    time_s: int = 0
    host: str = ""
    message: str = ""
    tags: tuple[str, ...] = ()


def parse(line: bytes, *, timestamps: bool = True) -> Metric | Event | ServiceCheck:
    """Return what a line says; raise Malformed. Without `timestamps` a metric's are not looked at."""
    if line.startswith(_EVENT):
        return _event(line)
    if line.startswith(_CHECK):
        return _service_check(line)
    return _metric(line, timestamps=timestamps)


def number(raw: bytes) -> float:
    """Return a number as Go's float parser reads it, which may be infinite or NaN; raise Malformed."""
    # What is no ASCII is no number either.
    found = parse_float(raw.decode("latin-1"))
    if found is None:
        raise Malformed("bad_value")
    return found


def numbers(raw: bytes) -> tuple[float, ...]:
    """Return packed values, of which empty ones are skipped; raise Malformed."""
    if not raw:
        raise Malformed("no_value")
    found = tuple(number(one) for one in raw.split(b":") if one)
    if not found:
        raise Malformed("bad_value")
    return found


def sane_rate(rate: float) -> float:
    """Return a sample rate that is one: anything that is no share of the samples counts as all of them."""
    return rate if 0.0 < rate <= 1.0 else 1.0


def _metric(line: bytes, *, timestamps: bool) -> Metric:
    first, *fields = line.split(b"|")
    if not fields:
        raise Malformed("no_type")
    name, _, value = first.partition(b":")
    if not name:
        raise Malformed("no_name")
    if not value:
        raise Malformed("no_value")
    kind = _KINDS.get(fields[0])
    if kind is None:
        raise Malformed("unknown_type")
    values, member = ((), value) if kind is Kind.SET else (numbers(value), b"")
    rate, timestamp = 1.0, None
    tags: tuple[str, ...] = ()
    # Of a field that comes twice the last counts; those that tell of containers are for Agents that look for them.
    for field in fields[1:]:
        if field.startswith(b"#"):
            tags = _tags(field)
        elif field.startswith(b"@"):
            rate = _rate(field[1:])
        elif field.startswith(b"T") and timestamps:
            timestamp = _timestamp(field[1:])
    return Metric(_text(name), kind, values, member, rate, tags, timestamp)


def _rate(raw: bytes) -> float:
    try:
        return number(raw)
    except Malformed:
        raise Malformed("bad_rate") from None


def _timestamp(raw: bytes) -> int:
    found = _integer(raw)
    if found is None or found < 1:
        raise Malformed("bad_timestamp")
    return found


def _event(line: bytes) -> Event:
    header, colon, body = line.partition(b":")
    if not colon or len(header) < _SHORTEST_HEADER:
        raise Malformed("bad_event")
    # The last byte of the header is a brace, or should be: the Agent does not look.
    lengths = [_integer(raw) for raw in header[len(_EVENT) : -1].split(b",", 1)]
    if len(lengths) != 2 or lengths[0] is None or lengths[1] is None or lengths[0] <= 0 or lengths[1] < 0:
        raise Malformed("bad_event")
    ends = lengths[0], lengths[0] + 1 + lengths[1]
    if len(body) < ends[1]:
        raise Malformed("bad_event")
    said = _event_fields(body[ends[1] + 1 :])
    return Event(_unescaped(body[: ends[0]]), _unescaped(body[ends[0] + 1 : ends[1]]), **said)


def _event_fields(raw: bytes) -> dict[str, Any]:
    said: dict[str, Any] = {}
    for field in raw.split(b"|"):
        prefix, value = field[:2], field[2:]
        if field.startswith(b"#"):
            said["tags"] = _tags(field)
        elif prefix == b"d:" and (time_s := _integer(value)) is not None:
            said["time_s"] = max(time_s, 0)
        elif prefix == b"p:" and _text(value) in _PRIORITIES:
            said["priority"] = _text(value)
        elif prefix == b"t:" and _text(value) in _ALERT_TYPES:
            said["alert_type"] = _text(value)
        elif prefix in _EVENT_TEXTS:
            said[_EVENT_TEXTS[prefix]] = _text(value)
    return said


_EVENT_TEXTS: Final = {b"h:": "host", b"k:": "aggregation_key", b"s:": "source_type"}


def _service_check(line: bytes) -> ServiceCheck:
    head, *fields = line.split(b"|")
    if head != _CHECK or len(fields) < 2 or not fields[0] or fields[1] not in _STATUSES:
        raise Malformed("bad_service_check")
    said: dict[str, Any] = {}
    for field in fields[2:]:
        prefix, value = field[:2], field[2:]
        if field.startswith(b"#"):
            said["tags"] = _tags(field)
        elif prefix == b"d:" and (time_s := _integer(value)) is not None:
            said["time_s"] = max(time_s, 0)
        elif prefix == b"h:":
            said["host"] = _text(value)
        elif prefix == b"m:":  # as it came: the Agent does not unescape it
            said["message"] = _text(value)
    return ServiceCheck(_text(fields[0]), _STATUSES[fields[1]], **said)


def _tags(field: bytes) -> tuple[str, ...]:
    return tuple(_text(field[1:]).split(",")) if len(field) > 1 else ()


def _integer(raw: bytes) -> int | None:
    """Return a decimal integer of 64 bits as Go's parser reads it, or None."""
    if not _INTEGER.fullmatch(raw) or len(raw) > 40:
        return None
    found = int(raw)
    return found if found in _INT64 else None


def _unescaped(raw: bytes) -> str:
    return _text(raw.replace(b"\\n", b"\n"))


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "replace")
