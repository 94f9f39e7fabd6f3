"""Native histograms among floats: the range functions, aggregations and operators that can meet one, cell by cell.

Floats stay in arrays; only the cells that hold a histogram come here. What cannot be computed of histograms is left
out, and the query's author is told (prometheus/prometheus: promql/functions.go, promql/engine.go).
"""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias, TypeVar

import numpy as np

from opstrace.promql import native, trim
from opstrace.promql.annotations import Annotations
from opstrace.promql.labelsets import NAME
from opstrace.promql.native import IncompatibleSchemas
from opstrace.promql.start_times import begins_within, reset_before
from opstrace.promql.tree import Node
from opstrace.promql.values import Objects, Vector
from opstrace.store.backend import Labels
from opstrace.store.budget import Budget
from opstrace.store.histogram import NativeHistogram, ResetHint

T = TypeVar("T")
Cell: TypeAlias = float | NativeHistogram | None


@dataclass(frozen=True, slots=True)
class Telling:
    """Whom to tell what, about which metric, standing where in the query; and what the query may use."""

    annotations: Annotations
    node: Node
    budget: Budget
    metric: str = ""

    def each(self, items: Iterable[T]) -> Iterator[T]:
        """Yield these, looking at the budget before each."""
        for item in items:
            self.budget.check()
            yield item

    def made(self, cell: Cell, *given: Cell) -> Cell:
        """Account for a cell that was made of others, and return it."""
        if isinstance(cell, NativeHistogram) and all(cell is not one for one in given):
            self.budget.spend_buckets(cell.size, 1)
        else:
            self.budget.check()
        return cell

    def mixed(self) -> None:
        """Floats and histograms where only one kind can be."""
        self.annotations.warn(
            f'encountered a mix of histograms and floats for metric name "{self.metric}"', self.node
        )

    def mixed_aggregation(self) -> None:
        """Floats and histograms in one group."""
        self.annotations.warn("encountered a mix of histograms and floats for aggregation", self.node)

    def overlapping(self) -> None:
        """A sample whose counting began before the sample before it, and not when that one's did."""
        self.annotations.warn(
            f'sample has start time that overlaps with previous sample timestamp for metric "{self.metric}"',
            self.node,
        )

    def mixed_schemas(self) -> None:
        """Exponential and custom buckets."""
        self.annotations.warn(
            "vector contains a mix of histograms with exponential and custom buckets schemas"
            f' for metric name "{self.metric}"',
            self.node,
        )

    def ignored(self) -> None:
        """Histograms left out of a range that has floats too."""
        self.annotations.info(
            f'ignored histograms in a range containing both floats and histograms for metric name "{self.metric}"',
            self.node,
        )

    def not_a(self, kind: str) -> None:
        """A histogram that is no counter, or no gauge."""
        self.annotations.warn(f'this native histogram metric is not a {kind}: "{self.metric}"', self.node)

    def incompatible(self, op: str, left: str, right: str) -> Cell:
        """Operands an operator has no meaning for; there is no result."""
        message = f'incompatible sample types encountered for binary operator "{op}": {left} {op} {right}'
        self.annotations.info(message, self.node)
        return None

    def about(self, combined: native.Combined, operation: str) -> NativeHistogram:
        """Say what had to be reconciled, and return the histogram."""
        if combined.conflicting:
            self.annotations.warn(f"conflicting counter resets during histogram {operation}", self.node)
        if combined.reconciled:
            self.annotations.info(f"mismatched custom buckets were reconciled during {operation}", self.node)
        return combined.histogram


# Range functions


