"""Arithmetic of native histograms: pure functions of one or two of them.

The rules are those of FloatHistogram (prometheus/prometheus: model/histogram/float_histogram.go) and of
HistogramQuantile and HistogramFraction (promql/quantile.go).
"""

import math
import sys
from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from itertools import chain

from opstrace.promql.numbers import short
from opstrace.store.histogram import CUSTOM_BOUNDS, NativeHistogram, ResetHint


class IncompatibleSchemas(Exception):
    """Exponential buckets and custom ones have nothing in common."""


@dataclass(frozen=True, slots=True)
class Bucket:
    """Observations between two bounds."""

    lower: float
    upper: float
    count: float

    @property
    def around_zero(self) -> bool:
        """Whether zero lies within, or at a bound."""
        return self.lower <= 0 <= self.upper


def is_custom(histogram: NativeHistogram) -> bool:
    """Whether the bounds are the histogram's own."""
    return histogram.schema == CUSTOM_BOUNDS


# 2 ** (1 / 2), 2 ** (1 / 4) …, as Go's math.Exp2 has them: the last digit is not always that of the nearest double.
_ROOTS = (
    *(1.414213562373095, 1.189207115002721, 1.0905077326652577, 1.0442737824274138),
    *(1.0218971486541166, 1.0108892860517005, 1.0054299011128027, 1.0027112750502025),
)


@cache
def _fractions(schema: int) -> tuple[float, ...]:
    """Return the bounds from 0.5 on to below 1, as Prometheus makes them (client_golang: prometheus/histogram.go)."""
    if not schema:
        return (0.5,)
    return tuple(chain.from_iterable((one, one * _ROOTS[schema - 1]) for one in _fractions(schema - 1)))


def bound(index: int, schema: int) -> float:
    """Return the upper bound of an exponential bucket.

    That of the last bucket of numbers is the largest one; beyond it is the bucket of infinite observations (model/
    histogram/generic.go).
    """
    if schema <= 0:
        fraction, exponent = 0.5, (index << -schema) + 1
    else:
        fraction, exponent = _fractions(schema)[index & ((1 << schema) - 1)], (index >> schema) + 1
    try:
        return math.ldexp(fraction, exponent)
    except OverflowError:
        return sys.float_info.max if (fraction, exponent) == (0.5, sys.float_info.max_exp + 1) else math.inf


def positive_bucket(histogram: NativeHistogram, index: int) -> Bucket:
    """Return the bucket of an index on the positive side."""
    count = histogram.positive[index]
    if not is_custom(histogram):
        return Bucket(bound(index - 1, histogram.schema), bound(index, histogram.schema), count)
    bounds = histogram.custom_bounds
    lower = bounds[index - 1] if index else -math.inf
    return Bucket(lower, bounds[index] if index < len(bounds) else math.inf, count)


def negative_bucket(histogram: NativeHistogram, index: int) -> Bucket:
    """Return the bucket of an index on the negative side."""
    schema = histogram.schema
    return Bucket(-bound(index, schema), -bound(index - 1, schema), histogram.negative[index])


def buckets(histogram: NativeHistogram) -> list[Bucket]:
    """Return all buckets, ascending; those beside the zero bucket end where it begins."""
    threshold = histogram.zero_threshold
    below = [negative_bucket(histogram, index) for index in sorted(histogram.negative, reverse=True)]
    above = [positive_bucket(histogram, index) for index in sorted(histogram.positive)]
    zero = [Bucket(-threshold, threshold, histogram.zero_count)] if histogram.zero_count > 0 else []
    return [
        *(replace(one, upper=-threshold) if -threshold < one.upper < 0 else one for one in below),
        *zero,
        *(replace(one, lower=threshold) if 0 < one.lower < threshold else one for one in above),
    ]


# Scaling, adding, subtracting


def multiplied(histogram: NativeHistogram, factor: float) -> NativeHistogram:
    """Return the histogram with everything times a factor; a negative one makes it a gauge."""
    return _mapped(histogram, lambda value: value * factor, gauge=factor < 0)


def divided(histogram: NativeHistogram, divisor: float) -> NativeHistogram:
    """Return the histogram with everything divided; by zero only totals remain."""
    if divisor == 0:
        histogram = replace(histogram, positive={}, negative={})
    return _mapped(histogram, lambda value: _quotient(value, divisor), gauge=divisor < 0)


def _quotient(value: float, divisor: float) -> float:
    if divisor:
        return value / divisor
    if value == 0 or math.isnan(value) or math.isnan(divisor):
        return math.nan
    return math.copysign(math.inf, value) * math.copysign(1.0, divisor)


