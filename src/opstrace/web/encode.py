"""Query results as the JSON bytes of Prometheus's HTTP API.

Samples are turned to text and joined a slice of series at a time: Python touches series, never samples.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain, groupby, pairwise
from operator import itemgetter
from typing import TypeAlias

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from isal import isal_zlib
from numpy.typing import NDArray

from opstrace.promql import native
from opstrace.promql.engine import Result
from opstrace.promql.numbers import spelled_number
from opstrace.promql.utf8 import sayable
from opstrace.promql.values import filled
from opstrace.ragged import places
from opstrace.store.backend import Block, Labels, memoised
from opstrace.store.histogram import NativeHistogram
from opstrace.web.numerals import format_floats, format_time, format_times, with_floats

# A part of an answer on its way out.
Piece: TypeAlias = bytes | memoryview

# Samples turned to text at once; bounds the memory one answer takes beside its result.
SLICE_SAMPLES = 32_768
# Below this, gzip costs more than it saves.
GZIP_FROM_BYTES = 1_024
# The fastest but one; the fastest is as fast, and packs worse.
_GZIP_LEVEL = 1
_GZIP_WINDOW = 16 + isal_zlib.MAX_WBITS  # 16 asks for gzip's header and trailer

_to_json = msgspec.json.Encoder().encode


def success(data: Iterable[Piece], warnings: Sequence[str] = (), infos: Sequence[str] = ()) -> Iterator[Piece]:
    """Wrap the JSON of `data` in the envelope of a good answer, piece by piece."""
    yield b'{"status":"success","data":'
    yield from data
    for key, texts in ((b"warnings", warnings), (b"infos", infos)):
        if texts:
            yield b',"' + key + b'":' + json_bytes(list(texts))
    yield b"}"


def error(error_type: str, message: str) -> bytes:
    """Return the JSON of a refusal."""
    return json_bytes({"status": "error", "errorType": error_type, "error": message})


def json_bytes(value: object) -> bytes:
    """Return plain data as JSON; a character that UTF-8 cannot say becomes U+FFFD."""
    try:
        return _to_json(value)
    except UnicodeEncodeError:
        return _to_json(_sayable(value))


def _sayable(value: object) -> object:
    match value:
        case str():
            return sayable(value)
        case dict():
            return {_sayable(key): _sayable(item) for key, item in value.items()}
        case list() | tuple():
            return [_sayable(item) for item in value]
        case _:
            return value


def gzipped(pieces: Iterable[Piece]) -> tuple[Iterator[Piece], bool]:
    """Compress an answer piece by piece; return a small one as it is, and whether it is compressed."""
    rest = iter(pieces)
    head: list[Piece] = []
    size = 0
    for piece in rest:
        head.append(piece)
        size += len(piece)
        if size >= GZIP_FROM_BYTES:
            return _compressed(chain(head, rest)), True
    return iter(head), False


def _compressed(pieces: Iterable[Piece]) -> Iterator[Piece]:
    compressor = isal_zlib.compressobj(_GZIP_LEVEL, isal_zlib.DEFLATED, _GZIP_WINDOW)
    for piece in pieces:
        if compressed := compressor.compress(piece):
            yield compressed
    yield compressor.flush()


# Entries of a list turned to JSON at once.
_SLICE_ENTRIES = 10_000


def list_json(entries: Sequence[str] | Sequence[Labels]) -> Iterator[bytes]:
    """Return names, values or label sets as the `data` of an answer, piece by piece."""
    for start in range(0, len(entries), _SLICE_ENTRIES):
        part = entries[start : start + _SLICE_ENTRIES]
        yield _separator(start) + b",".join(
            json_bytes(entry) if isinstance(entry, str) else _metric(entry) for entry in part
        )
    yield b"]" if entries else b"[]"


# ---------------------------------------------------------------------------------------------------------------
# Results


def result_json(result: Result, stats: bytes = b"") -> Iterator[Piece]:
    """Return a result as the `data` of a query's answer, piece by piece; statistics where they were asked for."""
    kind = "matrix" if result.raw is not None else result.kind
    yield b'{"resultType":"' + kind.encode() + b'","result":'
    yield from _SHAPES[kind](result)
    yield (b',"stats":' + stats if stats else b"") + b"}"


