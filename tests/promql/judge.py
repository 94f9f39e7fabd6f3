"""A slow and obvious evaluator of PromQL, to judge the fast one by.

One step at a time, one series at a time, over dicts and lists: no arrays, no sharing between steps, nothing clever.
Floats only. Meaning is Prometheus's as documented (prometheus/prometheus: docs/querying/) and, where documents are
silent, as its scripts and promql/{engine,functions,quantile}.go have it. The parser is the product's own: scripts
judge that one.
"""

import itertools
import math
import re
from calendar import monthrange
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import accumulate

from opstrace.promql.tree import (
    Aggregate,
    Binary,
    Call,
    Matching,
    Node,
    Number,
    Paren,
    Range,
    Selector,
    Subquery,
    Text,
    Unary,
)
from opstrace.store.backend import Matcher, MatchOp

Key = tuple[tuple[str, str], ...]  # sorted name and value pairs
Point = tuple[int, float]  # ms and value
# A stale marker in the judge's data: no float at all, so that it cannot be mistaken for a NaN.
STALE_POINT = None
Data = dict[Key, list[tuple[int, float | None]]]

LOOKBACK_MS = 300_000
DEFAULT_STEP_MS = 60_000


class Unjudgeable(Exception):
    """The query fails: Prometheus answers an error."""


@dataclass
class Sample:
    """One element of an instant vector; `unnamed` once an operation took its metric name away."""

    labels: dict[str, str]
    value: float
    unnamed: bool = False
    at_ms: int = 0


@dataclass
class Series:
    """One element of a range vector."""

    labels: dict[str, str]
    points: list[Point]
    unnamed: bool = False


@dataclass
class Window:
    """A range vector, and the window (start, end] it was taken from."""

    series: list[Series]
    start_ms: int
    end_ms: int


Value = float | str | list[Sample] | Window


@dataclass(frozen=True)
class Query:
    """The data, and the range the whole query is asked for: what `@ start()` and `@ end()` mean."""

    data: Data
    start_ms: int
    end_ms: int


def judge(data: Data, tree: Node, start_ms: int, end_ms: int, step_ms: int) -> dict[Key, dict[int, float]]:
    """Evaluate a query at each step; a scalar is a series without labels."""
    query = Query(data, start_ms, end_ms)
    result: dict[Key, dict[int, float]] = {}
    for at_ms in range(start_ms, end_ms + 1, step_ms):
        for sample in handed_out(evaluate(query, tree, at_ms)):
            result.setdefault(key(sample.labels), {})[at_ms] = sample.value
    return result


def handed_out(value: Value) -> list[Sample]:
    """Return what leaves the evaluator: without the names that operations took away, each label set once."""
    if isinstance(value, float):
        return [Sample({}, value)]
    assert isinstance(value, list)
    samples = [Sample(nameless(one.labels) if one.unnamed else one.labels, one.value) for one in value]
    once(samples, "vector cannot contain metrics with the same labelset")
    return samples


def once(samples: Iterable[Sample], complaint: str) -> None:
    """Fail when two samples have the same labels."""
    keys = [key(sample.labels) for sample in samples]
    if len(set(keys)) < len(keys):
        raise Unjudgeable(complaint)


def key(labels: dict[str, str]) -> Key:
    """Return labels as a dict key; an empty value is no label."""
    return tuple(sorted((name, value) for name, value in labels.items() if value))


def nameless(labels: dict[str, str]) -> dict[str, str]:
    """Return labels without the metric name."""
    return {name: value for name, value in labels.items() if name != "__name__"}


# ---------------------------------------------------------------------------------------------------------------
# Nodes


def evaluate(query: Query, node: Node, at_ms: int) -> Value:
    """Evaluate a node at one time."""
    match node:
        case Number():
            return node.value
        case Text():
            return node.value
        case Paren():
            return evaluate(query, node.expr, at_ms)
        case Unary():
            return negated(evaluate(query, node.expr, at_ms)) if node.op == "-" else evaluate(query, node.expr, at_ms)
        case Selector():
            return instant_vector(query, node, at_ms)
        case Range():
            return range_vector(query, node, at_ms)
        case Subquery():
            return subquery(query, node, at_ms)
        case Call():
            return called(query, node, at_ms)
        case Aggregate():
            return aggregated(query, node, at_ms)
        case Binary():
            return combined(query, node, at_ms)
    raise NotImplementedError(type(node).__name__)


