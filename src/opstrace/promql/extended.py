"""`anchored` and `smoothed` selectors: windows that reach for the samples around their ends.

An anchored window begins with the last sample at or before its start; a smoothed one takes the values at its very
ends, interpolated between neighbours (prometheus/prometheus: promql/functions.go, extendedRate and its relatives).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TypeAlias

import numpy as np

from opstrace.promql import native, rollup
from opstrace.promql.mixed import ROLLUPS_OF_MIXED, Cell, Telling, Window
from opstrace.promql.native import IncompatibleSchemas
from opstrace.promql.rollup import Rolled, lost_to_resets
from opstrace.promql.values import Bools, Floats, Grid, Ints, Reach
from opstrace.promql.windows import Windows, upto
from opstrace.store.histogram import NativeHistogram, ResetHint

# Floats, in arrays


@dataclass(frozen=True, slots=True)
class _Ends:
    """The first and last sample that matter to each window; series × steps."""

    left: Ints
    right: Ints
    present: Bools


def _ends(windows: Windows, starts: Ints, ends: Ints, reach: Reach) -> _Ends:
    """Find the ends in windows that already reach out by the lookback."""
    timestamps, offsets = windows.timestamps, windows.offsets
    left = np.maximum(upto(timestamps, offsets, Grid(starts)) - 1, windows.first)
    right = windows.last - 1
    if reach.smoothed:
        right = np.minimum(upto(timestamps, offsets, Grid(ends - 1)), right)
    present = (windows.counts > 0) & (windows.moments_at(right) > starts)
    if reach.smoothed:
        present &= windows.moments_at(left) <= ends
    return _Ends(left, right, present)


def _interpolated(windows: Windows, before: Ints, moments: Ints, *, counter: bool) -> Floats:
    """Return the values at moments between samples `before` and the next ones; a reset counts from zero."""
    first, second = windows.at(before), windows.at(before + 1)
    if counter:
        first = np.where(second < first, 0.0, first)
    start, end = windows.moments_at(before), windows.moments_at(before + 1)
    values: Floats = first + (second - first) * (moments - start) / (end - start)
    return values


def _extended(windows: Windows, starts: Ints, ends: Ints, reach: Reach, *, counter: bool, per_second: bool) -> Rolled:
    places = _ends(windows, starts, ends, reach)
    at_left, at_right = windows.moments_at(places.left), windows.moments_at(places.right)
    left, right = windows.at(places.left), windows.at(places.right)
    with np.errstate(all="ignore"):
        if reach.smoothed:
            cut_left, cut_right = at_left < starts, (at_right > ends) & (places.right > places.left)
            left = np.where(cut_left, _interpolated(windows, places.left, starts, counter=counter), left)
            right = np.where(cut_right, _interpolated(windows, places.right - 1, ends, counter=counter), right)
        growth = right - left
        if counter:
            growth += _corrections(windows, places, left, right, at_left <= starts, at_right >= ends)
        if per_second:
            growth /= float(ends[0] - starts[0]) / 1000
    return growth, places.present


def _corrections(
    windows: Windows, places: _Ends, left: Floats, right: Floats, skip_left: Bools, skip_right: Bools
) -> Floats:
    """Return what a counter had before its resets, on the way from one end over the samples between to the other."""
    first = places.left + skip_left
    last = np.maximum(places.right + 1 - skip_right, first)
    some = last > first
    inside = lost_to_resets(replace(windows, first=np.where(some, first, 0), last=np.where(some, last, 0)))
    start, end = np.where(some, windows.at(first), right), np.where(some, windows.at(last - 1), left)
    corrections = np.where(some, inside, 0.0)
    corrections += np.where(start < left, left, 0.0)
    corrections += np.where(some & (right < end), end, 0.0)
    return corrections


def _counted(count: Callable[[Windows], Rolled]) -> "ExtendedRollup":
    """Return a function that counts pairs of neighbours, the anchor among them."""

    def counted(windows: Windows, starts: Ints, ends: Ints, reach: Reach) -> Rolled:
        places = _ends(windows, starts, ends, reach)
        first = np.where(places.present, places.left, 0)
        last = np.where(places.present, places.right + 1, 0)
        return count(replace(windows, first=first, last=last))[0], places.present

    return counted


ExtendedRollup: TypeAlias = Callable[[Windows, Ints, Ints, Reach], Rolled]
EXTENDED: dict[str, ExtendedRollup] = {
    "changes": _counted(rollup.changes),
    "delta": lambda *given: _extended(*given, counter=False, per_second=False),
    "increase": lambda *given: _extended(*given, counter=True, per_second=False),
    "rate": lambda *given: _extended(*given, counter=True, per_second=True),
    "resets": _counted(rollup.resets),
}


def smoothed_values(windows: Windows, moments: Ints) -> Rolled:
    """Return the values at moments: of a sample, between two, or of the last one when none follows."""
    before = upto(windows.timestamps, windows.offsets, Grid(moments)) - 1
    present = before >= windows.first
    between = present & (before + 1 < windows.last) & (windows.moments_at(before) < moments)
    with np.errstate(all="ignore"):
        interpolated = _interpolated(windows, before, moments, counter=False)
    return np.where(between, interpolated, windows.at(before)), present


# Histograms, cell by cell


def extended_cell(name: str, window: Window, start_ms: int, end_ms: int, reach: Reach, tell: Telling) -> Cell:
    """Return what a range function makes of a window that reaches out and holds a histogram."""
    if name in ("changes", "resets"):
        return _counted_cell(name, window, start_ms, tell)
    if window.floats:
        tell.mixed()
        return None
    left, right = _ends_of(window.timestamps, start_ms, end_ms, reach)
    if window.timestamps[right] <= start_ms or (reach.smoothed and window.timestamps[left] > end_ms):
        return None
    try:
        growth = _growth(window, left, right, start_ms, end_ms, reach, tell, counter=name != "delta")
    except IncompatibleSchemas:
        tell.mixed_schemas()
        return None
    if name == "rate":
        growth = native.divided(growth, (end_ms - start_ms) / 1000)
    return replace(native.compact(growth), hint=ResetHint.GAUGE)


def _ends_of(timestamps: Sequence[int], start_ms: int, end_ms: int, reach: Reach) -> tuple[int, int]:
    left = max(sum(at <= start_ms for at in timestamps) - 1, 0)
    right = len(timestamps) - 1
    return left, min(sum(at < end_ms for at in timestamps), right) if reach.smoothed else right


def _counted_cell(name: str, window: Window, start_ms: int, tell: Telling) -> Cell:
    if window.timestamps[-1] <= start_ms:
        return None
    first = max(sum(at <= start_ms for at in window.timestamps) - 1, 0)
    anchored = replace(window, timestamps=window.timestamps[first:], samples=window.samples[first:])
    return ROLLUPS_OF_MIXED[name](anchored, 0.0, tell)


def _growth(
    window: Window, left: int, right: int, start_ms: int, end_ms: int, reach: Reach, tell: Telling, *, counter: bool
) -> NativeHistogram:
    histograms, times = window.histograms, window.timestamps
    gauges = [one.hint is ResetHint.GAUGE for one in histograms[left : right + 1]]
    if counter and any(gauges):
        tell.not_a("counter")
    if not counter and not (gauges[0] and gauges[-1]):
        tell.not_a("gauge")
    begin, end = histograms[left], histograms[right]
    between = reach.smoothed and times[left] < start_ms
    if between:
        begin = interpolated(window, left, start_ms, counter=counter)
    if reach.smoothed and times[right] > end_ms and right > left:
        end = interpolated(window, right - 1, end_ms, counter=counter)
    growth = tell.about(replace(native.combined(end, begin, -1.0), conflicting=False), "subtraction")
    if counter:
        inner = histograms[left + (times[left] <= start_ms) : right + 1 - (times[right] >= end_ms)]
        path = [begin, *inner, *([] if end in inner[-1:] else [end])]
        for lost in _lost(path, tell, between=between):
            growth = tell.about(replace(native.combined(growth, lost), conflicting=False), "addition")
    return growth


def _lost(path: list[NativeHistogram], tell: Telling, *, between: bool) -> list[NativeHistogram]:
    """Return what a counter had before its resets; an interpolated beginning has its own behind it."""
    lost = []
    for place, (before, after) in enumerate(tell.each(pairwise(path))):
        seen = replace(after, hint=ResetHint.UNKNOWN) if between and place == 0 else after
        if before is not after and native.was_reset(seen, before):
            lost.append(before)
    return lost


def interpolated(window: Window, before: int, moment_ms: int, *, counter: bool) -> NativeHistogram:
    """Return the histogram at a moment between two samples; raise IncompatibleSchemas."""
    first, second = window.histograms[before], window.histograms[before + 1]
    share = (moment_ms - window.timestamps[before]) / (window.timestamps[before + 1] - window.timestamps[before])
    if native.is_custom(first) != native.is_custom(second):
        raise IncompatibleSchemas
    if counter and native.was_reset(second, first):
        return native.multiplied(second, share)
    difference = native.combined(second, first, -1.0).histogram
    return replace(native.combined(first, native.multiplied(difference, share)).histogram, hint=second.hint)


def smoothed_cell(window: Window, moment_ms: int, tell: Telling) -> Cell:
    """Return the sample at a moment, interpolated, of a window that holds a histogram."""
    if window.floats:
        tell.mixed()
        return None
    before = sum(at <= moment_ms for at in window.timestamps) - 1
    if before < 0:
        return None
    if window.timestamps[before] == moment_ms or before + 1 == len(window.timestamps):
        return window.samples[before]
    counter = window.histograms[before].hint is not ResetHint.GAUGE
    try:
        return interpolated(window, before, moment_ms, counter=counter)
    except IncompatibleSchemas:
        tell.mixed_schemas()
        return None
