"""Classic histograms: quantiles and fractions of cumulative `le` buckets, for many histograms at once.

Series are brought into batches of cells, one cell a histogram at a step, that share their bucket bounds. The rules
are those of BucketQuantile and BucketFraction (prometheus/prometheus: promql/quantile.go).
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from opstrace.golang import parse_float
from opstrace.promql.annotations import Lifted
from opstrace.promql.labelsets import grouping
from opstrace.promql.quantiles import bounded
from opstrace.promql.values import Bools, Floats, Ints, Vector
from opstrace.ragged import run_bounds
from opstrace.store.backend import Labels

LE = "le"
# Counts this close are the same count, told apart by rounding only.
_TOLERANCE = 1e-12
_TINY = float(np.finfo(np.float64).tiny)


@dataclass(frozen=True, slots=True)
class Histograms:
    """The classic histograms of a vector: their labels without `le`, and which series belong to which."""

    labels: Sequence[Labels]  # one a histogram; the metric name stays
    rows: Sequence[Ints]  # one a histogram: its series, by ascending bound
    bounds: Sequence[tuple[float, ...]]  # one a histogram


@dataclass(frozen=True, slots=True)
class Cells:
    """Histograms at steps where the same buckets are there."""

    histograms: Ints  # cells
    steps: Ints  # cells
    bounds: Floats  # buckets, ascending
    counts: Floats  # cells × buckets, cumulative


def histograms_of(vector: Vector) -> Histograms:
    """Gather the series that carry a readable `le`."""
    numbers = [bound_of(labels) for labels in vector.labels]
    chosen = [row for row, number in enumerate(numbers) if number is not None]
    bounds = np.array([numbers[row] for row in chosen], dtype=np.float64)
    groups = grouping([_without_le(vector.labels[row]) for row in chosen], (), without=True, keep_name=True)
    order = np.lexsort((bounds, groups.ids))
    starts = np.searchsorted(groups.ids[order], np.arange(1, len(groups.labels)))
    rows = [np.array(chosen, dtype=np.int64)[part] for part in np.split(order, starts)] if len(order) else []
    limits = [tuple(bounds[part].tolist()) for part in np.split(order, starts)] if len(order) else []
    return Histograms(groups.labels, rows, limits)


def bound_of(labels: Labels) -> float | None:
    """Return the upper bound of a bucket; none of a series that is no bucket."""
    number = parse_float(labels.get(LE, ""))
    return None if number is None or math.isnan(number) else number


def _without_le(labels: Labels) -> Labels:
    return {name: value for name, value in labels.items() if name != LE}


def cells_of(histograms: Histograms, values: Floats, present: Bools) -> Iterator[Cells]:
    """Return the cells in which any bucket is present, in batches of equal bounds."""
    alike: dict[tuple[float, ...], list[int]] = {}
    for number, limits in enumerate(histograms.bounds):
        alike.setdefault(limits, []).append(number)
    for limits, numbers in alike.items():
        rows = np.stack([histograms.rows[number] for number in numbers])
        yield from _patterns(np.array(numbers), np.array(limits), values[rows], present[rows])


def _patterns(numbers: Ints, limits: Floats, values: Floats, present: Bools) -> Iterator[Cells]:
    """Return the cells of histograms × buckets × steps, apart by which buckets are present."""
    there = present.transpose(0, 2, 1)
    counts = values.transpose(0, 2, 1)
    full: Bools = np.logical_and.reduce(there, axis=2)
    yield from _batch(numbers, limits, counts, full, np.ones(len(limits), dtype=bool))
    partial: Bools = np.logical_or.reduce(there, axis=2) & ~full
    if partial.any():
        for pattern in np.unique(there[partial], axis=0):
            yield from _batch(numbers, limits, counts, partial & (there == pattern).all(axis=2), pattern)


def _batch(numbers: Ints, limits: Floats, counts: Floats, chosen: Bools, buckets: Bools) -> Iterator[Cells]:
    rows, steps = np.nonzero(chosen)
    if len(rows):
        uppers, merged = _coalesced(limits[buckets], counts[rows, steps][:, buckets])
        yield Cells(numbers[rows], steps, uppers, merged)


def _coalesced(limits: Floats, counts: Floats) -> tuple[Floats, Floats]:
    """Add up buckets whose labels spell the same bound differently."""
    starts = run_bounds(limits)[:-1]
    if len(starts) == len(limits):
        return limits, counts
    return limits[starts], np.add.reduceat(counts, starts, axis=1)


def quantiles(cells: Cells, wanted: Floats) -> tuple[Floats, Bools]:
    """Return a quantile for each cell, and where counts fell from one bucket to the next and had to be lifted."""
    nothing = np.zeros(len(wanted), dtype=bool)
    if len(cells.bounds) < 2 or not np.isposinf(cells.bounds[-1]):
        return bounded(np.full(len(wanted), np.nan), wanted), nothing
    counts, forced = _monotonic(cells.counts)
    observations = counts[:, -1]
    with np.errstate(all="ignore"):
        rank = wanted * observations
        bucket = (counts[:, :-1] < rank[:, None]).sum(axis=1)
        result = _interpolated(cells.bounds, counts, bucket, rank)
    possible = (wanted >= 0) & (wanted <= 1)
    return bounded(np.where(observations == 0, np.nan, result), wanted), forced & possible & (observations != 0)


def _interpolated(bounds: Floats, counts: Floats, bucket: Ints, rank: Floats) -> Floats:
    cells = np.arange(len(counts))
    below = np.where(bucket > 0, counts[cells, bucket - 1], 0.0)
    lower = np.where(bucket > 0, bounds[bucket - 1], 0.0)
    inside = lower + (bounds[bucket] - lower) * ((rank - below) / (counts[cells, bucket] - below))
    # The lowest bucket reaches down to 0, unless it ends there or below; the highest has no end to interpolate to.
    inside = np.where((bucket == 0) & (bounds[0] <= 0), bounds[0], inside)
    return np.where(bucket == len(bounds) - 1, bounds[-2], inside)


def _monotonic(counts: Floats) -> tuple[Floats, Bools]:
    """Return counts that never fall, and for which cells more than rounding had to be mended."""
    mended, forced = counts.copy(), np.zeros(len(counts), dtype=bool)
    previous = mended[:, 0].copy()
    for column in range(1, mended.shape[1]):
        current = mended[:, column]
        close = _close(previous, current)
        falls = (current < previous) & ~close
        forced |= falls
        mended[:, column] = np.where(close | falls, previous, current)
        previous = mended[:, column].copy()
    return mended, forced


def lifted(cells: Cells, chosen: Ints, times: Ints) -> Lifted:
    """Return what had to be mended of these cells, whose counts fall."""
    counts, moments = cells.counts[chosen], times[cells.steps[chosen]]
    mended, _ = _monotonic(counts)
    fell = (counts < mended) & ~_close(counts, mended)
    bounds, most = cells.bounds[fell.any(axis=0)], (mended - counts)[fell].max()
    spans = int(moments.min()), int(moments.max()), float(bounds[0]), float(bounds[-1])
    return Lifted(len(chosen), *spans, float(most))


def _close(left: Floats, right: Floats) -> Bools:
    total, distance = np.abs(left) + np.abs(right), np.abs(left - right)
    with np.errstate(all="ignore"):
        relative = distance / np.minimum(total, np.finfo(np.float64).max) < _TOLERANCE
    tiny = (left == 0) | (right == 0) | (total < _TINY)
    same: Bools = (left == right) | np.where(tiny, distance < _TOLERANCE * _TINY, relative)
    return same


def fractions(cells: Cells, lower: Floats, upper: Floats) -> Floats:
    """Return for each cell the share of observations between two values."""
    if not np.isposinf(cells.bounds[-1]):
        return np.full(len(lower), np.nan)
    total = cells.counts[:, -1]
    with np.errstate(all="ignore"):
        share = (_rank(cells, upper) - _rank(cells, lower)) / total
    share = np.where(lower >= upper, 0.0, share)
    return np.where((total == 0) | np.isnan(lower) | np.isnan(upper), np.nan, share)


def _rank(cells: Cells, values: Floats) -> Floats:
    """Return how many observations are below each value, interpolated within its bucket."""
    bounds, counts = cells.bounds, cells.counts
    bucket = np.minimum((bounds[None, :] <= values[:, None]).sum(axis=1), len(bounds) - 1)
    index = np.arange(len(values))
    below = np.where(bucket > 0, counts[index, bucket - 1], 0.0)
    floor = 0.0 if bounds[0] > 0 else -np.inf
    start = np.where(bucket > 0, bounds[bucket - 1], floor)
    inside = below + (counts[index, bucket] - below) * (values - start) / (bounds[bucket] - start)
    # Nothing can be said of where observations lie in a bucket without a lower end: all count as below.
    inside = np.where(np.isneginf(start), counts[index, bucket], inside)
    rank = np.where(values <= start, below, inside)
    return np.minimum(np.where(np.isposinf(values), counts[:, -1], rank), counts[:, -1])
