"""Query results as the JSON bytes of Prometheus's HTTP API.

Samples are turned to text and joined a slice of series at a time: Python touches series, never samples.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from decimal import Decimal
from functools import lru_cache
from itertools import chain, groupby, pairwise
from operator import itemgetter

import msgspec
import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from zlib_ng import zlib_ng

from opstrace.promql import native
from opstrace.promql.engine import Result
from opstrace.promql.utf8 import sayable
from opstrace.promql.values import filled
from opstrace.store.backend import Block, Labels, LabelSets, found_out
from opstrace.store.histogram import NativeHistogram

# Samples turned to text at once; bounds the memory one answer takes beside its result.
SLICE_SAMPLES = 50_000
# Below this, gzip costs more than it saves.
GZIP_FROM_BYTES = 1_024
# On answers of 50 MB level 1 is three times faster than the default and gives away a few percent.
_GZIP_LEVEL = 1
_GZIP_WINDOW = 16 + zlib_ng.MAX_WBITS  # 16 asks for gzip's header and trailer

_to_json = msgspec.json.Encoder().encode


def success(data: Iterable[bytes], warnings: Sequence[str] = (), infos: Sequence[str] = ()) -> Iterator[bytes]:
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


def gzipped(pieces: Iterable[bytes]) -> tuple[Iterator[bytes], bool]:
    """Compress an answer piece by piece; return a small one as it is, and whether it is compressed."""
    rest = iter(pieces)
    head: list[bytes] = []
    size = 0
    for piece in rest:
        head.append(piece)
        size += len(piece)
        if size >= GZIP_FROM_BYTES:
            return _compressed(chain(head, rest)), True
    return iter(head), False


def _compressed(pieces: Iterable[bytes]) -> Iterator[bytes]:
    compressor = zlib_ng.compressobj(_GZIP_LEVEL, zlib_ng.DEFLATED, _GZIP_WINDOW)
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


def result_json(result: Result, stats: bytes = b"") -> Iterator[bytes]:
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
    of_labels = found_out(labels, "bytes at most", lambda: sum(map(_label_bytes_at_most, labels)))
    return _AROUND_ALL + _LONGEST_SAMPLE * samples + of_labels


def _label_bytes_at_most(labels: Labels) -> int:
    characters = sum(len(name) + len(value) for name, value in labels.items())
    return _LONGEST_CHARACTER * characters + _AROUND_LABEL * len(labels) + _AROUND_SERIES


def _scalar(result: Result) -> Iterator[bytes]:
    yield f'[{format_time(int(result.timestamps[0]))},"{_plain_float(float(result.values[0, 0]))}"]'.encode()


def _string(result: Result) -> Iterator[bytes]:
    yield b"[" + format_time(int(result.timestamps[0])).encode() + b"," + json_bytes(result.text) + b"]"


def _vector(result: Result) -> Iterator[bytes]:
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


def _matrix(result: Result) -> Iterator[bytes]:
    if result.raw is not None:
        return _raw_matrix(result.raw)
    return _grid_matrix(result)


def _grid_matrix(result: Result) -> Iterator[bytes]:
    counts = np.count_nonzero(result.present, axis=1)
    there = result.rows[counts[result.rows] > 0]
    openings = _grid_openings(result.timestamps.tobytes())
    metrics = _metrics(result.labels)
    offsets = np.concatenate(([0], np.cumsum(counts[there])))
    for part in _slices(offsets):
        rows = there[part]
        present = result.present[rows]
        yield _separator(part.start) + _series_json(
            [metrics(row) for row in rows.tolist()],
            offsets[part.start : part.stop + 1] - offsets[part.start],
            openings.take(pa.array(np.nonzero(present)[1])),
            result.values[rows][present],
            None if result.histograms is None else result.histograms[rows][present],
        )
    yield b"[]" if not len(there) else b"]"


def _raw_matrix(block: Block) -> Iterator[bytes]:
    for part in _slices(block.offsets):
        span = slice(block.offsets[part.start], block.offsets[part.stop])
        yield _separator(part.start) + _series_json(
            [_metric(labels) for labels in block.labels[part.start : part.stop]],
            block.offsets[part.start : part.stop + 1] - block.offsets[part.start],
            _openings(block.timestamps[span]),
            block.values[span],
            None if block.histograms is None else block.histograms[span],
        )
    yield b"[]" if not len(block.labels) else b"]"


_SHAPES: dict[str, Callable[[Result], Iterator[bytes]]] = {
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


def _series_json(
    metrics: Sequence[bytes],
    offsets: NDArray[np.int64],
    openings: pa.StringArray,
    values: NDArray[np.float64],
    histograms: NDArray[np.object_] | None,
) -> bytes:
    """Return some series of a matrix; openings and samples are theirs one after the other, offset by offset."""
    parts: list[list[bytes | memoryview]] = [[b'{"metric":' + metric] for metric in metrics]
    of_floats = openings, values, offsets
    if histograms is not None:
        is_float = ~filled(histograms)
        of_floats = openings.filter(pa.array(is_float)), values[is_float], _kept(offsets, is_float)
    for part, points in zip(parts, _points_json(*of_floats), strict=True):
        if points:
            part += (b',"values":[', points, b"]]")
    if histograms is not None:
        for row, joined in _histogram_points(openings, histograms, offsets):
            parts[row] += (b',"histograms":[', joined, b"]")
    return b"},".join(b"".join(part) for part in parts) + b"}"


def _kept(offsets: NDArray[np.int64], kept: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return the offsets of series after the samples that are not kept are gone."""
    before: NDArray[np.int64] = np.concatenate(([0], np.cumsum(kept)))
    return before[offsets]


