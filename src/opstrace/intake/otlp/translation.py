"""OpenTelemetry's metrics as a message of remote write 1.0; pure.

What becomes what is Prometheus's doing (prometheus/prometheus: storage/remote/otlptranslator): a point is a sample of
a series, a histogram with bounds a classic one, an exponential histogram a native one. `service.name` and
`service.instance.id` are `job` and `instance`; what else a resource says is on the series `target_info`.
"""

import base64
import json
import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sized
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Any, Final

from opstrace import protobuf_wire
from opstrace.errors import PayloadTooLarge
from opstrace.intake.otlp.names import Kind, label_name, metric_name, unit_name
from opstrace.promql.numbers import spelled_number
from opstrace.store import series_message
from opstrace.store.backend import Labels
from opstrace.store.histogram import NativeHistogram
from opstrace.store.traits import STALE

# Of one histogram; Prometheus's own histograms have 160 at most.
MAX_BUCKETS: Final = 1_000
# How far back a resource's `target_info` reaches where its points lie apart, and how dense it is.
MAX_TARGET_S: Final = 3_600
_TARGET_EVERY_MS: Final = 150_000  # half a lookback

_CUMULATIVE: Final = 2
_NO_RECORDED_VALUE: Final = 1
_FINEST_SCALE, _COARSEST_SCALE = 8, -4
_ZERO_THRESHOLD: Final = 1e-128  # where none is said, or none that can be
_MOST_INDEX: Final = (1 << 31) - 1  # of a bucket: it has 32 bits
# Types of metrics in remote write.
_COUNTER, _GAUGE, _HISTOGRAM, _SUMMARY = 1, 2, 3, 5
# What tells one resource from another: in `job` and `instance`, and so not on `target_info`.
_SERVICE, _NAMESPACE, _INSTANCE = "service.name", "service.namespace", "service.instance.id"

Value = float | NativeHistogram
# What a point adds to the name of its metric, a label, and a value.
Part = tuple[str, Labels, Value]


@dataclass(slots=True)
class Translated:
    """A message of remote write, how many points it is made of, and those it is not made of, by reason."""

    max_bytes: int
    newest_ms: int
    points: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    parts: list[bytes] = field(default_factory=list)
    size: int = 0

    def add(self, part: bytes) -> None:
        """Add a field; raise PayloadTooLarge where the message becomes larger than it may."""
        self.size += len(part)
        if self.size > self.max_bytes:
            raise PayloadTooLarge("payload too large: its metrics make too many series; send it in parts")
        self.parts.append(part)

    @property
    def message(self) -> bytes:
        """The message as it would have come."""
        return b"".join(self.parts)


def translated(request: Any, max_bytes: int, newest_ms: int) -> Translated:
    """Translate the points of an ExportMetricsServiceRequest up to `newest_ms`, when the future begins.

    Raises PayloadTooLarge beyond `max_bytes` of a remote write.
    """
    result = Translated(max_bytes, newest_ms)
    for one in request.resource_metrics:
        if not any(scope.metrics for scope in one.scope_metrics):
            continue  # an empty one is two bytes on the wire
        attributes = _attributes(one.resource.attributes)
        target = _target(attributes)
        moments: list[int] = []
        for scope in one.scope_metrics:
            for metric in scope.metrics:
                moments += _metric(metric, target, result)
        if moments:
            _target_info(attributes, target, min(moments), max(moments), result)
    return result


def _target(attributes: Mapping[str, str]) -> dict[str, str]:
    """Return the labels of a resource's series."""
    # A namespace counts where it is said, even if it is empty.
    job = "/".join(attributes[name] for name in (_NAMESPACE, _SERVICE) if name in attributes)
    target = {"job": job if _SERVICE in attributes else "", "instance": attributes.get(_INSTANCE, "")}
    return {name: text for name, text in target.items() if text}


def _target_info(
    attributes: Mapping[str, str], target: Labels, first_ms: int, last_ms: int, result: Translated
) -> None:
    own = {key: text for key, text in attributes.items() if key not in (_SERVICE, _NAMESPACE, _INSTANCE)}
    labels = {**_labels(own), **target, "__name__": "target_info"}
    if not own or not labels.keys() & {"job", "instance"}:
        return
    first_ms = max(first_ms, last_ms - 1000 * MAX_TARGET_S)
    moments = [*range(first_ms, last_ms, _TARGET_EVERY_MS), last_ms]
    result.add(series_message.series(labels, b"".join(series_message.sample(at_ms, 1.0) for at_ms in moments)))
    result.add(_metadata("target_info", _GAUGE, "What a resource of OpenTelemetry says of itself.", ""))