def _mapped(histogram: NativeHistogram, change: Callable[[float], float], *, gauge: bool) -> NativeHistogram:
    return replace(
        histogram,
        count=change(histogram.count),
        sum=change(histogram.sum),
        zero_count=change(histogram.zero_count),
        positive={index: change(count) for index, count in histogram.positive.items()},
        negative={index: change(count) for index, count in histogram.negative.items()},
        hint=ResetHint.GAUGE if gauge else histogram.hint,
    )


@dataclass(frozen=True, slots=True)
class Combined:
    """A sum or difference, and what had to be said about it."""

    histogram: NativeHistogram
    conflicting: bool  # one was reset, the other was not
    reconciled: bool  # custom bounds differed, and only common ones remain


def combined(left: NativeHistogram, right: NativeHistogram, sign: float = 1.0) -> Combined:
    """Return `left + sign * right`; raise IncompatibleSchemas."""
    if is_custom(left) != is_custom(right):
        raise IncompatibleSchemas
    hint, conflicting = _hint(left.hint, right.hint)
    reconciled = is_custom(left) and left.custom_bounds != right.custom_bounds
    left, right = _aligned(left, right)
    histogram = replace(
        left,
        count=left.count + sign * right.count,
        sum=left.sum + sign * right.sum,
        zero_count=left.zero_count + sign * right.zero_count,
        positive=_merged(left.positive, right.positive, sign),
        negative=_merged(left.negative, right.negative, sign),
        hint=hint,
    )
    return Combined(histogram, conflicting, reconciled)


def _hint(left: ResetHint, right: ResetHint) -> tuple[ResetHint, bool]:
    if left is right:
        return left, False
    if ResetHint.GAUGE in (left, right):
        return ResetHint.GAUGE, False
    return ResetHint.UNKNOWN, ResetHint.UNKNOWN not in (left, right)


def _merged(left: Mapping[int, float], right: Mapping[int, float], sign: float) -> dict[int, float]:
    merged = dict(left)
    for index, count in right.items():
        merged[index] = merged.get(index, 0.0) + sign * count
    return merged


def _aligned(left: NativeHistogram, right: NativeHistogram) -> tuple[NativeHistogram, NativeHistogram]:
    """Bring two histograms to the same buckets."""
    if is_custom(left):
        if left.custom_bounds == right.custom_bounds:
            return left, right
        common = tuple(sorted(set(left.custom_bounds) & set(right.custom_bounds)))
        return with_bounds(left, common), with_bounds(right, common)
    left, right = _same_zero(left, right)
    schema = min(left.schema, right.schema)
    return to_schema(left, schema), to_schema(right, schema)


def with_bounds(histogram: NativeHistogram, bounds: tuple[float, ...]) -> NativeHistogram:
    """Return a custom histogram with only some of its bounds."""
    positive: dict[int, float] = {}
    for index, count in histogram.positive.items():
        upper = histogram.custom_bounds[index] if index < len(histogram.custom_bounds) else math.inf
        place = bisect_left(bounds, upper)
        positive[place] = positive.get(place, 0.0) + count
    return replace(histogram, positive=positive, custom_bounds=bounds)


def to_schema(histogram: NativeHistogram, schema: int) -> NativeHistogram:
    """Return an exponential histogram at a lower resolution."""
    if schema == histogram.schema:
        return histogram
    shift = histogram.schema - schema
    positive, negative = _shifted(histogram.positive, shift), _shifted(histogram.negative, shift)
    return replace(histogram, schema=schema, positive=positive, negative=negative)


def _shifted(counts: Mapping[int, float], shift: int) -> dict[int, float]:
    shifted: dict[int, float] = {}
    for index, count in counts.items():
        place = ((index - 1) >> shift) + 1
        shifted[place] = shifted.get(place, 0.0) + count
    return shifted


def _same_zero(left: NativeHistogram, right: NativeHistogram) -> tuple[NativeHistogram, NativeHistogram]:
    """Widen the zero buckets until they are equal and no populated bucket is cut."""
    while left.zero_threshold != right.zero_threshold:
        threshold = max(left.zero_threshold, right.zero_threshold)
        left, right = widened(left, threshold), widened(right, threshold)
    return left, right