@dataclass(frozen=True, slots=True)
class Window:
    """The samples of one window in their order; a sample is a float or a histogram."""

    timestamps: Sequence[int]
    samples: Sequence[float | NativeHistogram]
    start_ms: int
    end_ms: int
    start_times: Sequence[int] | None = None  # ms, one a sample: when its counting began; 0 where nobody said

    @property
    def histograms(self) -> list[NativeHistogram]:
        """Those that are histograms."""
        return [sample for sample in self.samples if isinstance(sample, NativeHistogram)]

    @property
    def floats(self) -> int:
        """How many are floats."""
        return len(self.samples) - len(self.histograms)

    @property
    def anew(self) -> Sequence[bool]:
        """Whether each sample but the first says that it began to count anew since the one before."""
        if self.start_times is None:
            return [False] * (len(self.samples) - 1)
        found: list[bool] = reset_before(np.array(self.timestamps), np.array(self.start_times)).tolist()
        return found

    @property
    def began_ms(self) -> int | None:
        """When the first sample's counting began, if that is inside the window."""
        if self.start_times is None:
            return None
        first, began = np.array(self.timestamps[:1]), np.array(self.start_times[:1])
        return self.start_times[0] if begins_within(first, began, np.array([self.start_ms])).any() else None


RollupOfMixed: TypeAlias = Callable[[Window, float, Telling], Cell]


def _rate(window: Window, _: float, tell: Telling) -> Cell:
    return _extrapolated(window, tell, counter=True, per_second=True)


def _increase(window: Window, _: float, tell: Telling) -> Cell:
    return _extrapolated(window, tell, counter=True, per_second=False)


def _delta(window: Window, _: float, tell: Telling) -> Cell:
    return _extrapolated(window, tell, counter=False, per_second=False)


def _extrapolated(window: Window, tell: Telling, *, counter: bool, per_second: bool) -> Cell:
    if window.floats:
        tell.mixed()
        return None
    histograms = window.histograms
    began_ms = window.began_ms if counter else None
    if len(histograms) < 2 and began_ms is None:
        return None
    try:
        if len(histograms) == 1:
            growth = histograms[0]
        else:
            growth = _growth(window, tell, counter=counter)
            if began_ms is not None:
                growth = tell.about(native.combined(growth, histograms[0]), "addition")
    except IncompatibleSchemas:
        tell.mixed_schemas()
        return None
    factor = _factor(window, histograms[0].count, growth.count, began_ms, counter=counter)
    if per_second:
        factor /= (window.end_ms - window.start_ms) / 1000
    return replace(native.compact(native.multiplied(growth, factor)), hint=ResetHint.GAUGE)


def _growth(window: Window, tell: Telling, *, counter: bool) -> NativeHistogram:
    histograms, anew = window.histograms, window.anew
    gauges = [one.hint is ResetHint.GAUGE for one in histograms]
    first, last = histograms[0], histograms[-1]
    if counter and (anew[0] or native.was_reset(histograms[1], first)):
        # Whatever the first sample looked like, nothing of it is left: count from an empty histogram.
        first = NativeHistogram(schema=histograms[1].schema, custom_bounds=histograms[1].custom_bounds)
    kinds = [native.is_custom(one) != native.is_custom(first) for one in histograms[1:]]
    # What kinds the ends are of is found before what is between them, and hides less of what was to be said.
    if counter and (gauges[0] or gauges[-1] if kinds[-1] else any(gauges) and not any(kinds)):
        tell.not_a("counter")
    if kinds[-1] or (counter and any(kinds)):
        raise IncompatibleSchemas
    growth = tell.about(replace(native.combined(last, first, -1.0), conflicting=False), "subtraction")
    if not counter and not (gauges[0] and gauges[-1]):
        tell.not_a("gauge")
    if counter:
        neighbours = zip([first, *histograms[1:]], histograms[1:], anew, strict=False)
        for previous, current, said in tell.each(neighbours):
            if said or native.was_reset(current, previous):
                growth = tell.about(replace(native.combined(growth, previous), conflicting=False), "addition")
    return growth


def _factor(window: Window, first_count: float, growth: float, began_ms: int | None, *, counter: bool) -> float:
    """Return how far growth is stretched; the rules of `rollup`, for one window."""
    if len(window.timestamps) == 1:
        return 1.0
    sampled = (window.timestamps[-1] - window.timestamps[0]) / 1000
    distance = sampled / (len(window.timestamps) - 1)
    to_start = (window.timestamps[0] - window.start_ms) / 1000
    to_end = (window.end_ms - window.timestamps[-1]) / 1000
    to_start = distance / 2 if to_start >= distance * 1.1 else to_start
    to_end = distance / 2 if to_end >= distance * 1.1 else to_end
    if began_ms is not None:
        counted = (window.timestamps[-1] - began_ms) / 1000
        return (counted + to_end) / counted
    if counter and growth > 0 and first_count >= 0:
        to_start = min(to_start, sampled * (first_count / growth))
    return (sampled + to_start + to_end) / sampled