def vector(query: Query, node: Node, at_ms: int) -> list[Sample]:
    value = evaluate(query, node, at_ms)
    assert isinstance(value, list)
    return value


def scalar(query: Query, node: Node, at_ms: int) -> float:
    value = evaluate(query, node, at_ms)
    assert isinstance(value, float)
    return value


def window(query: Query, node: Node, at_ms: int) -> Window:
    value = evaluate(query, node, at_ms)
    assert isinstance(value, Window)
    return value


def negated(value: Value) -> Value:
    if isinstance(value, float):
        return -value
    assert isinstance(value, list)
    return [Sample(one.labels, -one.value, unnamed=True) for one in value]


# ---------------------------------------------------------------------------------------------------------------
# Reading


def matching_series(
    data: Data, matchers: Sequence[Matcher]
) -> list[tuple[dict[str, str], list[tuple[int, float | None]]]]:
    return [
        (dict(labels), points)
        for labels, points in data.items()
        if all(matches(matcher, dict(labels).get(matcher.name, "")) for matcher in matchers)
    ]


def matches(matcher: Matcher, value: str) -> bool:
    if matcher.op in (MatchOp.EQUAL, MatchOp.NOT_EQUAL):
        return (value == matcher.value) == (matcher.op is MatchOp.EQUAL)
    return (re.fullmatch(matcher.value, value) is not None) == (matcher.op is MatchOp.REGEX)


def moment(query: Query, node: Selector | Subquery, at_ms: int) -> int:
    """Return the time a selector really looks at: `@` replaces the step, `offset` goes back from there."""
    if node.at == "start":
        at_ms = query.start_ms
    elif node.at == "end":
        at_ms = query.end_ms
    elif node.at is not None:
        at_ms = node.at
    assert isinstance(node.offset, int)
    return at_ms - node.offset


def instant_vector(query: Query, node: Selector, at_ms: int) -> list[Sample]:
    look_ms = moment(query, node, at_ms)
    found = []
    for labels, points in matching_series(query.data, node.matchers):
        seen = [(at, value) for at, value in points if look_ms - LOOKBACK_MS < at <= look_ms]
        if seen and seen[-1][1] is not None:
            found.append(Sample(labels, seen[-1][1], at_ms=seen[-1][0]))
    return found


def range_vector(query: Query, node: Range, at_ms: int) -> Window:
    end_ms = moment(query, node.selector, at_ms)
    assert isinstance(node.range, int)
    start_ms = end_ms - node.range
    series = []
    for labels, points in matching_series(query.data, node.selector.matchers):
        inside = [(at, value) for at, value in points if start_ms < at <= end_ms and value is not None]
        if inside:
            series.append(Series(labels, inside))
    return Window(series, start_ms, end_ms)


