"""`histogram </ x` and `histogram >/ x`: the observations below or above a value, and what their sum then is.

The rules are those of TrimBuckets (prometheus/prometheus: model/histogram/float_histogram.go).
"""

import math
from dataclasses import replace

from opstrace.promql import native
from opstrace.promql.native import Bucket
from opstrace.store.histogram import NativeHistogram


def kept_below(histogram: NativeHistogram, limit: float) -> NativeHistogram:
    """Return the observations up to a value."""
    return _trimmed(histogram, limit, below=True)


def kept_above(histogram: NativeHistogram, limit: float) -> NativeHistogram:
    """Return the observations beyond a value."""
    return _trimmed(histogram, limit, below=False)


def _trimmed(histogram: NativeHistogram, limit: float, *, below: bool) -> NativeHistogram:
    linear = native.is_custom(histogram)
    positive = {
        index: _kept(native.positive_bucket(histogram, index), limit, below=below, linear=linear)
        for index, count in histogram.positive.items()
        if count
    }
    negative = {
        index: _kept(native.negative_bucket(histogram, index), limit, below=below, linear=linear)
        for index, count in histogram.negative.items()
        if count
    }
    zero = histogram.zero_count, 0.0
    if histogram.zero_count > 0:
        zero = _kept_zero(histogram, limit, below=below, lower=bool(negative), upper=bool(positive))
    parts = [*positive.values(), *negative.values(), zero]
    result = replace(
        histogram,
        positive={index: part[0] for index, part in positive.items() if part[0]},
        negative={index: part[0] for index, part in negative.items() if part[0]},
        zero_count=zero[0],
    )
    if native.same(result, native.compact(histogram)):
        return histogram
    return replace(result, count=sum(part[0] for part in parts), sum=sum(part[0] * part[1] for part in parts))


def _kept(bucket: Bucket, limit: float, *, below: bool, linear: bool) -> tuple[float, float]:
    """Return how many observations of a bucket stay, and the value to take each for."""
    if bucket.upper <= limit if below else bucket.lower >= limit:
        return bucket.count, _middle(bucket.lower, bucket.upper, linear=linear)
    if not (bucket.lower < limit if below else bucket.upper > limit):  # NaN keeps nothing
        return 0.0, 0.0
    if math.isinf(bucket.lower) or math.isinf(bucket.upper):
        return _kept_of_endless(bucket, limit, below=below)
    under = native.split(bucket, limit, linear=linear)
    if below:
        return under, _middle(bucket.lower, limit, linear=linear)
    return bucket.count - under, _middle(limit, bucket.upper, linear=linear)


def _kept_of_endless(bucket: Bucket, limit: float, *, below: bool) -> tuple[float, float]:
    """Return what stays of a custom bucket without an end that the limit cuts; how it is filled is unknown."""
    if math.isinf(bucket.lower) and 0 <= limit < bucket.upper < math.inf:
        # It is taken to begin at zero.
        share = limit / bucket.upper
        return bucket.count * (share if below else 1 - share), (limit if below else limit + bucket.upper) / 2
    if math.isinf(bucket.lower) and below and bucket.upper <= 0:
        return bucket.count, limit
    if math.isinf(bucket.upper) and not math.isinf(bucket.lower) and not below:
        return bucket.count, limit
    return 0.0, 0.0


def _middle(lower: float, upper: float, *, linear: bool) -> float:
    if math.isinf(lower):
        return 0.0 if math.isinf(upper) else upper / 2 if upper > 0 else upper
    if math.isinf(upper):
        return lower
    return (lower + upper) / 2 if linear else math.copysign(math.sqrt(abs(lower * upper)), lower + upper)


def _kept_zero(
    histogram: NativeHistogram, limit: float, *, below: bool, lower: bool, upper: bool
) -> tuple[float, float]:
    """Return what stays of the zero bucket, which ends at zero on a side without other buckets."""
    left = -histogram.zero_threshold if lower or not upper else 0.0
    right = histogram.zero_threshold if upper or not lower else 0.0
    # Where it has no width, the first of these two decides.
    if limit <= left:
        return (0.0, 0.0) if below else (histogram.zero_count, (left + right) / 2)
    if limit >= right:
        return (histogram.zero_count, (left + right) / 2) if below else (0.0, 0.0)
    start, end = (left, limit) if below else (limit, right)
    return histogram.zero_count * (end - start) / (right - left), (start + end) / 2