def _irate(window: Window, _: float, tell: Telling) -> Cell:
    return _instant(window, tell, counter=True)


def _idelta(window: Window, _: float, tell: Telling) -> Cell:
    return _instant(window, tell, counter=False)


def _instant(window: Window, tell: Telling, *, counter: bool) -> Cell:
    if len(window.samples) < 2:
        return None
    before, after = window.samples[-2:]
    anew = counter and window.anew[-1]
    seconds = (window.timestamps[-1] - window.timestamps[-2]) / 1000
    if isinstance(before, NativeHistogram) and isinstance(after, NativeHistogram):
        return _instant_growth(before, after, seconds, tell, counter=counter, anew=anew)
    if isinstance(before, NativeHistogram) or isinstance(after, NativeHistogram):
        tell.mixed()
        return None
    growth = after if anew or (counter and after < before) else after - before
    return growth / seconds if counter else growth


def _instant_growth(
    before: NativeHistogram, after: NativeHistogram, seconds: float, tell: Telling, *, counter: bool, anew: bool
) -> Cell:
    gauges = (before.hint is ResetHint.GAUGE, after.hint is ResetHint.GAUGE)
    if counter and any(gauges):
        tell.not_a("counter")
    if not counter and not all(gauges):
        tell.not_a("gauge")
    growth = after
    if not anew and (not counter or not native.was_reset(after, before)):
        try:
            growth = tell.about(replace(native.combined(after, before, -1.0), conflicting=False), "subtraction")
        except IncompatibleSchemas:
            tell.mixed_schemas()
            return None
    growth = native.divided(growth, seconds) if counter else growth
    return replace(native.compact(growth), hint=ResetHint.GAUGE)


def _sum(window: Window, _: float, tell: Telling) -> Cell:
    return _aggregated(window, tell, native.total)


def _avg(window: Window, _: float, tell: Telling) -> Cell:
    return _aggregated(window, tell, native.mean)


Fold: TypeAlias = Callable[[list[NativeHistogram], Callable[[], None]], native.Combined]


def _aggregated(window: Window, tell: Telling, fold: Fold) -> Cell:
    if window.floats:
        tell.mixed()
        return None
    try:
        return tell.about(fold(window.histograms, tell.budget.check), "aggregation")
    except IncompatibleSchemas:
        tell.mixed_schemas()
        return None


def _resets(window: Window, _: float, tell: Telling) -> Cell:
    neighbours = zip(tell.each(_neighbours(window)), window.anew, strict=True)
    return float(sum(said or _differ(*pair, _fell) for pair, said in neighbours))


def _changes(window: Window, _: float, tell: Telling) -> Cell:
    return float(sum(_differ(*pair, _changed) for pair in tell.each(_neighbours(window))))


def _neighbours(window: Window) -> Iterable[tuple[float | NativeHistogram, float | NativeHistogram]]:
    return zip(window.samples[:-1], window.samples[1:], strict=True)


def _differ(
    before: float | NativeHistogram,
    after: float | NativeHistogram,
    differ: Callable[[float | NativeHistogram, float | NativeHistogram], bool],
) -> bool:
    """Whether two neighbours differ; a float and a histogram always do."""
    return isinstance(before, NativeHistogram) != isinstance(after, NativeHistogram) or differ(before, after)


def _fell(before: float | NativeHistogram, after: float | NativeHistogram) -> bool:
    if isinstance(before, NativeHistogram) and isinstance(after, NativeHistogram):
        return native.was_reset(after, before)
    return not isinstance(before, NativeHistogram) and not isinstance(after, NativeHistogram) and after < before


