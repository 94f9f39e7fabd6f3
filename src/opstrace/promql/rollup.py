"""Range functions: a window of samples to one value, for series × steps at once.

Each takes the windows and, for some, scalars (one a step), and returns values and where there are any: series ×
steps, or one a step where all series have the same. Signatures stand in the docstrings; the table is at the end.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TypeAlias

import numpy as np

from opstrace.errors import ExecutionError
from opstrace.promql.numbers import spelled_number
from opstrace.promql.quantiles import sorted_quantiles
from opstrace.promql.start_times import begins_within, reset_before
from opstrace.promql.sums import ROOM, Walk, add, compensated, window_sums
from opstrace.promql.values import Bools, Floats, Ints
from opstrace.promql.windows import Windows

Rolled: TypeAlias = tuple[Floats, Bools]

# Windows are spread into rectangles of about this many cells when each needs sorting.
_RECTANGLE = 1 << 20


# Counters and gauges


def rate(windows: Windows) -> Rolled:
    """rate(v range-vector): per-second increase of a counter."""
    return _extrapolated(windows, counter=True, per_second=True)


def increase(windows: Windows) -> Rolled:
    """increase(v range-vector): how much a counter grew."""
    return _extrapolated(windows, counter=True, per_second=False)


def delta(windows: Windows) -> Rolled:
    """delta(v range-vector): last minus first of a gauge."""
    return _extrapolated(windows, counter=False, per_second=False)


def _extrapolated(windows: Windows, *, counter: bool, per_second: bool) -> Rolled:
    # The rules are those of extrapolatedRate (prometheus/prometheus: promql/functions.go): growth between the
    # first and the last sample, stretched to the window's ends where samples come close to them, else by half the
    # distance between samples.
    first, last = windows.first, windows.last - 1
    begun = _begun(windows) if counter else None
    present = (windows.counts >= 2) if begun is None else (windows.counts >= 2) | begun
    # Times are subtracted as the whole milliseconds they are: so a window's growth is that of any other like it.
    first_ms, last_ms = windows.moments_at(first), windows.moments_at(last)
    initial = windows.at(first)
    with np.errstate(all="ignore"):
        growth = windows.at(last)
        growth -= initial
        if counter and not _never_falls(windows):
            growth += lost_to_resets(windows)
        sampled_s = (last_ms - first_ms) / 1000.0
        factor = _stretch(windows, first_ms, last_ms, initial if counter else None, growth) / sampled_s
        if begun is not None:
            growth[begun] += initial[begun]
            factor[begun] = _stretch_from_start(windows, first_ms, last_ms)[begun]
        growth *= factor / windows.range_s if per_second else factor
    return growth, present


def _begun(windows: Windows) -> Bools | None:
    """Say which windows' first samples tell that their counting began inside; nothing where none tells anything."""
    if windows.start_times is None:
        return None
    first = windows.first
    told = begins_within(windows.moments_at(first), windows.start_times_at(first), windows.starts)
    return told & (windows.counts >= 1)


def _stretch_from_start(windows: Windows, first_ms: Ints, last_ms: Ints) -> Floats:
    """Return by what growth since the first sample's start is multiplied: it is stretched to the end alone."""
    counted_s = (last_ms - windows.start_times_at(windows.first)) / 1000.0
    distance_s = (last_ms - first_ms) / 1000.0 / (windows.counts - 1)
    to_end_s = _within_reach((windows.ends - last_ms) / 1000.0, distance_s)
    # A sample alone says nothing of the distance to the next one.
    factor: Floats = np.where(windows.counts > 1, (counted_s + to_end_s) / counted_s, 1.0)
    return factor


def _within_reach(gap_s: Floats, distance_s: Floats) -> Floats:
    """Return how far to stretch over a gap at a window's end: half a sample's distance where the gap is too wide."""
    reach: Floats = np.where(gap_s >= distance_s * 1.1, distance_s / 2, gap_s)
    return reach


def _stretch(windows: Windows, first_ms: Ints, last_ms: Ints, initial: Floats | None, growth: Floats) -> Floats:
    """Return the seconds the growth is taken to stand for."""
    sampled_s = (last_ms - first_ms) / 1000.0
    distance_s = sampled_s / (windows.counts - 1)
    to_start_s = _within_reach((first_ms - windows.starts) / 1000.0, distance_s)
    to_end_s = _within_reach((windows.ends - last_ms) / 1000.0, distance_s)
    seconds: Floats = sampled_s + to_start_s + to_end_s
    if initial is None:
        return seconds
    # A counter is not extrapolated below zero. What did not grow is on no line that reaches it.
    limited = initial * (sampled_s / to_start_s) < growth
    if not limited.any():
        return seconds
    limited &= initial >= 0
    seconds = np.broadcast_to(seconds, growth.shape).copy()
    sampled_s, to_end_s = (np.broadcast_to(one, growth.shape)[limited] for one in (sampled_s, to_end_s))
    seconds[limited] = sampled_s + sampled_s * (initial[limited] / growth[limited]) + to_end_s
    return seconds