def widened(histogram: NativeHistogram, threshold: float) -> NativeHistogram:
    """Return the histogram with a zero bucket at least so wide; wider when the threshold would cut a bucket."""
    if threshold <= histogram.zero_threshold:
        return histogram
    while (wider := _uncut(histogram, threshold)) > threshold:
        threshold = wider
    schema = histogram.schema
    inside = [
        {index: count for index, count in side.items() if bound(index - 1, schema) < threshold}
        for side in (histogram.positive, histogram.negative)
    ]
    return replace(
        histogram,
        zero_threshold=threshold,
        zero_count=histogram.zero_count + sum(inside[0].values()) + sum(inside[1].values()),
        positive={index: count for index, count in histogram.positive.items() if index not in inside[0]},
        negative={index: count for index, count in histogram.negative.items() if index not in inside[1]},
    )


def _uncut(histogram: NativeHistogram, threshold: float) -> float:
    for side in (histogram.positive, histogram.negative):
        for index, count in side.items():
            lower, upper = bound(index - 1, histogram.schema), bound(index, histogram.schema)
            if count and lower < threshold < upper:
                threshold = upper
    return threshold


# Comparing


def compact(histogram: NativeHistogram) -> NativeHistogram:
    """Return the histogram without buckets that are empty anyway; itself where there are none."""
    if all(histogram.positive.values()) and all(histogram.negative.values()):
        return histogram
    positive = {index: count for index, count in histogram.positive.items() if count}
    negative = {index: count for index, count in histogram.negative.items() if count}
    return replace(histogram, positive=positive, negative=negative)


def same(left: NativeHistogram, right: NativeHistogram) -> bool:
    """Whether two histograms hold the same observations in the same buckets; NaN equals NaN."""
    return _contents(left) == _contents(right)


def _contents(histogram: NativeHistogram) -> tuple[object, ...]:
    clean = compact(histogram)
    numbers = [clean.count, clean.sum, clean.zero_count, *_values(clean.positive), *_values(clean.negative)]
    layout = (clean.schema, clean.zero_threshold, clean.custom_bounds, sorted(clean.positive), sorted(clean.negative))
    return (layout, ["NaN" if math.isnan(number) else number for number in numbers])


def _values(counts: Mapping[int, float]) -> list[float]:
    return [counts[index] for index in sorted(counts)]


def was_reset(current: NativeHistogram, previous: NativeHistogram) -> bool:
    """Whether a counter was reset between two samples: by the hint, or because anything fell or became finer."""
    if current.hint in (ResetHint.RESET, ResetHint.NOT_RESET):
        return current.hint is ResetHint.RESET
    if current.count < previous.count or is_custom(current) != is_custom(previous):
        return True
    if is_custom(current):
        aligned, before = _aligned(current, previous)
        return _fell(aligned.positive, before.positive)
    if current.schema > previous.schema or current.zero_threshold < previous.zero_threshold:
        return True
    before = widened(previous, current.zero_threshold)
    if before.zero_threshold != current.zero_threshold or current.zero_count < before.zero_count:
        return True
    before = to_schema(before, current.schema)
    return _fell(current.positive, before.positive) or _fell(current.negative, before.negative)


def _fell(current: Mapping[int, float], previous: Mapping[int, float]) -> bool:
    return any(current.get(index, 0.0) < count for index, count in previous.items() if count)


# Sums of many


def total(histograms: Iterable[NativeHistogram], check: Callable[[], None]) -> Combined:
    """Return the compensated sum; raise IncompatibleSchemas, or what `check` raises from one to the next."""
    conflicting, reconciled = False, False
    seen: set[ResetHint] = set()
    result: NativeHistogram | None = None
    lost: NativeHistogram | None = None
    for histogram in histograms:
        check()
        seen.add(histogram.hint)
        if result is None:
            result = histogram
            continue
        step = combined(result, histogram)
        reconciled |= step.reconciled
        error = _rounding(result, histogram, step.histogram)
        lost = error if lost is None else combined(lost, error).histogram
        result = step.histogram
    conflicting = {ResetHint.RESET, ResetHint.NOT_RESET} <= seen
    assert result is not None  # nobody sums nothing
    return Combined(result if lost is None else _corrected(result, lost), conflicting, reconciled)


def _rounding(left: NativeHistogram, right: NativeHistogram, whole: NativeHistogram) -> NativeHistogram:
    """Return what adding lost, number by number (Neumaier)."""
    left, right = _aligned(left, right)

    def sides(first: Mapping[int, float], second: Mapping[int, float], sums: Mapping[int, float]) -> dict[int, float]:
        return {index: _lost(first.get(index, 0.0), second.get(index, 0.0), count) for index, count in sums.items()}

    return replace(
        whole,
        count=_lost(left.count, right.count, whole.count),
        sum=_lost(left.sum, right.sum, whole.sum),
        zero_count=_lost(left.zero_count, right.zero_count, whole.zero_count),
        positive=sides(left.positive, right.positive, whole.positive),
        negative=sides(left.negative, right.negative, whole.negative),
    )