def _metric(metric: Any, target: Labels, result: Translated) -> Iterable[int]:
    """Translate one metric; return the moments of its points, in ms."""
    kind = metric.WhichOneof("data")
    if kind is None:
        return ()
    data = getattr(metric, kind)
    shape = _SHAPES["counter" if kind == "sum" and data.is_monotonic else kind]
    result.points += len(data.data_points)
    if getattr(data, "aggregation_temporality", _CUMULATIVE) != _CUMULATIVE:
        result.dropped["not_cumulative"] += len(data.data_points)
        return ()
    name = metric_name(metric.name, metric.unit, shape.kind)
    if not name:
        result.dropped["no_name"] += len(data.data_points)
        return ()
    moments = []
    for point in data.data_points:
        at_ms = point.time_unix_nano // 1_000_000
        # Beside one of another century nothing of the resource's `target_info` were stored.
        if reason := shape.flaw(point) or ("future" if at_ms > result.newest_ms else ""):
            result.dropped[reason] += 1
            continue
        moments.append(at_ms)
        labels = {**_labels(_attributes(point.attributes)), **target}
        for suffix, more, value in shape.parts(point):
            _add(result, {**labels, **more, "__name__": name + suffix}, at_ms, value, stale=_is_stale(point))
    if moments:
        result.add(_metadata(name, shape.type, metric.description, unit_name(metric.unit)))
    return moments


def _is_stale(point: Any) -> bool:
    return bool(point.flags & _NO_RECORDED_VALUE)


def _add(result: Translated, labels: Labels, at_ms: int, value: Value, *, stale: bool) -> None:
    if stale:
        # A series of native histograms ends by a number, too.
        written = series_message.sample(at_ms, STALE)
    elif isinstance(value, NativeHistogram):
        written = series_message.histogram(at_ms, value)
    else:
        written = series_message.sample(at_ms, value)
    result.add(series_message.series(labels, written))


def _metadata(name: str, type_: int, help_: str, unit: str) -> bytes:
    texts = {2: name, 4: help_, 5: unit}
    fields = b"".join(protobuf_wire.field(number, text.encode()) for number, text in texts.items() if text)
    return protobuf_wire.field(3, b"\x08" + protobuf_wire.varint(type_) + fields)


# ---------------------------------------------------------------------------------------------------------------
# Points


def _number(point: Any) -> Iterator[Part]:
    yield "", {}, float(point.as_int if point.WhichOneof("value") == "as_int" else point.as_double)


def _histogram(point: Any) -> Iterator[Part]:
    if point.HasField("sum"):
        yield "_sum", {}, point.sum
    yield "_count", {}, float(point.count)
    below = 0
    for bound, count in zip(point.explicit_bounds, point.bucket_counts, strict=False):
        below += count
        if bound != math.inf:
            yield "_bucket", {"le": spelled_number(bound)}, float(below)
    yield "_bucket", {"le": "+Inf"}, float(point.count)


def _exponential_histogram(point: Any) -> Iterator[Part]:
    coarser = max(point.scale - _FINEST_SCALE, 0)
    yield (
        "",
        {},
        NativeHistogram(
            schema=point.scale - coarser,
            count=float(point.count),
            sum=point.sum,
            zero_threshold=point.zero_threshold if 0 < point.zero_threshold < math.inf else _ZERO_THRESHOLD,
            zero_count=float(point.zero_count),
            positive=_buckets(point.positive, coarser),
            negative=_buckets(point.negative, coarser),
        ),
    )


def _buckets(sent: Any, coarser: int) -> dict[int, float]:
    """Return buckets by Prometheus's index, which is that of OpenTelemetry and one; 2**coarser become one."""
    buckets: Counter[int] = Counter()
    for place, count in enumerate(sent.bucket_counts, sent.offset):
        if count:
            buckets[(place >> coarser) + 1] += count
    return {index: float(count) for index, count in buckets.items()}


def _summary(point: Any) -> Iterator[Part]:
    yield "_sum", {}, point.sum
    yield "_count", {}, float(point.count)
    for one in point.quantile_values:
        yield "", {"quantile": spelled_number(one.quantile)}, one.value