def lost_to_resets(windows: Windows) -> Floats:
    """Return the sum of the values a counter had just before each of its resets in the window."""
    windows = windows.spread
    fell = _resets(windows)
    # From one series to the next is no fall.
    edges = windows.offsets[1:-1]
    fell[edges[(edges > 0) & (edges < len(windows.values))] - 1] = False
    drops = np.flatnonzero(fell) + 1
    if not len(drops):
        return np.zeros(windows.shape)
    first, last, offsets = _among(drops, windows)
    before = windows.values[drops - 1]
    return window_sums(Windows(windows.timestamps[drops], before, offsets, first, last, windows.starts, windows.ends))


def _never_falls(windows: Windows) -> bool:
    """Say whether no counter is reset, where that is known or soon found out."""
    known = windows.traits is not None and windows.traits.rising
    return known or (windows.aligned and not (windows.values[:, 1:] < windows.values[:, :-1]).any())


def _resets(windows: Windows) -> Bools:
    """Say for each sample but the first whether it was reset since the one before: its value fell, or it says so."""
    fell: Bools = windows.values[1:] < windows.values[:-1]
    if windows.start_times is not None:
        fell |= reset_before(windows.timestamps, windows.start_times)
    return fell


def _among(positions: Ints, windows: Windows) -> tuple[Ints, Ints, Ints]:
    """Return bounds and series offsets among chosen samples, for those that have their predecessor in the window."""
    chosen = np.zeros(len(windows.values) + 2, dtype=np.int64)
    chosen[positions + 1] = 1
    before = np.cumsum(chosen)
    last = before[windows.last]
    # The first sample of a window has its predecessor outside; an empty window has first == last.
    return np.minimum(before[windows.first + 1], last), last, before[windows.offsets]


def irate(windows: Windows) -> Rolled:
    """irate(v range-vector): per-second increase between the last two samples."""
    before, after = windows.at(windows.last - 2), windows.at(windows.last - 1)
    with np.errstate(all="ignore"):
        growth = np.where(after < before, after, after - before)
        if windows.start_times is not None and len(windows.values) > 1:
            anew = reset_before(windows.timestamps, windows.start_times)[np.clip(windows.last - 2, 0, None)]
            growth[anew] = after[anew]
        growth /= (windows.moments_at(windows.last - 1) - windows.moments_at(windows.last - 2)) / 1000.0
    return growth, windows.counts >= 2


def idelta(windows: Windows) -> Rolled:
    """idelta(v range-vector): difference of the last two samples."""
    with np.errstate(all="ignore"):
        return windows.at(windows.last - 1) - windows.at(windows.last - 2), windows.counts >= 2


def changes(windows: Windows) -> Rolled:
    """changes(v range-vector): how often the value became another one."""
    windows = windows.spread
    before, after = windows.values[:-1], windows.values[1:]
    return _count_pairs((before != after) & ~(np.isnan(before) & np.isnan(after)), windows)


def resets(windows: Windows) -> Rolled:
    """resets(v range-vector): how often the value fell, or was said to count anew."""
    windows = windows.spread
    return _count_pairs(_resets(windows), windows)


def _count_pairs(flagged: Bools, windows: Windows) -> Rolled:
    first, last, _ = _among(np.flatnonzero(flagged) + 1, windows)
    return (last - first).astype(np.float64), windows.counts >= 1


# Over time


def sum_over_time(windows: Windows) -> Rolled:
    """sum_over_time(v range-vector)."""
    return window_sums(windows), windows.counts >= 1


def avg_over_time(windows: Windows) -> Rolled:
    """avg_over_time(v range-vector)."""
    return _means(windows), windows.counts >= 1


def _means(windows: Windows) -> Floats:
    with np.errstate(all="ignore"):
        means = window_sums(windows) / windows.counts
        overflown = np.isinf(means)
        if overflown.any():
            low, high = min_over_time(windows)[0], max_over_time(windows)[0]
            overflown &= np.isfinite(low) & np.isfinite(high)
        if overflown.any():
            scaled = window_sums(replace(windows, values=np.ldexp(windows.values, -ROOM))) / windows.counts
            means[overflown] = np.clip(np.ldexp(scaled, ROOM), low, high)[overflown]
    return means