def _changed(before: float | NativeHistogram, after: float | NativeHistogram) -> bool:
    if isinstance(before, NativeHistogram) and isinstance(after, NativeHistogram):
        return not native.same(before, after)
    return before != after and not (before != before and after != after)


def _ignoring(least: int) -> RollupOfMixed:
    """Return what functions of floats alone do: leave histograms out, and say so where there are floats."""

    def rolled(window: Window, of_floats: float, tell: Telling) -> Cell:
        if window.floats:
            tell.ignored()
        return of_floats if window.floats >= least else None

    return rolled


# What becomes of a window that holds a histogram; the float is what the window's floats alone yield.
ROLLUPS_OF_MIXED: dict[str, RollupOfMixed] = {
    "avg_over_time": _avg,
    "changes": _changes,
    "count_over_time": lambda window, _, __: float(len(window.samples)),
    "delta": _delta,
    "deriv": _ignoring(2),
    "double_exponential_smoothing": _ignoring(2),
    "first_over_time": lambda window, _, __: window.samples[0],
    "idelta": _idelta,
    "increase": _increase,
    "integral": _ignoring(1),
    "irate": _irate,
    "last_over_time": lambda window, _, __: window.samples[-1],
    "mad_over_time": _ignoring(1),
    "max_over_time": _ignoring(1),
    "min_over_time": _ignoring(1),
    "predict_linear": _ignoring(2),
    "present_over_time": lambda _, __, ___: 1.0,
    "quantile_over_time": _ignoring(1),
    "rate": _rate,
    "resets": _resets,
    "stddev_over_time": _ignoring(1),
    "stdvar_over_time": _ignoring(1),
    "sum_over_time": _sum,
    "ts_of_first_over_time": lambda window, _, __: window.timestamps[0] / 1000,
    "ts_of_last_over_time": lambda window, _, __: window.timestamps[-1] / 1000,
    "ts_of_max_over_time": _ignoring(1),
    "ts_of_min_over_time": _ignoring(1),
}


# Aggregations


def aggregated(op: str, groups: Vector, vector: Vector, ids: Sequence[int], tell: Telling) -> Vector:
    """Return the folded floats of groups with their histograms folded in."""
    cells = histogram_cells(vector)
    if not cells or op in ("count", "group"):
        return groups
    if op not in ("sum", "avg"):
        _say_ignored(op, tell)
        return groups
    histograms: Objects = np.full(groups.values.shape, None, dtype=object)
    present = groups.present.copy()
    for (group, step), rows in _members(vector, cells, ids).items():
        histograms[group, step] = tell.made(_folded(op, vector, rows, step, tell), vector.sample(rows[0], step))
        present[group, step] = histograms[group, step] is not None
    return replace(groups, present=present, histograms=histograms)


def _members(
    vector: Vector, cells: Sequence[tuple[int, int]], ids: Sequence[int]
) -> dict[tuple[int, int], list[int]]:
    """Return what there is, floats too, of each group and step that has one of these cells: rows in their order."""
    members: dict[tuple[int, int], list[int]] = {(ids[row], step): [] for row, step in cells}
    rows = np.flatnonzero(np.isin(ids, list({group for group, _ in members})))
    places, steps = np.nonzero(vector.present[rows])
    for row, step in zip(rows[places].tolist(), steps.tolist(), strict=True):
        if (found := members.get((ids[row], step))) is not None:
            found.append(row)
    return members


def _folded(op: str, vector: Vector, rows: Sequence[int], step: int, tell: Telling) -> NativeHistogram | None:
    """Fold what a group has at a step; floats among it, or another kind of buckets, leave nothing.

    What comes behind another kind of buckets is not looked at.
    """
    cells = [vector.sample(row, step) for row in rows]
    if not isinstance(cells[0], NativeHistogram):
        tell.mixed_aggregation()
        return None
    kind = native.is_custom(cells[0])
    others = (
        place
        for place, cell in enumerate(cells)
        if isinstance(cell, NativeHistogram) and native.is_custom(cell) != kind
    )
    end = next(others, len(cells))
    histograms = [cell for cell in cells[:end] if isinstance(cell, NativeHistogram)]
    fold: Fold = native.total if op == "sum" else native.mean
    combined = fold(histograms, tell.budget.check)
    if end < len(cells):
        replace(tell, metric=metric_of(vector.labels[rows[end]])).mixed_schemas()
    if len(histograms) < end:
        tell.mixed_aggregation()
    whole = len(histograms) == len(cells)
    histogram = tell.about(replace(combined, conflicting=combined.conflicting and whole), "aggregation")
    return native.compact(histogram) if whole else None