def _lost(first: float, second: float, both: float) -> float:
    """Return what adding two numbers lost; an infinite sum loses nothing."""
    if math.isinf(both):
        return 0.0
    larger, smaller = (first, second) if abs(first) >= abs(second) else (second, first)
    return (larger - both) + smaller


def _corrected(histogram: NativeHistogram, lost: NativeHistogram) -> NativeHistogram:
    """Add what was lost, except where the sum is infinite."""
    added = combined(histogram, replace(lost, hint=histogram.hint)).histogram
    return (
        added if math.isfinite(added.sum) or not math.isfinite(histogram.sum) else replace(added, sum=histogram.sum)
    )


def mean(histograms: list[NativeHistogram], check: Callable[[], None]) -> Combined:
    """Return the average; raise as `total` does."""
    whole = total(histograms, check)
    if _finite(whole.histogram):
        return replace(whole, histogram=divided(whole.histogram, len(histograms)))
    # The sum is beyond what a float can hold, the average need not be.
    return total((divided(histogram, len(histograms)) for histogram in histograms), check)


def _finite(histogram: NativeHistogram) -> bool:
    numbers = (histogram.count, histogram.zero_count, *histogram.positive.values(), *histogram.negative.values())
    return not math.isinf(histogram.sum) and not any(map(math.isinf, numbers))


# Estimates


def has_nan(histogram: NativeHistogram) -> bool:
    """Whether there are observations of NaN: counted, but in no bucket."""
    return math.isnan(histogram.sum) and sum(one.count for one in buckets(histogram)) < histogram.count


def quantile(histogram: NativeHistogram, wanted: float) -> float:
    """Return a quantile: interpolated linearly in custom buckets and around zero, else exponentially."""
    if wanted < 0 or wanted > 1:
        return math.copysign(math.inf, wanted)
    if histogram.count == 0 or math.isnan(wanted):
        return math.nan
    forward, rank = _rank_of(histogram, wanted)
    found = _bucket_of(histogram, rank, forward=forward)
    if found is None:
        return 0.0 if rank > 0 and not math.isnan(histogram.sum) else math.nan
    bucket, count = found
    if is_custom(histogram):
        if (only := _only_bound(bucket)) is not None:
            return only
        # It may be the last one, too, where histograms without a bound in common were added.
        bucket = replace(bucket, lower=0.0) if math.isinf(bucket.lower) else bucket
    else:
        bucket = _one_sided(histogram, bucket)
    count = min(count, histogram.count)
    if count < rank:
        return math.nan if math.isnan(histogram.sum) else bucket.upper
    rank = rank - (count - bucket.count) if forward else count - rank
    return _within(histogram, bucket, rank / bucket.count)


def is_of_endless_bucket(histogram: NativeHistogram, wanted: float) -> bool:
    """Whether a quantile is the one bound of a custom bucket, in which nothing can be interpolated."""
    if not is_custom(histogram):
        return False
    forward, rank = _rank_of(histogram, wanted)
    found = _bucket_of(histogram, rank, forward=forward)
    return found is not None and _only_bound(found[0]) is not None


def _only_bound(bucket: Bucket) -> float | None:
    """Return the bound of a custom bucket without an end; nothing where it has two, or begins at zero as it were."""
    if math.isinf(bucket.lower):
        return bucket.upper if bucket.upper <= 0 else None
    return bucket.lower if math.isinf(bucket.upper) else None


def _rank_of(histogram: NativeHistogram, wanted: float) -> tuple[bool, float]:
    """Return whether ranks are counted from below, and the rank of a quantile."""
    # Observations of NaN are counted but in no bucket: then ranks are only known from below.
    forward = math.isnan(histogram.sum) or wanted < 0.5
    return forward, (wanted if forward else 1 - wanted) * histogram.count


def _bucket_of(histogram: NativeHistogram, rank: float, *, forward: bool) -> tuple[Bucket, float] | None:
    """Return the bucket that reaches a rank and the count up to its far end."""
    count, found = 0.0, None
    for bucket in buckets(histogram) if forward else reversed(buckets(histogram)):
        if bucket.count == 0:
            continue
        count, found = count + bucket.count, bucket
        if count >= rank:
            break
    return None if found is None else (found, count)


def _one_sided(histogram: NativeHistogram, bucket: Bucket) -> Bucket:
    """Let the zero bucket end at zero when there is nothing on its other side."""
    if not (bucket.lower <= 0 <= bucket.upper) or bucket.lower == bucket.upper:
        return bucket
    if histogram.positive and not histogram.negative:
        return replace(bucket, lower=0.0)
    return replace(bucket, upper=0.0) if histogram.negative and not histogram.positive else bucket