def count_over_time(windows: Windows) -> Rolled:
    """count_over_time(v range-vector)."""
    return windows.counts.astype(np.float64), windows.counts >= 1


def present_over_time(windows: Windows) -> Rolled:
    """present_over_time(v range-vector): 1 where there are samples."""
    return np.ones(windows.counts.shape), windows.counts >= 1


def last_over_time(windows: Windows) -> Rolled:
    """last_over_time(v range-vector): the latest sample; keeps the name."""
    return windows.at(windows.last - 1), windows.counts >= 1


def first_over_time(windows: Windows) -> Rolled:
    """first_over_time(v range-vector): the oldest sample; keeps the name."""
    return windows.at(windows.first), windows.counts >= 1


def max_over_time(windows: Windows) -> Rolled:
    """max_over_time(v range-vector); NaN only where all are."""
    return _extremes(windows, np.fmax), windows.counts >= 1


def min_over_time(windows: Windows) -> Rolled:
    """min_over_time(v range-vector); NaN only where all are."""
    return _extremes(windows, np.fmin), windows.counts >= 1


def _extremes(windows: Windows, fold: Callable[[Floats, Floats], Floats]) -> Floats:
    # Every window is covered by two runs whose length is a power of two; runs are folded by doubling.
    counts = windows.counts
    result = windows.at(windows.first)
    runs, length, longest = windows.values, 1, int(counts.max(initial=0))
    while length < longest:
        chosen = (counts > length) & (counts <= 2 * length)
        if chosen.any():
            first, last = windows.first[chosen], windows.last[chosen] - length
            result[..., chosen] = fold(np.take(runs, first, axis=-1), np.take(runs, last, axis=-1))
        if 2 * length < longest:
            runs = fold(runs[..., : max(runs.shape[-1] - length, 0)], runs[..., length:])
        length *= 2
    return result


def ts_of_first_over_time(windows: Windows) -> Rolled:
    """ts_of_first_over_time(v range-vector): when the oldest sample was taken, in seconds."""
    return windows.seconds_at(windows.first), windows.counts >= 1


def ts_of_last_over_time(windows: Windows) -> Rolled:
    """ts_of_last_over_time(v range-vector): when the latest sample was taken, in seconds."""
    return windows.seconds_at(windows.last - 1), windows.counts >= 1


def ts_of_max_over_time(windows: Windows) -> Rolled:
    """ts_of_max_over_time(v range-vector): when the largest sample was taken last, in seconds."""
    return _moment_of(windows, max_over_time(windows)[0])


def ts_of_min_over_time(windows: Windows) -> Rolled:
    """ts_of_min_over_time(v range-vector): when the smallest sample was taken last, in seconds."""
    return _moment_of(windows, min_over_time(windows)[0])


def _moment_of(windows: Windows, wanted: Floats) -> Rolled:
    windows = windows.spread
    walk = Walk(windows.first.ravel(), windows.last.ravel())
    value, moment = walk.ordered(wanted.ravel()), np.zeros(walk.ranges)
    for count, index in walk:
        sample = windows.values[index]
        found = (sample == value[:count]) | np.isnan(value[:count])
        moment[:count] = np.where(found, windows.timestamps[index] / 1000.0, moment[:count])
    return walk.restored(moment).reshape(wanted.shape), windows.counts >= 1


def stddev_over_time(windows: Windows) -> Rolled:
    """stddev_over_time(v range-vector): population standard deviation."""
    variances, present = stdvar_over_time(windows)
    return np.sqrt(variances), present


def stdvar_over_time(windows: Windows) -> Rolled:
    """stdvar_over_time(v range-vector): population variance."""
    windows = windows.spread
    means = _means(windows)
    walk = Walk(windows.first.ravel(), windows.last.ravel())
    mean, squares = walk.ordered(means.ravel()), np.zeros(walk.ranges)
    with np.errstate(all="ignore"):
        for count, index in walk:
            distance = windows.values[index] - mean[:count]
            squares[:count] += distance * distance
        variances: Floats = walk.restored(squares).reshape(means.shape) / windows.counts
        # Equal values have none, even where their mean is rounded.
        low, high = min_over_time(windows)[0], max_over_time(windows)[0]
        variances = np.where((low == high) & np.isfinite(high) & ~np.isnan(variances), 0.0, variances)
    return variances, windows.counts >= 1


