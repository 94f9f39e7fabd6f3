"""Remote read: Prometheus's protobuf messages for whoever wants raw samples by matchers and times.

A request is small and read field by field. Field numbers are those of prometheus/prometheus: prompb/remote.proto and
prompb/types.proto.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from cramjam import DecompressionError, snappy

from opstrace.errors import BadQuery
from opstrace.protobuf_wire import VARINT, field, fields, number_at
from opstrace.store.backend import Matcher, MatchOp, Querier
from opstrace.store.series_message import series_fields

MEDIA_TYPE: Final = "application/x-protobuf"
# Of a request, once inflated, and of the queries in it.
MAX_REQUEST_BYTES: Final = 1 << 20
MAX_READS: Final = 1000

_OF_NUMBERS: Final = 0  # the type of answers that this is; the other one streams chunks
_OPS: Final = (MatchOp.EQUAL, MatchOp.NOT_EQUAL, MatchOp.REGEX, MatchOp.NOT_REGEX)


@dataclass(frozen=True, slots=True)
class Read:
    """One query: which series, from when to when."""

    matchers: tuple[Matcher, ...]
    start_ms: int
    end_ms: int


def reads(body: bytes) -> list[Read]:
    """Return the queries of a request's body; raise BadQuery for what is none."""
    try:
        if body and snappy.decompress_raw_len(body) > MAX_REQUEST_BYTES:
            raise BadQuery(f"the request is larger than {MAX_REQUEST_BYTES} bytes")
        message = bytes(snappy.decompress_raw(body)) if body else b""
        found = list(_fields(message))
    except (DecompressionError, ValueError) as error:
        raise BadQuery(f"the body is no remote read request in Snappy: {error}") from None
    accepted = [kind for number, value in found if number == 2 for kind in _enumerated(value)]
    if accepted and _OF_NUMBERS not in accepted:
        raise BadQuery("only the response type SAMPLES is served")
    queries = [value for number, value in found if number == 1 and isinstance(value, bytes)]
    if len(queries) > MAX_READS:
        raise BadQuery(f"a request may have {MAX_READS} queries at most")
    try:
        return [_read(query) for query in queries]
    except (ValueError, TypeError, IndexError) as error:
        raise BadQuery(f"the body is no remote read request: {error}") from None


def answer(querier: Querier, wanted: Iterable[Read]) -> bytes:
    """Return the body that answers queries, compressed."""
    results = (
        field(1, b"".join(series_fields(querier.select(one.matchers, one.start_ms, one.end_ms)))) for one in wanted
    )
    return bytes(snappy.compress_raw(b"".join(results)))


# ---------------------------------------------------------------------------------------------------------------
# Reading


def _read(message: bytes) -> Read:
    times = {1: 0, 2: 0}
    matchers = []
    for number, value in _fields(message):
        if number in times and isinstance(value, int):
            times[number] = _signed(value)
        elif number == 3 and isinstance(value, bytes):
            matchers.append(_matcher(dict(_fields(value))))
    return Read(tuple(matchers), times[1], times[2])


def _matcher(said: Mapping[int, int | bytes]) -> Matcher:
    kind, name, value = said.get(1, 0), said.get(2, b""), said.get(3, b"")
    if not isinstance(kind, int) or not isinstance(name, bytes) or not isinstance(value, bytes):
        raise TypeError("a matcher has a field of another type")
    if kind >= len(_OPS):
        raise ValueError(f"a matcher has type {kind}, and there are types 0 to {len(_OPS) - 1}")
    return Matcher(name.decode(), _OPS[kind], value.decode())


def _enumerated(value: int | bytes) -> list[int]:
    """Return the numbers of a repeated field, which may be packed."""
    return [value] if isinstance(value, int) else list(value)


def _fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Yield number and content of each field; raise ValueError for what is no message."""
    for number, kind, start, end in fields(message):
        yield number, number_at(message, start)[0] if kind == VARINT else message[start:end]


def _signed(number: int) -> int:
    number &= (1 << 64) - 1
    return number - (1 << 64) if number >> 63 else number