# `[1700000000.123,"-1.2345678901234567e-300"],` with a time of any length.
_LONGEST_SAMPLE = 56
# A character of a label may become `\u001f`. Around a label are quotes and signs, around a series `"metric"` etc.
_LONGEST_CHARACTER, _AROUND_LABEL, _AROUND_SERIES, _AROUND_ALL = 6, 6, 50, 50


def bytes_at_most(result: Result) -> float:
    """Return how many bytes `result_json` does not go beyond; infinity where only making it tells."""
    if result.raw is not None:
        labels, samples, histograms = result.raw.labels, len(result.raw.values), result.raw.histograms
    else:
        labels, samples, histograms = result.labels, int(np.count_nonzero(result.present)), result.histograms
    if histograms is not None or result.kind == "string":
        return math.inf
    of_labels = memoised(labels, "bytes at most", lambda: sum(map(_label_bytes_at_most, labels)))
    return _AROUND_ALL + _LONGEST_SAMPLE * samples + of_labels


def _label_bytes_at_most(labels: Labels) -> int:
    characters = sum(len(name) + len(value) for name, value in labels.items())
    return _LONGEST_CHARACTER * characters + _AROUND_LABEL * len(labels) + _AROUND_SERIES


def _scalar(result: Result) -> Iterator[Piece]:
    yield f'[{format_time(int(result.timestamps[0]))},"{spelled_number(float(result.values[0, 0]))}"]'.encode()


def _string(result: Result) -> Iterator[Piece]:
    yield b"[" + format_time(int(result.timestamps[0])).encode() + b"," + json_bytes(result.text) + b"]"


def _vector(result: Result) -> Iterator[Piece]:
    there = np.flatnonzero(result.present[:, 0])
    at = format_time(int(result.timestamps[0])).encode()
    for part in _slices(np.arange(len(there) + 1)):
        indices = there[part]
        samples = [b'"value":[' + at + b',"' + text + b'"]' for text in _float_texts(result.values[indices, 0])]
        if result.histograms is not None:
            for place in np.flatnonzero(filled(result.histograms[indices, 0])).tolist():
                histogram = result.histograms[indices[place], 0]
                samples[place] = b'"histogram":[' + at + b"," + histogram_json(histogram) + b"]"
        metrics = (_metric(result.labels[index]) for index in indices)
        rows = (
            b'{"metric":' + metric + b"," + sample + b"}" for metric, sample in zip(metrics, samples, strict=True)
        )
        yield _separator(part.start) + b",".join(rows)
    yield b"[]" if not len(there) else b"]"


def _float_texts(values: NDArray[np.float64]) -> list[bytes]:
    texts: list[bytes] = format_floats(values).cast(pa.binary()).to_pylist()
    return texts


def _matrix(result: Result) -> Iterator[Piece]:
    return _series_json(_of_grid(result) if result.raw is None else _of_block(result.raw))