# Grids whose openings are remembered: the panels of a dashboard share one.
_MAX_KNOWN_GRIDS = 16


@lru_cache(_MAX_KNOWN_GRIDS)
def _grid_openings(times_ms: bytes) -> pa.StringArray:
    return _openings(np.frombuffer(times_ms, np.int64))


def _openings(times_ms: NDArray[np.int64]) -> pa.StringArray:
    """Return what stands between the value of one sample and that of the next: `],[1.5,"`."""
    return pc.binary_join_element_wise("],[", format_times(times_ms), ',"', "")


def _points_json(
    openings: pa.StringArray, values: NDArray[np.float64], offsets: NDArray[np.int64]
) -> list[memoryview]:
    """Return each series' points, `[1.5,"2"],[3,"4"]`, without the last bracket."""
    if not len(values):
        return [memoryview(b"")] * (len(offsets) - 1)
    # `],[1.5,"` and `2"`: Arrow keeps the texts of an array one behind the other.
    points = pc.binary_join_element_wise(openings, _closed_floats(values), "")
    _, ends, text = points.buffers()
    cuts = np.frombuffer(ends, np.int32)[offsets].tolist()
    view = memoryview(text)
    return [view[start + 2 : end] for start, end in pairwise(cuts)]


def _histogram_points(
    openings: pa.StringArray, histograms: NDArray[np.object_], offsets: NDArray[np.int64]
) -> Iterator[tuple[int, bytes]]:
    """Yield the series that have histograms, with their points; these are few enough to look at one by one."""
    places = np.flatnonzero(filled(histograms))
    rows = np.searchsorted(offsets, places, side="right") - 1
    for row, group in groupby(zip(rows.tolist(), places.tolist(), strict=True), key=itemgetter(0)):
        points = (
            openings[at].as_py().strip('],"').encode() + b"," + histogram_json(histograms[at]) + b"]"
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


def _metrics(labels: Sequence[Labels]) -> Callable[[int], bytes]:
    """Return what says the labels of a series, by its row."""
    if isinstance(labels, LabelSets):
        return labels.remembered("json", lambda: list(map(_metric, labels))).__getitem__
    return lambda row: _metric(labels[row])


def _metric(labels: Labels) -> bytes:
    return json_bytes({name: labels[name] for name in sorted(labels) if labels[name]})


# ---------------------------------------------------------------------------------------------------------------
# Numbers, as Prometheus prints them (prometheus/prometheus: util/jsonutil/marshal.go)


def format_time(time_ms: int) -> str:
    """Return milliseconds as seconds, with three decimals unless they are whole."""
    seconds, rest = divmod(abs(time_ms), 1000)
    sign = "-" if time_ms < 0 else ""
    return f"{sign}{seconds}.{rest:03d}" if rest else f"{sign}{seconds}"


_FRACTIONS = pa.array(["", *(f".{rest:03d}" for rest in range(1, 1000))])


def format_times(times_ms: NDArray[np.int64]) -> pa.StringArray:
    """Return `format_time` of each."""
    seconds, rest = np.divmod(np.abs(times_ms), 1000)
    signs = pa.array(["", "-"]).take(pa.array((times_ms < 0).astype(np.int8)))
    whole = pc.cast(pa.array(seconds), pa.string())
    return pc.binary_join_element_wise(signs, whole, _FRACTIONS.take(pa.array(rest)), "")


def format_floats(values: NDArray[np.float64]) -> pa.StringArray:
    """Return the shortest decimal text that reads back as each value; `NaN`, `+Inf`, `-Inf` for the others.

    Exponents stand only below 1e-6 and from 1e21 on, and have at least two digits.
    """
    return pc.utf8_rtrim(_closed_floats(values), '"')


# JSON has exponents from here on, and below 1e-5.
_FIRST_EXPONENT = 1e16
_COMMA, _QUOTE = b',"'


def _closed_floats(values: NDArray[np.float64]) -> pa.StringArray:
    """Return `format_floats` of each, and the quote that closes it.

    The texts are those of a list in JSON, which takes half the time of Arrow's conversion; the quotes were commas.
    """
    magnitudes = np.abs(values)
    # Minus zero is no integer.
    whole = (magnitudes < _FIRST_EXPONENT) & (values == np.rint(values)) & ((values != 0) | ~np.signbit(values))
    texts = _by_kind(values, whole)
    odd = ~whole & ~((magnitudes < _FIRST_EXPONENT) & (magnitudes >= 1e-5))
    if not odd.any():
        return texts
    distinct, which = np.unique(values[odd], return_inverse=True)
    spelled = pa.array([f'{_odd_float(value)}"' for value in distinct.tolist()], pa.string())
    return pc.replace_with_mask(texts, pa.array(odd), spelled.take(pa.array(which)))


def _by_kind(values: NDArray[np.float64], whole: NDArray[np.bool_]) -> pa.StringArray:
    """Return the text of each number and a quote; JSON has a fraction in every float, so whole ones are integers."""
    numbers = np.count_nonzero(whole)
    if numbers in (0, len(values)):
        return _closed(values.astype(np.int64) if numbers else values)
    both = pa.concat_arrays([_closed(values[whole].astype(np.int64)), _closed(values[~whole])])
    within = np.where(whole, np.cumsum(whole), numbers + np.cumsum(~whole)) - 1
    return both.take(pa.array(within))


def _closed(values: NDArray[np.float64] | NDArray[np.int64]) -> pa.StringArray:
    """Return the text of each number in JSON and a quote."""
    numbers = np.ascontiguousarray(values)
    text = np.frombuffer(bytearray(orjson.dumps(numbers, option=orjson.OPT_SERIALIZE_NUMPY)), dtype=np.uint8)[1:]
    text[-1] = _COMMA
    ends = np.flatnonzero(text == _COMMA)
    text[ends] = _QUOTE
    offsets = np.append(0, ends + 1).astype(np.int32)
    return pa.StringArray.from_buffers(len(values), pa.py_buffer(offsets), pa.py_buffer(text))


_UNSAYABLE: dict[str, str] = {"nan": "NaN", "inf": "+Inf", "-inf": "-Inf"}


def _odd_float(value: float) -> str:
    """Spell one float; Python's own text has exponents below 1e-4 and from 1e16 on."""
    text = repr(value)
    if "e" in text and not 1e-6 <= abs(value) < 1e21:
        return text
    return _plain_float(value)


def _plain_float(value: float) -> str:
    """Spell one float without an exponent, as a scalar is (prometheus/prometheus: promql/value.go)."""
    text = repr(value)
    return _UNSAYABLE.get(text) or (format(Decimal(text), "f") if "e" in text else text.removesuffix(".0"))
