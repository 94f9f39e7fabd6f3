"""Remote read: Prometheus's protobuf messages for whoever wants raw samples by matchers and times.

A request is small and read field by field; an answer's samples are written as one array, whatever their number. Field
numbers are those of prometheus/prometheus: prompb/remote.proto and prompb/types.proto.
"""

import struct
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from cramjam import DecompressionError, snappy

from opstrace.errors import BadQuery
from opstrace.store.backend import Block, Labels, Matcher, MatchOp, Querier
from opstrace.store.histogram import NativeHistogram, ResetHint

if TYPE_CHECKING:
    from numpy.typing import NDArray

MEDIA_TYPE: Final = "application/x-protobuf"
# Of a request, once inflated, and of the queries in it.
MAX_REQUEST_BYTES: Final = 1 << 20
MAX_READS: Final = 1000

_OF_NUMBERS: Final = 0  # the type of answers that this is; the other one streams chunks
_OPS: Final = (MatchOp.EQUAL, MatchOp.NOT_EQUAL, MatchOp.REGEX, MatchOp.NOT_REGEX)
_HINTS: Final = (ResetHint.UNKNOWN, ResetHint.RESET, ResetHint.NOT_RESET, ResetHint.GAUGE)
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
# Times from 1971 to 2109 in ms take six bytes, and a sample then eighteen.
_SIX_BYTES: Final = (1 << 35, 1 << 42)
_SAMPLE_HEAD: Final = bytes((0x12, 16, 0x09))


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
    results = (_field(1, b"".join(_series(querier.select(one.matchers, one.start_ms, one.end_ms)))) for one in wanted)
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


def _matcher(fields: Mapping[int, int | bytes]) -> Matcher:
    kind, name, value = fields.get(1, 0), fields.get(2, b""), fields.get(3, b"")
    if not isinstance(kind, int) or not isinstance(name, bytes) or not isinstance(value, bytes):
        raise TypeError("a matcher has a field of another type")
    return Matcher(name.decode(), _OPS[kind], value.decode())


def _enumerated(value: int | bytes) -> list[int]:
    """Return the numbers of a repeated field, which may be packed."""
    return [value] if isinstance(value, int) else list(value)


def _fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Yield number and content of each field; raise ValueError for what is no message."""
    place = 0
    while place < len(message):
        key, place = _number(message, place)
        number, kind = key >> 3, key & 7
        if kind == _VARINT:
            value, place = _number(message, place)
            yield number, value
            continue
        size = {_FIXED64: 8, _FIXED32: 4}.get(kind)
        if kind == _BYTES:
            size, place = _number(message, place)
        if size is None or place + size > len(message):
            raise ValueError(f"a field is cut short or of no known kind at byte {place}")
        yield number, message[place : place + size]
        place += size


def _number(message: bytes, place: int) -> tuple[int, int]:
    number = 0
    for shift, byte in enumerate(message[place : place + 10]):
        number |= (byte & 0x7F) << 7 * shift
        if byte < 0x80:
            return number, place + shift + 1
    raise ValueError(f"a number does not end at byte {place}")


def _signed(number: int) -> int:
    number &= (1 << 64) - 1
    return number - (1 << 64) if number >> 63 else number


# ---------------------------------------------------------------------------------------------------------------
# Writing


def _series(block: Block) -> Iterator[bytes]:
    """Yield the field of each series, in the order of their labels."""
    rows = sorted(range(len(block.labels)), key=lambda row: sorted(block.labels[row].items()))
    for row in rows:
        part = slice(int(block.offsets[row]), int(block.offsets[row + 1]))
        yield _field(1, _labels(block.labels[row]) + _points(block, part))


def _labels(labels: Labels) -> bytes:
    return b"".join(
        _field(1, _field(1, name.encode()) + _field(2, value.encode())) for name, value in sorted(labels.items())
    )


def _points(block: Block, part: slice) -> bytes:
    times, values = block.timestamps[part], block.values[part]
    if block.histograms is None:
        return _samples(times, values)
    histograms = block.histograms[part]
    floats = np.array([one is None for one in histograms], dtype=bool)
    found = zip(times[~floats].tolist(), histograms[~floats], strict=True)
    return _samples(times[floats], values[floats]) + b"".join(
        _field(4, _histogram(at_ms, one)) for at_ms, one in found
    )


def _samples(times: "NDArray[np.int64]", values: "NDArray[np.float64]") -> bytes:
    """Write samples: tag, length, value, time; all of one length but those of other centuries."""
    if len(times) and not (times.min() >= _SIX_BYTES[0] and times.max() < _SIX_BYTES[1]):
        return b"".join(
            _field(2, b"\x09" + struct.pack("<d", value) + b"\x10" + _varint(at_ms))
            for at_ms, value in zip(times.tolist(), values.tolist(), strict=True)
        )
    rows = np.empty((len(times), 18), dtype=np.uint8)
    rows[:, :3] = np.frombuffer(_SAMPLE_HEAD, dtype=np.uint8)
    rows[:, 3:11] = np.ascontiguousarray(values).view(np.uint8).reshape(-1, 8)
    rows[:, 11] = 0x10
    shifts = np.arange(0, 42, 7)
    rows[:, 12:] = (times[:, None] >> shifts & 0x7F) | np.where(shifts < 35, 0x80, 0)
    return rows.tobytes()


def _histogram(at_ms: int, one: NativeHistogram) -> bytes:
    """Write a histogram as one of floats, which can say all there is."""
    return b"".join(
        (
            _double(2, one.count),
            _double(3, one.sum),
            b"\x20" + _varint(_zigzag(one.schema)),
            _double(5, one.zero_threshold),
            _double(7, one.zero_count),
            _buckets(8, 10, one.negative),
            _buckets(11, 13, one.positive),
            b"\x70" + _varint(_HINTS.index(one.hint)),
            b"\x78" + _varint(at_ms),
            _doubles(16, one.custom_bounds),
        )
    )


def _buckets(spans: int, counts: int, buckets: Mapping[int, float]) -> bytes:
    """Write buckets as spans of neighbours and their counts."""
    found: list[list[int]] = []
    end = 0
    for index in sorted(buckets):
        if found and index == end:
            found[-1][1] += 1
        else:
            found.append([index - end, 1])
        end = index + 1
    parts = (
        _field(spans, b"\x08" + _varint(_zigzag(offset)) + b"\x10" + _varint(length)) for offset, length in found
    )
    return b"".join(parts) + _doubles(counts, [buckets[index] for index in sorted(buckets)])


def _field(number: int, content: bytes) -> bytes:
    return _varint(number << 3 | _BYTES) + _varint(len(content)) + content


def _double(number: int, value: float) -> bytes:
    return _varint(number << 3 | _FIXED64) + struct.pack("<d", value)


def _doubles(number: int, values: Iterable[float]) -> bytes:
    packed = b"".join(struct.pack("<d", value) for value in values)
    return _field(number, packed) if packed else b""


def _zigzag(number: int) -> int:
    return number << 1 ^ number >> 63


def _varint(number: int) -> bytes:
    number &= (1 << 64) - 1
    septets = [number & 0x7F]
    while number := number >> 7:
        septets.append(number & 0x7F)
    return bytes([septet | 0x80 for septet in septets[:-1]] + septets[-1:])
