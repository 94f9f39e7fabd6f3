"""Series in Prometheus's protobuf messages; an answer to a remote read and a remote write hold them alike.

Samples are written as one array, whatever their number. Field numbers are those of prometheus/prometheus:
prompb/types.proto.
"""

import struct
from collections.abc import Iterable, Iterator, Mapping
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from opstrace.protobuf_wire import FIXED64, field, varint, zigzag
from opstrace.store.backend import Block, Labels
from opstrace.store.histogram import NativeHistogram, ResetHint
from opstrace.store.traits import STALE, stale

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Bools = NDArray[np.bool_]

_MOST_WHOLE: Final = 1 << 53  # of counts that a double holds to the last one
_HINTS: Final = (ResetHint.UNKNOWN, ResetHint.RESET, ResetHint.NOT_RESET, ResetHint.GAUGE)
# Times from 1971 to 2109 in ms take six bytes, and a sample then eighteen.
_SIX_BYTES: Final = (1 << 35, 1 << 42)
_SAMPLE_HEAD: Final = bytes((0x12, 16, 0x09))


def series_fields(block: Block) -> Iterator[bytes]:
    """Yield the field of each series, in the order of their labels."""
    rows = sorted(range(len(block.labels)), key=lambda row: sorted(block.labels[row].items()))
    for row in rows:
        part = slice(int(block.offsets[row]), int(block.offsets[row + 1]))
        yield series(block.labels[row], _points(block, part))


def series(labels: Labels, points: bytes) -> bytes:
    """Return the field that is one series; its points are of `sample` and `histogram`."""
    return field(1, _labels(labels) + points)


def sample(at_ms: int, value: float) -> bytes:
    """Return the field that is one sample of a series."""
    return field(2, b"\x09" + struct.pack("<d", value) + b"\x10" + varint(at_ms))


def histogram(at_ms: int, one: NativeHistogram) -> bytes:
    """Return the field that is one native histogram of a series."""
    return field(4, _histogram(at_ms, one))


def _labels(labels: Labels) -> bytes:
    return b"".join(
        field(1, field(1, name.encode()) + field(2, value.encode())) for name, value in sorted(labels.items())
    )


def _points(block: Block, part: slice) -> bytes:
    times, values = block.timestamps[part], block.values[part]
    if block.histograms is None:
        return _samples(times, values)
    histograms = block.histograms[part]
    ends = _ends(histograms, stale(values))
    floats = np.array([one is None for one in histograms], dtype=bool) & ~ends
    found = zip(times[~floats].tolist(), histograms[~floats], strict=True)
    return _samples(times[floats], values[floats]) + b"".join(
        _ended(at_ms) if one is None else _whole_histogram(at_ms, one) for at_ms, one in found
    )


def _ends(histograms: "NDArray[Any]", markers: "Bools") -> "Bools":
    """Say which stale markers come right after a histogram: they are written as histograms, too."""
    ends, of_histograms = np.zeros(len(histograms), dtype=bool), False
    for place, (one, marks) in enumerate(zip(histograms, markers.tolist(), strict=True)):
        if one is None and marks:
            ends[place] = of_histograms
        else:
            of_histograms = one is not None
    return ends


def _ended(at_ms: int) -> bytes:
    """Return the field of a histogram that says by its sum that there are no more."""
    return field(4, b"\x08\x00" + _double(3, STALE) + b"\x78" + varint(at_ms))


def _whole_histogram(at_ms: int, one: NativeHistogram) -> bytes:
    """Return the field of a histogram, with whole counts where they are.

    A Prometheus takes all histograms that it reads for such, whatever they say, and fails at others in a range. Of
    those with bounds of their own it would lose the bounds.
    """
    counts = (one.count, one.zero_count, *one.negative.values(), *one.positive.values())
    whole = all(map(float.is_integer, counts)) and 0 <= min(counts) <= max(counts) <= _MOST_WHOLE
    if one.custom_bounds or not whole:
        return histogram(at_ms, one)
    return field(
        4,
        b"".join(
            (
                b"\x08" + varint(int(one.count)),
                _double(3, one.sum),
                b"\x20" + varint(zigzag(one.schema)),
                _double(5, one.zero_threshold),
                b"\x30" + varint(int(one.zero_count)),
                _spans(8, one.negative) + _deltas(9, one.negative),
                _spans(11, one.positive) + _deltas(12, one.positive),
                b"\x70" + varint(_HINTS.index(one.hint)),
                b"\x78" + varint(at_ms),
            )
        ),
    )


def _samples(times: "NDArray[np.int64]", values: "NDArray[np.float64]") -> bytes:
    """Write samples: tag, length, value, time; all of one length but those of other centuries."""
    if len(times) and not (times.min() >= _SIX_BYTES[0] and times.max() < _SIX_BYTES[1]):
        return b"".join(map(sample, times.tolist(), values.tolist()))
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
            b"\x20" + varint(zigzag(one.schema)),
            _double(5, one.zero_threshold),
            _double(7, one.zero_count),
            _spans(8, one.negative) + _doubles(10, _counts(one.negative)),
            _spans(11, one.positive) + _doubles(13, _counts(one.positive)),
            b"\x70" + varint(_HINTS.index(one.hint)),
            b"\x78" + varint(at_ms),
            _doubles(16, one.custom_bounds),
        )
    )


def _counts(buckets: Mapping[int, float]) -> list[float]:
    return [buckets[index] for index in sorted(buckets)]


def _deltas(number: int, buckets: Mapping[int, float]) -> bytes:
    """Write whole counts, each as what it is more than the one before."""
    pairs = pairwise([0, *map(int, _counts(buckets))])
    packed = b"".join(varint(zigzag(after - before)) for before, after in pairs)
    return field(number, packed) if packed else b""


def _spans(number: int, buckets: Mapping[int, float]) -> bytes:
    """Write where buckets are, as spans of neighbours."""
    found: list[list[int]] = []
    end = 0
    for index in sorted(buckets):
        if found and index == end:
            found[-1][1] += 1
        else:
            found.append([index - end, 1])
        end = index + 1
    parts = (field(number, b"\x08" + varint(zigzag(offset)) + b"\x10" + varint(length)) for offset, length in found)
    return b"".join(parts)


def _double(number: int, value: float) -> bytes:
    return varint(number << 3 | FIXED64) + struct.pack("<d", value)


def _doubles(number: int, values: Iterable[float]) -> bytes:
    packed = b"".join(struct.pack("<d", value) for value in values)
    return field(number, packed) if packed else b""