@dataclass(frozen=True, slots=True)
class _Series:
    """Some series of a matrix, with N samples: those of series i are `offsets[i]:offsets[i + 1]`, one at least.

    Every sample has its opening, the text before its value. The openings of T distinct times are `],[1.5,"` for all
    of them, then `[1.5,"`, as the first sample of a series begins.
    """

    heads: pa.LargeBinaryArray  # of each series: `]]},{"metric":{…},"values":[`
    offsets: NDArray[np.int64]
    openings: pa.LargeBinaryArray  # 2 T
    times: NDArray[np.int64] | None  # N: which of them; None: all of them in each series
    values: NDArray[np.float64]  # N
    histograms: NDArray[np.object_] | None  # N

    def all_times(self) -> NDArray[np.int64]:
        """Return the times of the samples."""
        if self.times is not None:
            return self.times
        return np.tile(np.arange(len(self.openings) // 2), len(self.heads))


def _of_grid(result: Result) -> Iterator[_Series]:
    counts = np.count_nonzero(result.present, axis=1)
    there = result.rows[counts[result.rows] > 0]
    openings = _grid_openings(result.timestamps.tobytes())
    heads = memoised(result.labels, "heads", lambda: _heads(result.labels))
    offsets = places(counts[there])
    for part in _slices(offsets):
        rows = there[part]
        present = result.present[rows]
        full = bool(present.all())
        yield _Series(
            heads.take(pa.array(rows)),
            offsets[part.start : part.stop + 1] - offsets[part.start],
            openings,
            None if full else np.nonzero(present)[1],
            result.values[rows].ravel() if full else result.values[rows][present],
            None if result.histograms is None else result.histograms[rows][present],
        )


def _of_block(block: Block) -> Iterator[_Series]:
    for part in _slices(block.offsets):
        span = slice(block.offsets[part.start], block.offsets[part.stop])
        yield _Series(
            _heads(block.labels[part]),
            block.offsets[part.start : part.stop + 1] - block.offsets[part.start],
            _openings(block.timestamps[span]),
            np.arange(span.stop - span.start),
            block.values[span],
            None if block.histograms is None else block.histograms[span],
        )


_SHAPES: dict[str, Callable[[Result], Iterator[Piece]]] = {
    "scalar": _scalar,
    "string": _string,
    "vector": _vector,
    "matrix": _matrix,
}


def _slices(offsets: NDArray[np.int64]) -> Iterator[slice]:
    """Cut series into slices of about SLICE_SAMPLES samples; series i has `offsets[i + 1] - offsets[i]` of them."""
    start, series = 0, len(offsets) - 1
    while start < series:
        stop = int(np.searchsorted(offsets, offsets[start] + SLICE_SAMPLES, side="right")) - 1
        stop = min(max(stop, start + 1), series)
        yield slice(start, stop)
        start = stop


def _separator(start: int) -> bytes:
    return b"," if start else b"["


# What stands between the samples of one series and the labels of the next, and between these and their samples.
_NEXT, _FLOATS = b"]]},", b',"values":['


def _heads(labels: Sequence[Labels]) -> pa.LargeBinaryArray:
    return pa.array((_NEXT + b'{"metric":' + _metric(one) + _FLOATS for one in labels), pa.large_binary())


def _series_json(slices: Iterable[_Series]) -> Iterator[Piece]:
    """Return the series of a matrix, piece by piece."""
    before = b"["
    for series in slices:
        if series.histograms is None or not filled(series.histograms).any():
            floats = _floats_json(series)
            if before != _NEXT:
                yield before
                floats = floats[len(_NEXT) :]
            yield floats
            before = _NEXT
        else:
            yield before + _mixed_json(series, series.histograms)
            before = b","
    yield before.removesuffix(b",") + b"]"


def _floats_json(series: _Series) -> memoryview:
    """Return series without histograms, from what ends the series before them to the last sample.

    Arrow puts the texts of an array one behind the other. One `take` of all of them takes half the time of taking
    some of them and joining.
    """
    texts, which = with_floats(pa.concat_arrays([series.openings, series.heads]), series.values)
    if series.times is None and which is None:
        order = _full_order(len(series.heads), len(series.openings) // 2)
    else:
        order = pa.array(_order(series.offsets, series.all_times(), len(series.openings), which))
    # The order is ours: Arrow need not look whether it stays within.
    return memoryview(pc.take(texts, order, boundscheck=False).buffers()[2])


def _order(
    offsets: NDArray[np.int64], times: NDArray[np.int64], openings: int, which: NDArray[np.int64] | None
) -> NDArray[np.int64]:
    """Return the order of the openings, of the heads of series, and of the values, which lie in this order.

    There is a head a series, and an opening and a value a sample; `which` says what value, if not the next one.
    """
    firsts = offsets[:-1]
    opening = times.copy()
    opening[firsts] += openings // 2
    first_value = openings + len(firsts)
    value = np.arange(len(times)) if which is None else which
    samples = np.stack((opening, value + first_value), axis=1).ravel()
    return np.insert(samples, 2 * firsts, openings + np.arange(len(firsts)))


# Orders that are remembered: the slices of an answer share one, if their series have a sample at every step.
_MAX_KNOWN_ORDERS = 16


@lru_cache(_MAX_KNOWN_ORDERS)
def _full_order(series: int, steps: int) -> pa.Array:
    times = np.tile(np.arange(steps), series)
    return pa.array(_order(np.arange(series + 1) * steps, times, 2 * steps, None))


def _mixed_json(series: _Series, histograms: NDArray[np.object_]) -> bytes:
    """Return series of which some samples are histograms."""
    times = series.all_times()
    parts: list[list[Piece]] = [[head[len(_NEXT) : -len(_FLOATS)]] for head in series.heads.to_pylist()]
    is_float = ~filled(histograms)
    floats = _samples(series.openings, times[is_float], series.values[is_float])
    for part, points in zip(parts, _cut(floats, _kept(series.offsets, is_float)), strict=True):
        if points:
            part += (_FLOATS, points, b"]]")
    for row, joined in _histogram_points(series, times, histograms):
        parts[row] += (b',"histograms":[', joined, b"]")
    return b"},".join(b"".join(part) for part in parts) + b"}"


def _kept(offsets: NDArray[np.int64], kept: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return the offsets of series after the samples that are not kept are gone."""
    return places(kept)[offsets]


# Grids whose openings are remembered: the panels of a dashboard share one.
_MAX_KNOWN_GRIDS = 16


@lru_cache(_MAX_KNOWN_GRIDS)
def _grid_openings(times_ms: bytes) -> pa.LargeBinaryArray:
    return _openings(np.frombuffer(times_ms, np.int64))


def _openings(times_ms: NDArray[np.int64]) -> pa.LargeBinaryArray:
    times = format_times(times_ms)
    openings = [pc.binary_join_element_wise(before, times, ',"', "") for before in ("],[", "[")]
    return pa.concat_arrays(openings).cast(pa.large_binary())


def _samples(
    openings: pa.LargeBinaryArray, times: NDArray[np.int64], values: NDArray[np.float64]
) -> pa.LargeBinaryArray:
    """Return the openings and values of N samples, a text each, in turn: `],[1.5,"` and `2"`."""
    texts, which = with_floats(openings, values)
    nowhere = np.zeros(1, dtype=np.int64)
    return texts.take(pa.array(_order(nowhere, times, len(openings), which)))


def _cut(samples: pa.LargeBinaryArray, offsets: NDArray[np.int64]) -> list[memoryview]:
    """Return each series' samples without the two signs before the first."""
    _, ends, text = samples.buffers()
    cuts = np.frombuffer(ends, np.int64)[2 * offsets].tolist()
    view = memoryview(text or b"")
    return [view[start + 2 : end] for start, end in pairwise(cuts)]


def _histogram_points(
    series: _Series, times: NDArray[np.int64], histograms: NDArray[np.object_]
) -> Iterator[tuple[int, bytes]]:
    """Yield the series that have histograms, with their points; these are few enough to look at one by one."""
    places = np.flatnonzero(filled(histograms))
    rows = np.searchsorted(series.offsets, places, side="right") - 1
    for row, group in groupby(zip(rows.tolist(), places.tolist(), strict=True), key=itemgetter(0)):
        points = (
            series.openings[times[at]].as_py().strip(b'],"') + b"," + histogram_json(histograms[at]) + b"]"
            for _, at in group
        )
        yield row, b",".join(points)


def histogram_json(histogram: NativeHistogram) -> bytes:
    """Return a native histogram: totals as text, and its buckets that are not empty, ascending.

    A bucket is `[rule, lower, upper, count]`; the rule says which bounds belong to it: 0 the upper, 1 the lower,
    2 neither, 3 both (prometheus/prometheus: util/jsonutil/marshal.go, docs/querying/api.md).
    """
    found = [bucket for bucket in native.buckets(histogram) if bucket.count]
    rules = [_rule(bucket, custom=native.is_custom(histogram)) for bucket in found]
    numbers = [(bucket.lower, bucket.upper, bucket.count) for bucket in found]
    texts = format_floats(np.array([histogram.count, histogram.sum, *chain.from_iterable(numbers)])).to_pylist()
    buckets = [[rule, *texts[2 + 3 * i : 5 + 3 * i]] for i, rule in enumerate(rules)]
    document = {"count": texts[0], "sum": texts[1]}
    return json_bytes(document | {"buckets": buckets} if buckets else document)


def _rule(bucket: native.Bucket, *, custom: bool) -> int:
    """Return which bounds belong to a bucket; of custom ones only the first has its lower bound."""
    has_lower = bucket.lower == -math.inf if custom else bucket.lower < 0 or bucket.lower == bucket.upper
    has_upper = custom or bucket.upper > 0 or bucket.lower == bucket.upper
    return _RULES[has_lower, has_upper]


_RULES = {(False, True): 0, (True, False): 1, (False, False): 2, (True, True): 3}


def _metric(labels: Labels) -> bytes:
    return json_bytes({name: labels[name] for name in sorted(labels) if labels[name]})