def _within(histogram: NativeHistogram, bucket: Bucket, fraction: float) -> float:
    if is_custom(histogram) or bucket.around_zero:
        return bucket.lower + (bucket.upper - bucket.lower) * fraction
    lower, upper = math.log2(abs(bucket.lower)), math.log2(abs(bucket.upper))
    if bucket.lower > 0:
        return _power_of_two(lower + (upper - lower) * fraction)
    return -_power_of_two(upper + (lower - upper) * (1 - fraction))


def _power_of_two(exponent: float) -> float:
    try:
        return float(2.0**exponent)
    except OverflowError:
        return math.inf


def fraction(histogram: NativeHistogram, lower: float, upper: float) -> float:
    """Return the share of observations between two values."""
    if histogram.count == 0 or math.isnan(lower) or math.isnan(upper):
        return math.nan
    if lower >= upper:
        return 0.0
    return (_rank(histogram, upper) - _rank(histogram, lower)) / histogram.count


def _rank(histogram: NativeHistogram, value: float) -> float:
    """Return how many observations are below a value."""
    rank = 0.0
    for bucket in buckets(histogram):
        bucket = _custom_floor(bucket) if is_custom(histogram) else _one_sided(histogram, bucket)
        if bucket.lower >= value:
            return min(rank, histogram.count)
        if bucket.lower < value < bucket.upper:
            return min(rank + split(bucket, value, linear=is_custom(histogram)), histogram.count)
        rank += bucket.count
    # Observations of NaN are in no bucket, and below nothing.
    return min(rank, histogram.count) if math.isnan(histogram.sum) else histogram.count


def _custom_floor(bucket: Bucket) -> Bucket:
    return replace(bucket, lower=0.0) if math.isinf(bucket.lower) and bucket.upper > 0 else bucket


def split(bucket: Bucket, value: float, *, linear: bool) -> float:
    """Return how much of a bucket's count is below a value within it."""
    if math.isinf(bucket.lower):
        return bucket.count
    if math.isinf(bucket.upper):
        return 0.0
    if linear or bucket.around_zero:
        return bucket.count * (value - bucket.lower) / (bucket.upper - bucket.lower)
    lower, upper, middle = (math.log2(abs(one)) for one in (bucket.lower, bucket.upper, value))
    return bucket.count * ((middle - lower) / (upper - lower))


def average(histogram: NativeHistogram) -> float:
    """Return the mean observation."""
    return _quotient(histogram.sum, histogram.count)


def variance(histogram: NativeHistogram) -> float:
    """Return the variance, taking each observation for the middle of its bucket."""
    mean = average(histogram)
    total, lost = 0.0, 0.0
    for one in buckets(histogram):
        if one.count:
            away = _middle(one, linear=is_custom(histogram)) - mean
            term = one.count * away * away
            both = total + term
            total, lost = both, lost + _lost(total, term, both)
    return _quotient(total + lost, histogram.count)


def deviation(histogram: NativeHistogram) -> float:
    """Return the standard deviation; NaN where buckets count less than nothing."""
    squared = variance(histogram)
    return math.sqrt(squared) if squared >= 0 else math.nan


def _middle(bucket: Bucket, *, linear: bool) -> float:
    if linear:
        return (bucket.upper + bucket.lower) / 2
    if bucket.around_zero:
        return 0.0
    return math.copysign(math.sqrt(bucket.upper * bucket.lower), bucket.upper)


def spelled(histogram: NativeHistogram) -> str:
    """Return a histogram as Prometheus prints it, populated buckets only."""
    parts = [f"count:{short(histogram.count)}", f"sum:{short(histogram.sum)}"]
    custom = is_custom(histogram)
    parts += [
        _bucket_text(negative_bucket(histogram, index), "[", ")")
        for index in sorted(histogram.negative, reverse=True)
        if histogram.negative[index]
    ]
    if histogram.zero_count:
        threshold = histogram.zero_threshold
        parts.append(_bucket_text(Bucket(-threshold, threshold, histogram.zero_count), "[", "]"))
    parts += [
        _bucket_text(positive_bucket(histogram, index), "[" if custom and not index else "(", "]")
        for index in sorted(histogram.positive)
        if histogram.positive[index]
    ]
    return "{" + ", ".join(parts) + "}"


def _bucket_text(bucket: Bucket, opening: str, closing: str) -> str:
    return f"{opening}{short(bucket.lower)},{short(bucket.upper)}{closing}:{short(bucket.count)}"