def quantile_over_time(windows: Windows, quantile: Floats) -> Rolled:
    """quantile_over_time(q scalar, v range-vector)."""
    return _by_rectangle(windows, np.broadcast_to(quantile, windows.shape), sorted_quantiles)


def mad_over_time(windows: Windows) -> Rolled:
    """mad_over_time(v range-vector): median distance from the median."""
    return _by_rectangle(windows, np.full(windows.shape, 0.5), _median_distance)


def _median_distance(values: Floats, counts: Ints, half: Floats) -> Floats:
    medians = sorted_quantiles(values, counts, half)
    with np.errstate(invalid="ignore"):
        distances = sorted_quantiles(np.abs(values - medians[:, None]), counts, half)
    numbers = (~np.isnan(values)).sum(axis=1)
    return np.where(numbers == counts, distances, np.nan)


# Which of two neighbours' values counts for the time between them: the earlier, the later, or their mean.
STRATEGIES = (0.0, 1.0, 2.0)
_EARLIER, _LATER, _MEAN = STRATEGIES


def integral(windows: Windows, strategy: Floats | None = None) -> Rolled:
    """integral(v range-vector, strategy=2 scalar): what lies below the samples, value × seconds; NaN is nothing."""
    windows = windows.spread
    shape = windows.shape
    chosen = (
        np.full(shape[1], _MEAN) if strategy is None else np.where(np.isin(strategy, STRATEGIES), strategy, _MEAN)
    )
    last = windows.last.ravel()
    walk = Walk(np.minimum(windows.first.ravel() + 1, last), last)
    rules = walk.ordered(np.broadcast_to(chosen, shape).ravel())
    numbers = np.where(np.isnan(windows.values), 0.0, windows.values)
    total, lost = np.zeros(walk.ranges), np.zeros(walk.ranges)
    with np.errstate(all="ignore"):
        for count, index in walk:
            before, after = numbers[index - 1], numbers[index]
            mean, rest = _mean(before, after)
            rule = rules[:count]
            values = np.where(rule == _EARLIER, before, np.where(rule == _LATER, after, mean))
            seconds = (windows.timestamps[index] - windows.timestamps[index - 1]) / 1000.0
            lost[:count] += np.where(rule == _MEAN, rest, 0.0) * seconds
            add(total[:count], lost[:count], np.where(values == 0, 0.0, values * seconds))
        return walk.restored(compensated(total, lost)).reshape(shape), windows.counts >= 1


def _mean(one: Floats, other: Floats) -> tuple[Floats, Floats]:
    """Return means, and what rounding loses of them; those of large finite numbers do not overflow."""
    sums, lost = one.copy(), np.zeros(len(one))
    add(sums, lost, other)
    halves, lost_halves = one / 2, np.zeros(len(one))
    add(halves, lost_halves, other / 2)
    overflown = np.isinf(sums) & np.isfinite(one) & np.isfinite(other)
    return np.where(overflown, halves, sums / 2), np.where(overflown, lost_halves, lost / 2)


def _by_rectangle(windows: Windows, quantile: Floats, compute: Callable[[Floats, Ints, Floats], Floats]) -> Rolled:
    """Apply a function of (windows × samples padded with NaN, counts, quantiles) to all windows, in pieces."""
    windows = windows.spread
    counts, first = windows.counts.ravel(), windows.first.ravel()
    result, wanted = np.zeros(len(counts)), quantile.ravel()
    for chosen in _similar(counts):
        lengths = counts[chosen]
        index = first[chosen, None] + np.arange(int(lengths.max()))
        values = windows.at(index)
        values[index >= (first[chosen] + lengths)[:, None]] = np.nan
        result[chosen] = compute(values, lengths, wanted[chosen])
    return result.reshape(windows.shape), windows.counts >= 1