def _flaw_of_number(point: Any) -> str:
    return "" if point.WhichOneof("value") or _is_stale(point) else "no_value"


def _flaw_of_buckets(*buckets: Sized) -> str:
    return "too_many_buckets" if max(map(len, buckets)) > MAX_BUCKETS else ""


def _flaw_of_exponential(point: Any) -> str:
    if point.scale < _COARSEST_SCALE:
        return "too_coarse"
    if any(side.offset + len(side.bucket_counts) >= _MOST_INDEX for side in (point.positive, point.negative)):
        return "bad_histogram"
    return _flaw_of_buckets(point.positive.bucket_counts, point.negative.bucket_counts)


@dataclass(frozen=True, slots=True)
class _Shape:
    """What the data of a metric are: how it is called, its type in remote write, and its points."""

    kind: Kind
    type: int
    parts: Callable[[Any], Iterator[Part]]
    flaw: Callable[[Any], str]  # why a point cannot be stored, or nothing


# By the member of `data` in Metric; a sum that never falls is a counter.
_SHAPES: Final = {
    "gauge": _Shape(Kind.GAUGE, _GAUGE, _number, _flaw_of_number),
    "sum": _Shape(Kind.OTHER, _GAUGE, _number, _flaw_of_number),
    "counter": _Shape(Kind.COUNTER, _COUNTER, _number, _flaw_of_number),
    "histogram": _Shape(Kind.OTHER, _HISTOGRAM, _histogram, lambda point: _flaw_of_buckets(point.bucket_counts)),
    "exponential_histogram": _Shape(Kind.OTHER, _HISTOGRAM, _exponential_histogram, _flaw_of_exponential),
    "summary": _Shape(Kind.OTHER, _SUMMARY, _summary, lambda point: _flaw_of_buckets(point.quantile_values)),
}


# ---------------------------------------------------------------------------------------------------------------
# Attributes


def _attributes(sent: Iterable[Any]) -> dict[str, str]:
    """Return attributes as text, in the order of their keys; of two with one key the last holds."""
    return dict(sorted(((one.key, _text(one.value)) for one in sent), key=itemgetter(0)))


def _labels(attributes: Mapping[str, str]) -> dict[str, str]:
    """Return attributes as labels; those that come to have one name are joined."""
    labels: dict[str, str] = {}
    for key, text in attributes.items():
        name = label_name(key)
        if name:
            labels[name] = f"{labels[name]};{text}" if labels.get(name) else text
    return {name: text for name, text in labels.items() if text}


def _text(value: Any) -> str:
    """Return what an AnyValue says; lists and maps as JSON, which has no number that is not finite."""
    found = _plain(value)
    if isinstance(found, str):
        return found
    if isinstance(found, float):
        return _float_text(found)
    try:
        return "" if found is None else _json_text(found)
    except ValueError:
        return ""


def _json_text(found: Any) -> str:
    """Return JSON as Go writes it: sorted by key, whole numbers without decimals, two line breaks spelled."""
    match found:
        case float():
            if not math.isfinite(found):
                raise ValueError(found)
            return _float_text(found)
        case list():
            return f"[{','.join(map(_json_text, found))}]"
        case dict():
            return f"{{{','.join(f'{_json_text(key)}:{_json_text(found[key])}' for key in sorted(found))}}}"
        case _:
            return json.dumps(found, ensure_ascii=False).translate(_SPELLED)


_SPELLED: Final = {ord(character): f"\\u{ord(character):04x}" for character in "\u2028\u2029"}


def _float_text(number: float) -> str:
    if math.isinf(number):
        return "Infinity" if number > 0 else "-Infinity"
    # As Go's JSON has it: exponents below 1e-6 and from 1e21 on, without a leading zero below.
    if math.isnan(number) or not number or 1e-6 <= abs(number) < 1e21:
        return spelled_number(number)
    return repr(number).replace("e-0", "e-").replace(".0e", "e")


def _plain(value: Any) -> Any:
    kind = value.WhichOneof("value")
    if kind is None:
        return None
    content = getattr(value, kind)
    match kind:
        case "array_value":
            return [_plain(one) for one in content.values]
        case "kvlist_value":
            return {one.key: _plain(one.value) for one in content.values}
        case "bytes_value":
            return base64.b64encode(content).decode()
        case _:
            return content