def subquery(query: Query, node: Subquery, at_ms: int) -> Window:
    end_ms = moment(query, node, at_ms)
    assert isinstance(node.range, int)
    step_ms = DEFAULT_STEP_MS if node.step is None else node.step
    assert isinstance(step_ms, int)
    start_ms = end_ms - node.range
    series: dict[Key, Series] = {}
    for inner_ms in range((start_ms // step_ms + 1) * step_ms, end_ms + 1, step_ms):
        for sample in as_vector(evaluate(query, node.expr, inner_ms)):
            one = series.setdefault(key(sample.labels), Series(sample.labels, [], sample.unnamed))
            one.points.append((inner_ms, sample.value))
    return Window(list(series.values()), start_ms, end_ms)


def as_vector(value: Value) -> list[Sample]:
    return [Sample({}, value)] if isinstance(value, float) else value if isinstance(value, list) else []


# ---------------------------------------------------------------------------------------------------------------
# Functions of range vectors


def total(values: Iterable[float]) -> float:
    """Add up exactly; infinities and NaN as in any order."""
    values = list(values)
    if all(map(math.isfinite, values)):
        return math.fsum(values)
    return sum(values)


def mean(values: Sequence[float]) -> float:
    return total(values) / len(values)


def variance(values: Sequence[float]) -> float:
    if not all(map(math.isfinite, values)):
        return math.nan
    middle = mean(values)
    return mean([(value - middle) ** 2 for value in values])


def extreme(pick: Callable[[Iterable[float]], float]) -> Callable[[Sequence[float]], float]:
    """Return min or max that sees NaN only where there is nothing else."""

    def picked(values: Sequence[float]) -> float:
        numbers = [value for value in values if not math.isnan(value)]
        return pick(numbers) if numbers else math.nan

    return picked


def quantile(q: float, values: Sequence[float]) -> float:
    if math.isnan(q) or not values:
        return math.nan
    if q < 0 or q > 1:
        return -math.inf if q < 0 else math.inf
    ordered = sorted(values, key=lambda value: (not math.isnan(value), value if not math.isnan(value) else 0))
    rank = q * (len(ordered) - 1)
    lower = math.floor(rank)
    upper = min(len(ordered) - 1, lower + 1)
    weight = rank - lower
    return ordered[lower] * (1 - weight) + ordered[upper] * weight if weight else ordered[lower]


def deviation_from_median(values: Sequence[float]) -> float:
    middle = quantile(0.5, values)
    return quantile(0.5, [abs(value - middle) for value in values])


def changed(values: Sequence[float]) -> float:
    pairs = itertools.pairwise(values)
    return float(sum(a != b and not (math.isnan(a) and math.isnan(b)) for a, b in pairs))


def reset(values: Sequence[float]) -> float:
    return float(sum(b < a for a, b in itertools.pairwise(values)))


# Functions that see values only, of at least one sample.
OF_VALUES: dict[str, Callable[[Sequence[float]], float]] = {
    "avg_over_time": mean,
    "changes": changed,
    "count_over_time": lambda values: float(len(values)),
    "first_over_time": lambda values: values[0],
    "last_over_time": lambda values: values[-1],
    "mad_over_time": deviation_from_median,
    "max_over_time": extreme(max),
    "min_over_time": extreme(min),
    "present_over_time": lambda _values: 1.0,
    "resets": reset,
    "stddev_over_time": lambda values: math.sqrt(variance(values)),
    "stdvar_over_time": variance,
    "sum_over_time": total,
}
# These hand out the series itself, so its name stays.
KEEPS_NAME = ("last_over_time", "first_over_time")


def extrapolated(points: Sequence[Point], seen: Window, *, counter: bool, per_second: bool) -> float | None:
    """Stretch what happened between the first and last sample to the window's bounds, within reason."""
    if len(points) < 2:
        return None
    (first_ms, first), (last_ms, last) = points[0], points[-1]
    growth = last - first
    if counter:
        growth += sum_in_order(a for (_, a), (_, b) in itertools.pairwise(points) if b < a)
    spanned = (last_ms - first_ms) / 1000
    average = spanned / (len(points) - 1)
    before = (first_ms - seen.start_ms) / 1000
    after = (seen.end_ms - last_ms) / 1000
    if before >= average * 1.1:
        before = average / 2
    if counter and growth > 0 and first >= 0:
        before = min(before, spanned * (first / growth))
    if after >= average * 1.1:
        after = average / 2
    factor = (spanned + before + after) / spanned
    if per_second:
        factor /= (seen.end_ms - seen.start_ms) / 1000
    return growth * factor


def sum_in_order(values: Iterable[float]) -> float:
    added = 0.0
    for value in values:
        added += value
    return added


def last_two(points: Sequence[Point], *, counter: bool) -> float | None:
    """irate and idelta."""
    if len(points) < 2:
        return None
    (before_ms, before), (last_ms, last) = points[-2:]
    if not counter:
        return last - before
    growth = last if last < before else last - before
    return growth / ((last_ms - before_ms) / 1000)


def regression(points: Sequence[Point], origin_ms: int) -> tuple[float, float] | None:
    """Return slope per second and value at the origin of the least-squares line."""
    if len(points) < 2:
        return None
    values = [value for _, value in points]
    if all(value == values[0] for value in values):
        return (math.nan, math.nan) if math.isinf(values[0]) else (0.0, values[0])
    seconds = [(at - origin_ms) / 1000 for at, _ in points]
    count = len(points)
    covariance = total(x * y for x, y in zip(seconds, values, strict=True)) - total(seconds) * total(values) / count
    slope = covariance / (total(x * x for x in seconds) - total(seconds) ** 2 / count)
    return slope, total(values) / count - slope * total(seconds) / count


# Functions that see the samples and the window; None where there are too few.
OF_POINTS: dict[str, Callable[[Sequence[Point], Window], float | None]] = {
    "delta": lambda points, seen: extrapolated(points, seen, counter=False, per_second=False),
    "increase": lambda points, seen: extrapolated(points, seen, counter=True, per_second=False),
    "rate": lambda points, seen: extrapolated(points, seen, counter=True, per_second=True),
    "idelta": lambda points, _: last_two(points, counter=False),
    "irate": lambda points, _: last_two(points, counter=True),
    "deriv": lambda points, _: (line := regression(points, points[0][0])) and line[0],
}


# ---------------------------------------------------------------------------------------------------------------
# Functions of instant vectors


def quiet(function: Callable[[float], float], outside: Callable[[float], float]) -> Callable[[float], float]:
    """Return a function that answers as floating point does where Python's raises."""

    def safe(value: float) -> float:
        try:
            return function(value)
        except (ValueError, OverflowError):
            return outside(value)

    return safe


def logarithm(function: Callable[[float], float]) -> Callable[[float], float]:
    return quiet(function, lambda value: -math.inf if value == 0 else math.nan)


def whole(function: Callable[[float], int]) -> Callable[[float], float]:
    return quiet(lambda value: math.copysign(float(function(value)), value), lambda value: value)


OF_VALUE: dict[str, Callable[[float], float]] = {
    "abs": abs,
    "ceil": whole(math.ceil),
    "exp": quiet(math.exp, lambda _value: math.inf),
    "floor": whole(math.floor),
    "ln": logarithm(math.log),
    "log10": logarithm(math.log10),
    "log2": logarithm(math.log2),
    "sgn": lambda value: value if math.isnan(value) or value == 0 else math.copysign(1.0, value),
    "sqrt": quiet(math.sqrt, lambda _value: math.nan),
    "deg": lambda value: value * 180 / math.pi,
    "rad": lambda value: value * math.pi / 180,
}


def rounded(value: float, to: float) -> float:
    """Round half up, to the nearest multiple."""
    inverse = divided(1.0, to)
    scaled = value * inverse + 0.5
    return divided(float(math.floor(scaled)) if math.isfinite(scaled) else scaled, inverse)


def larger(left: float, right: float) -> float:
    """As Go's math.Max."""
    if math.inf in (left, right):
        return math.inf
    if math.isnan(left) or math.isnan(right):
        return math.nan
    if left == right == 0:
        return left if math.copysign(1, left) > 0 else right
    return max(left, right)


def clamped(value: float, low: float, high: float) -> float:
    return larger(low, -larger(-high, -value))


def called(query: Query, node: Call, at_ms: int) -> Value:
    name, args = node.function, node.args
    if name in OF_VALUE:
        function = OF_VALUE[name]
        return [Sample(one.labels, function(one.value), unnamed=True) for one in vector(query, args[0], at_ms)]
    if name in OF_VALUES or name in OF_POINTS:
        return rolled_up(name, window(query, args[0], at_ms))
    return CALLS[name](query, args, at_ms)


def rolled_up(name: str, seen: Window) -> list[Sample]:
    results = []
    for one in seen.series:
        if name in OF_VALUES:
            value: float | None = OF_VALUES[name]([value for _, value in one.points])
        else:
            value = OF_POINTS[name](one.points, seen)
        if value is not None:
            results.append(Sample(one.labels, value, unnamed=one.unnamed or name not in KEEPS_NAME))
    return results


def call_quantile_over_time(query: Query, args: Sequence[Node], at_ms: int) -> Value:
    q = scalar(query, args[0], at_ms)
    seen = window(query, args[1], at_ms)
    return [Sample(one.labels, quantile(q, [value for _, value in one.points]), unnamed=True) for one in seen.series]


def call_integral(query: Query, args: Sequence[Node], at_ms: int) -> Value:
    strategy = scalar(query, args[1], at_ms) if len(args) > 1 else 2.0
    found = []
    for one in window(query, args[0], at_ms).series:
        points = [(time_ms, 0.0 if math.isnan(value) else value) for time_ms, value in one.points]
        areas = [
            {0.0: before, 1.0: after}.get(strategy, before / 2 + after / 2) * (until - since) / 1000
            for (since, before), (until, after) in itertools.pairwise(points)
        ]
        found.append(Sample(one.labels, math.fsum(areas), unnamed=True))
    return found


def call_predict_linear(query: Query, args: Sequence[Node], at_ms: int) -> Value:
    ahead = scalar(query, args[1], at_ms)
    lines = [(one, regression(one.points, at_ms)) for one in window(query, args[0], at_ms).series]
    return [Sample(one.labels, line[0] * ahead + line[1], unnamed=True) for one, line in lines if line]


def call_round(query: Query, args: Sequence[Node], at_ms: int) -> Value:
    to = scalar(query, args[1], at_ms) if len(args) > 1 else 1.0
    return [Sample(one.labels, rounded(one.value, to), unnamed=True) for one in vector(query, args[0], at_ms)]


def call_clamp(query: Query, args: Sequence[Node], at_ms: int) -> Value:
    low, high = scalar(query, args[1], at_ms), scalar(query, args[2], at_ms)
    samples = vector(query, args[0], at_ms)
    return [Sample(one.labels, clamped(one.value, low, high), unnamed=True) for one in samples if not high < low]


def call_clamp_min(query: Query, args: Sequence[Node], at_ms: int) -> Value:
    low = scalar(query, args[1], at_ms)
    return [
        Sample(one.labels, clamped(one.value, low, math.inf), unnamed=True) for one in vector(query, args[0], at_ms)
    ]


def call_clamp_max(query: Query, args: Sequence[Node], at_ms: int) -> Value:
    high = scalar(query, args[1], at_ms)
    return [
        Sample(one.labels, clamped(one.value, -math.inf, high), unnamed=True) for one in vector(query, args[0], at_ms)
    ]


def call_scalar(query: Query, args: Sequence[Node], at_ms: int) -> Value:
    samples = vector(query, args[0], at_ms)
    return samples[0].value if len(samples) == 1 else math.nan


def call_timestamp(query: Query, args: Sequence[Node], at_ms: int) -> Value:
    """Of a selector, when the sample was taken; of anything else, now."""
    inner = args[0]
    while isinstance(inner, Paren):
        inner = inner.expr
    direct = isinstance(inner, Selector)
    samples = vector(query, inner, at_ms)
    return [Sample(one.labels, (one.at_ms if direct else at_ms) / 1000, unnamed=True) for one in samples]


def call_absent(query: Query, args: Sequence[Node], at_ms: int) -> Value:
    return [] if vector(query, args[0], at_ms) else [Sample(absent_labels(args[0]), 1.0)]


def call_absent_over_time(query: Query, args: Sequence[Node], at_ms: int) -> Value:
    return [] if window(query, args[0], at_ms).series else [Sample(absent_labels(args[0]), 1.0)]


def absent_labels(node: Node) -> dict[str, str]:
    """Return the labels an absent selector pins down: equal to one value, and named once."""
    if isinstance(node, Paren):
        return absent_labels(node.expr)
    if isinstance(node, Range):
        node = node.selector
    if not isinstance(node, Selector):
        return {}
    names = [matcher.name for matcher in node.matchers]
    return {
        matcher.name: matcher.value
        for matcher in node.matchers
        if matcher.op is MatchOp.EQUAL and matcher.name != "__name__" and names.count(matcher.name) == 1
    }


def call_label_replace(query: Query, args: Sequence[Node], at_ms: int) -> Value:
    """Set a label to a template filled in from another's value, where the whole of that matches."""
    target, template, source, pattern = (text_of(arg) for arg in args[1:])
    results = []
    for one in vector(query, args[0], at_ms):
        match = re.fullmatch(pattern, one.labels.get(source, ""), re.DOTALL)
        labels = dict(one.labels)
        if match:
            labels[target] = filled_in(template, match)
        results.append(Sample(labels, one.value, unnamed=one.unnamed))
    once(results, "vector cannot contain metrics with the same labelset")
    return results


def filled_in(template: str, match: re.Match[str]) -> str:
    """Go reads the longest word after `$` as the group's name: `$1y` is no group, and so empty."""

    def group(reference: re.Match[str]) -> str:
        number = int(reference[1]) if reference[1].isdigit() else -1
        return (match[number] or "") if 0 <= number <= match.re.groups else ""

    return re.sub(r"\$(\w+)", group, template)


def call_label_join(query: Query, args: Sequence[Node], at_ms: int) -> Value:
    target, separator, *sources = (text_of(arg) for arg in args[1:])
    results = []
    for one in vector(query, args[0], at_ms):
        joined = separator.join(one.labels.get(source, "") for source in sources)
        results.append(Sample(one.labels | {target: joined}, one.value, unnamed=one.unnamed))
    once(results, "vector cannot contain metrics with the same labelset")
    return results


def text_of(node: Node) -> str:
    assert isinstance(node, Text)
    return node.value


def call_histogram_quantile(query: Query, args: Sequence[Node], at_ms: int) -> Value:
    """Classic histograms: the series that differ in `le` alone are one."""
    q = scalar(query, args[0], at_ms)
    histograms: dict[Key, dict[float, float]] = {}
    for one in vector(query, args[1], at_ms):
        rest = key({name: value for name, value in one.labels.items() if name not in ("le", "__name__")})
        buckets = histograms.setdefault(rest, {})
        bound = float(one.labels["le"])
        buckets[bound] = buckets.get(bound, 0.0) + one.value
    return [Sample(dict(rest), bucket_quantile(q, buckets)) for rest, buckets in histograms.items()]


def bucket_quantile(q: float, buckets: dict[float, float]) -> float:
    """Interpolate within the bucket that holds the rank; counts that fall are lifted to the one before."""
    if math.isnan(q) or q < 0 or q > 1:
        return q if math.isnan(q) else math.copysign(math.inf, q)
    bounds = sorted(buckets)
    counts = list(accumulate((buckets[bound] for bound in bounds), max))
    if bounds[-1] != math.inf or len(bounds) < 2 or counts[-1] == 0:
        return math.nan
    rank = q * counts[-1]
    place = next((i for i, count in enumerate(counts[:-1]) if count >= rank), len(bounds) - 1)
    if place == len(bounds) - 1:
        return bounds[-2]
    if place == 0 and bounds[0] <= 0:
        return bounds[0]
    lower, before = (bounds[place - 1], counts[place - 1]) if place else (0.0, 0.0)
    return lower + (bounds[place] - lower) * divided(rank - before, counts[place] - before)


def of_date(part: Callable[[datetime], float]) -> Callable[[Query, Sequence[Node], int], Value]:
    """Return a function of the UTC date that seconds since the epoch stand for; of now without an argument."""

    def call(query: Query, args: Sequence[Node], at_ms: int) -> Value:
        samples = vector(query, args[0], at_ms) if args else [Sample({}, at_ms / 1000)]
        epoch = datetime(1970, 1, 1, tzinfo=UTC)
        return [
            Sample(one.labels, float(part(epoch + timedelta(seconds=math.floor(one.value)))), unnamed=True)
            for one in samples
        ]

    return call


CALLS: dict[str, Callable[[Query, Sequence[Node], int], Value]] = {
    "absent": call_absent,
    "absent_over_time": call_absent_over_time,
    "clamp": call_clamp,
    "clamp_max": call_clamp_max,
    "clamp_min": call_clamp_min,
    "day_of_month": of_date(lambda date: date.day),
    "day_of_week": of_date(lambda date: date.isoweekday() % 7),
    "day_of_year": of_date(lambda date: date.timetuple().tm_yday),
    "days_in_month": of_date(lambda date: monthrange(date.year, date.month)[1]),
    "histogram_quantile": call_histogram_quantile,
    "hour": of_date(lambda date: date.hour),
    "integral": call_integral,
    "label_join": call_label_join,
    "label_replace": call_label_replace,
    "minute": of_date(lambda date: date.minute),
    "month": of_date(lambda date: date.month),
    "predict_linear": call_predict_linear,
    "quantile_over_time": call_quantile_over_time,
    "round": call_round,
    "scalar": call_scalar,
    "sort": lambda query, args, at_ms: evaluate(query, args[0], at_ms),
    "sort_desc": lambda query, args, at_ms: evaluate(query, args[0], at_ms),
    "time": lambda _query, _args, at_ms: at_ms / 1000,
    "timestamp": call_timestamp,
    "year": of_date(lambda date: date.year),
    "vector": lambda query, args, at_ms: [Sample({}, scalar(query, args[0], at_ms))],
}


# ---------------------------------------------------------------------------------------------------------------
# Aggregations

OF_GROUP: dict[str, Callable[[Sequence[float]], float]] = {
    "avg": mean,
    "count": lambda values: float(len(values)),
    "group": lambda _values: 1.0,
    "max": extreme(max),
    "min": extreme(min),
    "stddev": lambda values: math.sqrt(variance(values)),
    "stdvar": variance,
    "sum": total,
}


def group_labels(node: Aggregate, labels: dict[str, str]) -> dict[str, str]:
    if node.without:
        return {name: value for name, value in labels.items() if name not in (*node.labels, "__name__")}
    return {name: value for name, value in labels.items() if name in node.labels}


def groups(node: Aggregate, samples: Sequence[Sample]) -> list[tuple[dict[str, str], list[Sample]]]:
    grouped: dict[Key, list[Sample]] = {}
    for sample in samples:
        grouped.setdefault(key(group_labels(node, sample.labels)), []).append(sample)
    return [(dict(labels), members) for labels, members in grouped.items()]


def aggregated(query: Query, node: Aggregate, at_ms: int) -> Value:
    samples = vector(query, node.expr, at_ms)
    if node.op in ("topk", "bottomk"):
        return selected(query, node, samples, at_ms)
    if node.op == "count_values":
        return counted(query, node, samples, at_ms)
    function = OF_GROUP.get(node.op)
    if function is None:
        assert node.op == "quantile"
        assert node.param is not None
        q = scalar(query, node.param, at_ms)
        return [Sample(labels, quantile(q, values_of(members))) for labels, members in groups(node, samples)]
    return [Sample(labels, function(values_of(members))) for labels, members in groups(node, samples)]


def values_of(samples: Sequence[Sample]) -> list[float]:
    return [sample.value for sample in samples]


def selected(query: Query, node: Aggregate, samples: Sequence[Sample], at_ms: int) -> list[Sample]:
    """topk and bottomk: members themselves, NaN only for want of numbers."""
    assert node.param is not None
    limit = scalar(query, node.param, at_ms)
    if math.isnan(limit):
        raise Unjudgeable("Parameter value is NaN")
    sign = -1 if node.op == "topk" else 1
    chosen = []
    for _, members in groups(node, samples):
        ordered = sorted(
            members, key=lambda one: (math.isnan(one.value), 0 if math.isnan(one.value) else sign * one.value)
        )
        chosen += ordered[: max(int(limit), 0)]
    return chosen


def counted(query: Query, node: Aggregate, samples: Sequence[Sample], at_ms: int) -> list[Sample]:
    assert isinstance(node.param, Text)
    counts: dict[Key, float] = {}
    for sample in samples:
        labels = group_labels(node, sample.labels) | {node.param.value: shown(sample.value)}
        counts[key(labels)] = counts.get(key(labels), 0.0) + 1
    return [Sample(dict(labels), count) for labels, count in counts.items()]


def shown(value: float) -> str:
    """Print a value as count_values does; the judge's data has no large or tiny ones."""
    if math.isinf(value) or math.isnan(value):
        return "NaN" if math.isnan(value) else "+Inf" if value > 0 else "-Inf"
    return repr(value).removesuffix(".0")


# ---------------------------------------------------------------------------------------------------------------
# Binary operators


def divided(left: float, right: float) -> float:
    if right == 0:
        return math.nan if left == 0 or math.isnan(left) else math.copysign(math.inf, left) * math.copysign(1, right)
    return left / right


def remainder(left: float, right: float) -> float:
    if right == 0 or math.isinf(left) or math.isnan(left) or math.isnan(right):
        return math.nan
    return math.fmod(left, right)


def power(left: float, right: float) -> float:
    try:
        return math.pow(left, right)
    except OverflowError:
        return -math.inf if left < 0 and right % 2 == 1 else math.inf
    except ValueError:  # zero to a negative power, or a negative number to a broken one
        if left == 0:
            return math.copysign(math.inf, left) if right % 2 == 1 else math.inf
        return math.nan


def product(left: float, right: float) -> float:
    return left * right


ARITHMETIC: dict[str, Callable[[float, float], float]] = {
    "+": lambda left, right: left + right,
    "-": lambda left, right: left - right,
    "*": product,
    "/": divided,
    "%": remainder,
    "^": power,
    "atan2": math.atan2,
}
COMPARISONS: dict[str, Callable[[float, float], bool]] = {
    "==": lambda left, right: left == right,
    "!=": lambda left, right: left != right,
    "<": lambda left, right: left < right,
    ">": lambda left, right: left > right,
    "<=": lambda left, right: left <= right,
    ">=": lambda left, right: left >= right,
}


def combined(query: Query, node: Binary, at_ms: int) -> Value:
    left, right = evaluate(query, node.left, at_ms), evaluate(query, node.right, at_ms)
    if isinstance(left, float) and isinstance(right, float):
        if node.op in COMPARISONS:
            return float(COMPARISONS[node.op](left, right))
        return ARITHMETIC[node.op](left, right)
    if isinstance(left, float):
        assert isinstance(right, list)
        pairs = [(one, left, one.value, one.value) for one in right]
        return with_scalar(node, pairs)
    assert isinstance(left, list)
    if isinstance(right, float):
        return with_scalar(node, [(one, one.value, right, one.value) for one in left])
    assert isinstance(right, list)
    if node.op in SETS:
        return SETS[node.op](node.matching or Matching(), left, right)
    return vectors(node, left, right)


def with_scalar(node: Binary, pairs: Sequence[tuple[Sample, float, float, float]]) -> list[Sample]:
    """Combine samples with a number; a comparison keeps the sample as it is."""
    results = []
    for one, left, right, own in pairs:
        value = outcome(node, left, right, own)
        if value is not None:
            filters = node.op in COMPARISONS and not node.returns_bool
            results.append(Sample(one.labels, value, unnamed=one.unnamed or not filters))
    return results


def outcome(node: Binary, left: float, right: float, kept: float) -> float | None:
    if node.op not in COMPARISONS:
        return ARITHMETIC[node.op](left, right)
    holds = COMPARISONS[node.op](left, right)
    if node.returns_bool:
        return float(holds)
    return kept if holds else None


def signature(matching: Matching, labels: dict[str, str]) -> Key:
    if matching.on:
        return key({name: labels.get(name, "") for name in matching.labels})
    return key({name: value for name, value in labels.items() if name not in (*matching.labels, "__name__")})


def vectors(node: Binary, left: list[Sample], right: list[Sample]) -> list[Sample]:
    matching = node.matching or Matching()
    if not left or not right:
        return []
    turned = matching.card == "one-to-many"
    many, one = (right, left) if turned else (left, right)
    ones: dict[Key, Sample] = {}
    for sample in one:
        mark = signature(matching, sample.labels)
        if mark in ones:
            raise Unjudgeable("found duplicate series for the match group")
        ones[mark] = sample
    results: list[Sample] = []
    used: set[Key | tuple[Key, Key]] = set()
    for sample in many:
        mark = signature(matching, sample.labels)
        if mark not in ones:
            continue
        partner = ones[mark]
        first, second = (partner, sample) if turned else (sample, partner)
        value = outcome(node, first.value, second.value, first.value)
        result = paired(node, matching, sample, partner, 0.0 if value is None else value)
        taken = mark if matching.card == "one-to-one" else (mark, key(result.labels))
        if taken in used:
            raise Unjudgeable("multiple matches for labels")
        used.add(taken)
        if value is not None:  # what a comparison filters away was matched all the same
            results.append(result)
    return results


def paired(node: Binary, matching: Matching, many: Sample, one: Sample, value: float) -> Sample:
    filters = node.op in COMPARISONS and not node.returns_bool
    labels = dict(many.labels) if filters else nameless(many.labels)
    if matching.card == "one-to-one":
        if matching.on:
            labels = {name: own for name, own in labels.items() if name in matching.labels}
        else:
            labels = {name: own for name, own in labels.items() if name not in matching.labels}
    for name in matching.include:
        labels.pop(name, None)
        if one.labels.get(name):
            labels[name] = one.labels[name]
    return Sample(labels, value, unnamed=many.unnamed or not filters)


def both(matching: Matching, left: list[Sample], right: list[Sample]) -> list[Sample]:
    marks = {signature(matching, one.labels) for one in right}
    return [one for one in left if signature(matching, one.labels) in marks]


def either(matching: Matching, left: list[Sample], right: list[Sample]) -> list[Sample]:
    marks = {signature(matching, one.labels) for one in left}
    return left + [one for one in right if signature(matching, one.labels) not in marks]


def excepting(matching: Matching, left: list[Sample], right: list[Sample]) -> list[Sample]:
    marks = {signature(matching, one.labels) for one in right}
    return [one for one in left if signature(matching, one.labels) not in marks]


SETS = {"and": both, "or": either, "unless": excepting}