def _similar(counts: Ints) -> Iterator[Ints]:
    """Return pieces of the non-empty windows, each of about equal lengths and a bounded number of cells."""
    order = np.argsort(counts, kind="stable")
    order = order[int(np.searchsorted(counts[order], 1)) :]
    while len(order):
        rows = max(_RECTANGLE // int(counts[order[-1]]), 1)
        yield order[-rows:]
        order = order[:-rows]


# Lines and trends


def deriv(windows: Windows) -> Rolled:
    """deriv(v range-vector): slope per second by least squares."""
    return _line(windows.spread)[0], windows.counts >= 2


def predict_linear(windows: Windows, seconds: Floats, now_ms: Ints) -> Rolled:
    """predict_linear(v range-vector, t scalar): the value in t seconds from now, by least squares."""
    spread = windows.spread
    slope, middle_s, middle = _line(spread)
    with np.errstate(all="ignore"):
        since_first_s = (now_ms - spread.moments_at(spread.first)) / 1000.0
        return middle + slope * (seconds + since_first_s - middle_s), windows.counts >= 2


def _line(windows: Windows) -> tuple[Floats, Floats, Floats]:
    """Return the slope of the line through each window, and the point it turns around: its value, and seconds.

    Seconds are those since the first sample of the window: what lies outside of it changes nothing.
    """
    walk = Walk(windows.first.ravel(), windows.last.ravel())
    first_ms = windows.moments_at(windows.first)
    with np.errstate(all="ignore"):
        # Distances from the middle of the window: nothing large is ever subtracted from something large.
        before_ms = np.append(0, np.cumsum(windows.timestamps - windows.starts[0]))
        total_ms = before_ms[windows.last] - before_ms[windows.first]
        middle_s = (total_ms - windows.counts * (first_ms - windows.starts[0])) / windows.counts / 1000.0
        middle = window_sums(windows) / windows.counts
        center_s, center = walk.ordered(middle_s.ravel()), walk.ordered(middle.ravel())
        begin_ms = walk.ordered(first_ms.ravel())
        start, level = walk.ordered(windows.at(windows.first).ravel()), np.ones(walk.ranges, dtype=bool)
        products, squares = np.zeros(walk.ranges), np.zeros(walk.ranges)
        for count, index in walk:
            elapsed_s, values = (windows.timestamps[index] - begin_ms[:count]) / 1000.0, windows.values[index]
            distance_s = elapsed_s - center_s[:count]
            level[:count] &= values == start[:count]
            products[:count] += distance_s * (values - center[:count])
            squares[:count] += distance_s * distance_s
        # A level line is exactly that, unless it lies at infinity; its middle is where it begins.
        slope = np.where(level, np.where(np.isinf(start), np.nan, 0.0), products / squares)
    shape = windows.shape
    middle = np.where(walk.restored(level).reshape(shape), windows.at(windows.first), middle)
    return walk.restored(slope).reshape(shape), middle_s, middle


def check_factors(smoothing: Floats, trend: Floats) -> None:
    """Raise ExecutionError for factors by which double_exponential_smoothing cannot smooth."""
    for name, factor in (("smoothing", smoothing), ("trend", trend)):
        wrong = factor[(factor <= 0) | (factor >= 1)]
        if len(wrong):
            got = f"{wrong[0]:f}" if np.isfinite(wrong[0]) else spelled_number(wrong[0])
            raise ExecutionError(f"invalid {name} factor. Expected: 0 < {name[0]}f < 1, got: {got}")


def double_exponential_smoothing(windows: Windows, smoothing: Floats, trend: Floats) -> Rolled:
    """double_exponential_smoothing(v range-vector, sf scalar, tf scalar): smoothed value with trend."""
    windows = windows.spread
    walk = Walk(windows.first.ravel(), windows.last.ravel())
    shape = windows.shape
    sf, tf = (walk.ordered(np.broadcast_to(factor, shape).ravel()) for factor in (smoothing, trend))
    level = walk.ordered(windows.at(windows.first).ravel())
    slope = walk.ordered((windows.at(windows.first + 1) - windows.at(windows.first)).ravel())
    previous = np.zeros(walk.ranges)
    with np.errstate(all="ignore"):
        for turn, (count, index) in enumerate(walk):
            if not turn:
                continue
            now = slice(0, count)
            if turn > 1:
                slope[now] = tf[now] * (level[now] - previous[now]) + (1 - tf[now]) * slope[now]
            smoothed = sf[now] * windows.values[index] + (1 - sf[now]) * (level[now] + slope[now])
            previous[now], level[now] = level[now].copy(), smoothed
    return walk.restored(level).reshape(shape), windows.counts >= 2


ROLLUPS: dict[str, Callable[..., Rolled]] = {
    function.__name__: function
    for function in (
        avg_over_time,
        changes,
        count_over_time,
        delta,
        deriv,
        double_exponential_smoothing,
        first_over_time,
        idelta,
        increase,
        integral,
        irate,
        last_over_time,
        mad_over_time,
        max_over_time,
        min_over_time,
        predict_linear,
        present_over_time,
        quantile_over_time,
        rate,
        resets,
        stddev_over_time,
        stdvar_over_time,
        sum_over_time,
        ts_of_first_over_time,
        ts_of_last_over_time,
        ts_of_max_over_time,
        ts_of_min_over_time,
    )
}
KEEP_NAME = frozenset(("first_over_time", "last_over_time"))