def _say_ignored(op: str, tell: Telling) -> None:
    tell.annotations.info(f"ignored histogram in {op} aggregation", tell.node)


def without_histograms(op: str, vector: Vector, tell: Telling) -> Vector:
    """Return the float samples only; say so when there was anything else."""
    if vector.histograms is None or not histogram_cells(vector):
        return vector
    _say_ignored(op, tell)
    return replace(vector, present=vector.floats, histograms=None)


def histogram_cells(vector: Vector) -> list[tuple[int, int]]:
    """Return the rows and steps where a histogram stands."""
    if vector.histograms is None:
        return []
    rows, steps = np.nonzero(vector.present & ~vector.floats)
    return list(zip(rows.tolist(), steps.tolist(), strict=True))


# Operators


def operated(op: str, left: Cell, right: Cell, tell: Telling, *, returns_bool: bool) -> Cell:
    """Return `left op right` where at least one is a histogram; None when they do not go together."""
    if isinstance(left, NativeHistogram) and isinstance(right, NativeHistogram):
        return _both(op, left, right, tell, returns_bool=returns_bool)
    if isinstance(left, NativeHistogram) and isinstance(right, float):
        if op in _BY_FLOAT:
            return _BY_FLOAT[op](left, right)
        return tell.incompatible(op, "histogram", "float")
    if isinstance(right, NativeHistogram) and isinstance(left, float):
        if op == "*":
            return _BY_FLOAT[op](right, left)
        return tell.incompatible(op, "float", "histogram")
    raise AssertionError("one operand must be a histogram")


def _both(op: str, left: NativeHistogram, right: NativeHistogram, tell: Telling, *, returns_bool: bool) -> Cell:
    if op in ("==", "!="):
        held = native.same(left, right) == (op == "==")
        return float(held) if returns_bool else left if held else None
    if op not in ("+", "-"):
        return tell.incompatible(op, "histogram", "histogram")
    try:
        combined = native.combined(left, right, 1.0 if op == "+" else -1.0)
    except IncompatibleSchemas:
        tell.annotations.warn(f"incompatible bucket layout encountered for binary operator {op}", tell.node)
        return None
    result = native.compact(tell.about(combined, "addition" if op == "+" else "subtraction"))
    if combined.conflicting:
        # Prometheus takes its own warning for an error there (promql/engine.go, VectorBinop).
        return None
    return result if op == "+" else replace(result, hint=ResetHint.GAUGE)


_BY_FLOAT: dict[str, Callable[[NativeHistogram, float], NativeHistogram]] = {
    "*": lambda histogram, factor: native.compact(native.multiplied(histogram, factor)),
    "/": lambda histogram, divisor: native.compact(native.divided(histogram, divisor)),
    "</": trim.kept_below,
    ">/": trim.kept_above,
}


def metric_of(labels: Labels) -> str:
    """Return the metric name for messages."""
    return labels.get(NAME, "")


def with_cells(vector: Vector, cells: dict[tuple[int, int], Cell]) -> Vector:
    """Return the vector with some cells replaced by floats, histograms or nothing."""
    if not cells:
        return vector
    values, present = vector.values.copy(), vector.present.copy()
    empty: Objects = np.full(values.shape, None, dtype=object)
    histograms = empty if vector.histograms is None else vector.histograms.copy()
    for place, cell in cells.items():
        present[place] = cell is not None
        histograms[place] = cell if isinstance(cell, NativeHistogram) else None
        values[place] = cell if isinstance(cell, float) else math.nan
    return replace(vector, values=values, present=present, histograms=histograms)
