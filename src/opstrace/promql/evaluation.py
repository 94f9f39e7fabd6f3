"""One query being evaluated: walks the tree, reads what the leaves need, and hands arrays to the families."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from operator import attrgetter
from sys import getsizeof
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from opstrace.errors import ExecutionError
from opstrace.promql import binary, extended, info, mixed, native
from opstrace.promql.aggregate import CHOICES, FOLDS, grouped
from opstrace.promql.annotations import Annotations
from opstrace.promql.functions import INSTANT_FUNCTIONS, Site
from opstrace.promql.histogram import HISTOGRAM_FUNCTIONS
from opstrace.promql.labelsets import all_nameless, grouping, nameless, names_of, place_of
from opstrace.promql.numbers import short, spelled_number
from opstrace.promql.plan import Bounds, invariant
from opstrace.promql.rollup import KEEP_NAME, ROLLUPS
from opstrace.promql.start_times import overlaps
from opstrace.promql.tree import Aggregate, Binary, Call, Node, Number, Paren, Range, Selector, Subquery, Text, Unary
from opstrace.promql.utf8 import is_text
from opstrace.promql.values import (
    Bools,
    Floats,
    Grid,
    Ints,
    Matrix,
    Objects,
    Reach,
    Scalar,
    String,
    Value,
    Vector,
    empty_vector,
    filled,
)
from opstrace.promql.windows import Cut, Windows, never_ends, pieces, unended, upto, windows, without
from opstrace.store.backend import Block, Labels, Matcher, Querier
from opstrace.store.budget import Budget
from opstrace.store.histogram import NativeHistogram, ResetHint
from opstrace.store.traits import stale

FUNCTIONS = {**INSTANT_FUNCTIONS, **HISTOGRAM_FUNCTIONS}
# Those that need more than their arguments' values.
SPECIAL = ("info", "start_timestamp", "timestamp")
# How names of counters end, by convention; the text of a remark lists them.
_OF_COUNTERS = ("_total", "_sum", "_count", "_bucket")
# Functions that look at no bucket of a histogram, and those that look at them all.
_OF_TOTALS = frozenset(
    ("absent", "histogram_avg", "histogram_count", "histogram_sum", "start_timestamp", "timestamp")
)
_OF_BUCKETS = frozenset(("changes", *HISTOGRAM_FUNCTIONS)) - _OF_TOTALS
# What a number takes that is spelled out.
_BYTES_A_NUMBER = 80


@dataclass(slots=True)
class Evaluation:
    """What all nodes of one query share."""

    querier: Querier
    budget: Budget
    bounds: Bounds
    lookback_ms: int
    subquery_step_ms: int
    annotations: Annotations
    totals: bool | None = None  # whether histograms are read without their buckets; False: nothing below may
    one_moment: bool = False  # whether it begins and ends at one: a subquery's last step may be before its end

    def value(self, node: Node, grid: Grid) -> Value:
        """Return what a node yields on a grid; one that is the same everywhere is computed once."""
        self.budget.check()
        if not self.one_moment and not isinstance(bare(node), Number | Text | Range | Subquery) and invariant(node):
            once = replace(self, one_moment=True).value(node, Grid(grid.times[:1]))
            return _repeated(once, grid.steps)
        within = self.under(node)
        match node:
            case Number(value=value):
                return Scalar(np.full(grid.steps, value))
            case Text(value=text):
                return String(text)
            case Paren(expr=expr):
                return self.value(expr, grid)
            case Unary():
                return within.unary(node, grid)
            case Selector():
                return within.selector(node, grid)
            case Range():
                return within.range(node, grid)
            case Subquery():
                return within.subquery(node, grid)
            case Call():
                return within.call(node, grid)
            case Aggregate():
                return within.aggregate(node, grid)
            case Binary():
                return within.binary(node, grid)
            case _:
                raise AssertionError(f"no such node: {node}")

    def under(self, node: Node) -> "Evaluation":
        """Return what evaluates the operands of a node: it reads no buckets that nobody will look at.

        Prometheus reads such histograms in a way of its own (promql/engine.go, detectHistogramStatsDecoding).
        """
        match node:
            case Call(function=name) if name in _OF_TOTALS:
                totals = True
            case Call(function=name) if name in _OF_BUCKETS:
                totals = False
            case Aggregate(op="count_values") | Subquery() | Binary(op="==" | "!=" | "</" | ">/"):
                totals = False
            case _:
                return self
        return self if self.totals is False else replace(self, totals=totals)

    def vector(self, node: Node, grid: Grid) -> Vector:
        """Return the value of a node that is an instant vector."""
        value = self.value(node, grid)
        assert isinstance(value, Vector)  # the parser has checked the types
        return value

    def scalar(self, node: Node, grid: Grid) -> Floats:
        """Return the value of a node that is a scalar; one a step."""
        value = self.value(node, grid)
        assert isinstance(value, Scalar)
        return value.values

    # -- leaves

    def read(self, matchers: tuple[Matcher, ...], start_ms: int, end_ms: int) -> Block:
        """Read the samples in [start, end]; for a range query there may be more around."""
        # An instant query may hand out what it reads.
        block = self.querier.select(matchers, start_ms, end_ms, loosely=not self.bounds.instant)
        return _without_buckets(block, self.budget) if self.totals else block

    def selector(self, node: Selector, grid: Grid) -> Vector:
        """Return the latest sample within the lookback of each step, or what a smoothed one is at that very time."""
        return self.smoothed(node, grid) if node.extension else self.latest(node, grid)[0]

    def smoothed(self, node: Selector, grid: Grid) -> Vector:
        """Return the values at each step, interpolated between samples."""
        ends, reach = _ends(node, grid), Reach(smoothed=True, lookback_ms=self.lookback_ms)
        block = self.read(node.matchers, int(ends[0]) - reach.lookback_ms + 1, int(ends[-1]) + reach.ahead_ms)
        block = unended(block)
        matrix = Matrix(block, np.zeros(len(block.labels), dtype=bool), ends, ends, grid.times, reach)

        def at_steps(piece: Windows) -> tuple[Floats, Bools]:
            return extended.smoothed_values(piece.spread, ends)

        vector = replace(self.in_pieces(matrix, at_steps), unnamed=matrix.unnamed)
        if block.histograms is not None:
            cells: dict[tuple[int, int], mixed.Cell] = {}
            for row, step, window in _mixed_windows(matrix):
                telling = self.telling(node, block.labels[row])
                cell = extended.smoothed_cell(window, int(ends[step]), telling)
                cells[row, step] = telling.made(cell, *window.samples)
            vector = mixed.with_cells(vector, cells)
        return vector.rows(vector.inhabited)

    def latest(
        self, node: Selector, grid: Grid, moments_of: Callable[[Block], Ints] | None = None
    ) -> tuple[Vector, Ints]:
        """Return the latest samples, and of each a moment that the block tells, series × steps; none unasked."""
        ends = _ends(node, grid)
        block = self.read(node.matchers, int(ends[0]) - self.lookback_ms + 1, int(ends[-1]))
        shape = (len(block.labels), grid.steps)
        self.budget.spend(shape[0] * shape[1])
        values, present = np.zeros(shape), np.zeros(shape, dtype=bool)
        moments = np.zeros(shape if moments_of else (shape[0], 0), dtype=np.int64)
        histograms = None if block.histograms is None else np.full(shape, None, dtype=object)
        cut = Cut(block, ends - self.lookback_ms, ends)
        for start, end in pieces(block, len(ends)):
            rows = slice(start, end)
            index, present[rows] = _latest(block, cut, start, end, ends, self.lookback_ms)
            if len(block.values):
                _pick(block.values, block, rows, index, values)
            if moments_of and len(block.values):
                _pick(moments_of(block), block, rows, index, moments)
            if histograms is not None and block.histograms is not None:
                _pick(block.histograms, block, rows, index, histograms)
        vector = Vector(block.labels, values, present, np.zeros(shape[0], dtype=bool), histograms)
        kept = vector.inhabited
        return (vector, moments) if kept.all() else (vector.rows(kept), moments[kept])

    def range(self, node: Range, grid: Grid) -> Matrix:
        """Return the samples in each step's window; what reaches beyond it takes no notice of start timestamps."""
        ends = _ends(node.selector, grid)
        assert isinstance(node.range, int)
        starts = ends - node.range
        smoothed = node.selector.extension == "smoothed"
        reach = Reach(smoothed, self.lookback_ms) if node.selector.extension else None
        before, ahead = (reach.lookback_ms, reach.ahead_ms) if reach else (0, 0)
        block = self.read(node.selector.matchers, int(starts[0]) - before + 1, int(ends[-1]) + ahead)
        block = unended(block)
        block = replace(block, start_times=None) if reach else block
        return Matrix(block, np.zeros(len(block.labels), dtype=bool), starts, ends, grid.times, reach)

    def subquery(self, node: Subquery, grid: Grid) -> Matrix:
        """Evaluate the inner expression on absolute multiples of its step and return it as samples."""
        ends = _ends(node, grid)
        assert isinstance(node.range, int)
        starts = ends - node.range
        step = node.step if isinstance(node.step, int) else self.subquery_step_ms
        self.budget.spend(_moments(starts, ends, step))
        times = _multiples(starts, ends, step)
        if not len(times):
            return Matrix(_block(empty_vector(0), times), np.empty(0, dtype=bool), starts, ends, grid.times)
        one_moment = len(times) == 1 and int(times[0]) == int(ends[-1])
        vector = replace(self, one_moment=one_moment).vector(node.expr, Grid(times))
        return Matrix(_block(vector, times), vector.unnamed, starts, ends, grid.times)

    # -- calls

    def call(self, node: Call, grid: Grid) -> Value:
        """Call a function with its arguments' values."""
        if node.function in ROLLUPS:
            return self.rollup(node, grid)
        if node.function == "timestamp":
            return self.moments(node, grid, attrgetter("timestamps"), grid.times)
        if node.function == "start_timestamp":
            return self.moments(node, grid, start_times_of, np.zeros_like(grid.times))
        if node.function == "info":
            return self.info(node, grid)
        function = FUNCTIONS[node.function]
        if node.function == "absent_over_time":
            matrix = self.matrix(node.args[0], grid)
            blind = replace(matrix, block=replace(matrix.block, histograms=None))
            return function(self.site(node, grid), self.rolled("present_over_time", blind, []))
        return function(self.site(node, grid), *[self.value(arg, grid) for arg in node.args])

    def site(self, node: Call, grid: Grid) -> Site:
        """Return what a function may know of its surroundings."""
        return Site(node, grid, self.annotations, self.bounds, self.budget, self.one_moment)

    def matrix(self, node: Node, grid: Grid) -> Matrix:
        """Return the value of a node that is a range vector."""
        value = self.value(node, grid)
        assert isinstance(value, Matrix)
        return value

    def rollup(self, node: Call, grid: Grid) -> Vector:
        """Apply a range function; its scalar arguments may differ from step to step."""
        values = [self.value(arg, grid) for arg in node.args]
        matrix = next(value for value in values if isinstance(value, Matrix))
        scalars: list[Floats | Ints] = [value.values for value in values if isinstance(value, Scalar)]
        if node.function == "quantile_over_time" and len(matrix.block.values):
            self.annotations.warn_of_quantiles(np.asarray(scalars[0], dtype=np.float64), node.args[0])
        if node.function == "predict_linear":
            scalars.append(matrix.times)
        vector = self.rolled(node.function, matrix, scalars)
        if matrix.block.histograms is not None:
            vector = self.with_histograms(node, matrix, vector)
        if node.function in ("rate", "increase"):
            self.remark_on_names(node.args[0], vector)
            self.remark_on_overlaps(node.args[0], matrix)
        return vector

    def remark_on_names(self, node: Node, vector: Vector) -> None:
        """Say which metrics do not seem to be counters; a type label would tell more than a name."""
        floats = vector.labels
        if vector.histograms is not None:
            floats = [vector.labels[row] for row in np.flatnonzero(vector.floats.any(axis=1)).tolist()]
        for name in sorted(names_of(floats)):
            if name and not name.endswith(_OF_COUNTERS):
                self.annotations.info(
                    f'metric might not be a counter, name does not end in {"/".join(_OF_COUNTERS)}: "{name}"', node
                )

    def remark_on_overlaps(self, node: Node, matrix: Matrix) -> None:
        """Say which metrics have start timestamps that cannot be."""
        block = matrix.block
        if block.start_times is None:
            return
        wrong = overlaps(block.timestamps, block.start_times)
        within = windows(block, 0, len(block.labels), matrix.starts, matrix.ends).spread
        before = np.concatenate(([0, 0], np.cumsum(wrong)))
        # Whether one of the window's samples but the first is wrong: that one's neighbour is outside.
        shown = (within.counts > 1) & (before[within.last] > before[np.minimum(within.first + 1, within.last)])
        for row in np.flatnonzero(shown.any(axis=1)).tolist():
            self.telling(node, block.labels[row]).overlapping()

    def with_histograms(self, node: Call, matrix: Matrix, floats: Vector) -> Vector:
        """Add what a range function makes of windows that hold histograms."""
        rows = {id(labels): row for row, labels in enumerate(matrix.block.labels)}
        whole = _spread(floats, [rows[id(labels)] for labels in floats.labels], matrix, node.function)
        cells: dict[tuple[int, int], mixed.Cell] = {}
        for row, step, window in _mixed_windows(matrix):
            telling = self.telling(node.args[0], whole.labels[row])
            of_floats = float(whole.values[row, step])
            if matrix.reach:
                start, end = int(matrix.starts[step]), int(matrix.ends[step])
                cell = extended.extended_cell(node.function, window, start, end, matrix.reach, telling)
            else:
                cell = mixed.ROLLUPS_OF_MIXED[node.function](window, of_floats, telling)
            cells[row, step] = telling.made(cell, *window.samples)
        vector = mixed.with_cells(whole, cells)
        return vector.rows(vector.inhabited)

    def rolled(self, name: str, matrix: Matrix, scalars: list[Floats | Ints]) -> Vector:
        """Run a range function over the windows of floats."""

        def plain(piece: Windows) -> tuple[Floats, Bools]:
            return ROLLUPS[name](piece, *scalars)

        def reaching(piece: Windows) -> tuple[Floats, Bools]:
            assert matrix.reach is not None
            return extended.EXTENDED[name](piece.spread, matrix.starts, matrix.ends, matrix.reach)

        vector = self.in_pieces(matrix, reaching if matrix.reach else plain)
        if name in KEEP_NAME:
            vector = replace(vector, unnamed=matrix.unnamed)
        kept = vector.inhabited
        return vector if kept.all() else vector.rows(kept)

    def in_pieces(self, matrix: Matrix, function: Callable[[Windows], tuple[Floats, Bools]]) -> Vector:
        """Run a function over all windows, some series at a time."""
        block, steps = _floats_of(matrix.block), len(matrix.times)
        shape = (len(block.labels), steps)
        self.budget.spend(shape[0] * steps)
        values, present = np.empty(shape), np.empty(shape, dtype=bool)
        for rows, piece in Cut(block, *_reached(matrix)).in_pieces():
            self.budget.check()
            values[rows], present[rows] = function(piece)
        return Vector(block.labels, values, present, np.ones(shape[0], dtype=bool))

    def moments(self, node: Call, grid: Grid, moments_of: Callable[[Block], Ints], otherwise: Ints) -> Vector:
        """Return, in seconds, a moment that each of a selector's samples tells; of anything else one a step."""
        inner = bare(node.args[0])
        if isinstance(inner, Selector):
            vector, moments = self.latest(inner, grid, moments_of)
        else:
            vector = self.vector(inner, grid)
            moments = np.broadcast_to(otherwise, vector.values.shape)
        return Vector(vector.labels, moments / 1000.0, vector.present, np.ones(vector.series, dtype=bool))

    def info(self, node: Call, grid: Grid) -> Vector:
        """info(v instant-vector, {matchers}): the labels of the info series that describe each series."""
        base = self.vector(node.args[0], grid)
        second = node.args[1] if len(node.args) > 1 else None
        asked = info.wanted(second.matchers if isinstance(second, Selector) else None)
        described = asked.described(base)
        matchers = info.selection(asked, base, described)
        infos, moments = empty_vector(grid.steps), np.empty((0, grid.steps), dtype=np.int64)
        if matchers:
            at, offset = info.moment_of(node.args[0])
            selector = Selector(node.start, node.end, "", matchers, offset, at)
            infos, moments = self.latest(selector, grid, attrgetter("timestamps"))
        return info.enriched(asked, base, described, infos, moments)

    # -- aggregations

    def aggregate(self, node: Aggregate, grid: Grid) -> Vector:
        """Aggregate series by group."""
        param = None if node.param is None else self.value(node.param, grid)
        vector = self.vector(node.expr, grid)
        if isinstance(param, String):
            return self.count_values(node, vector, param.text)
        if isinstance(param, Scalar) and node.op == "quantile":
            assert node.param is not None
            extremes = np.array([param.values.min(), param.values.max()])
            self.annotations.warn_of_quantiles(extremes, node.param)
        if node.op in FOLDS:
            return self.folded(node, vector, None if param is None else param.values)  # type: ignore[union-attr]
        assert isinstance(param, Scalar)
        return self.chosen(node, vector, param.values)

    def folded(self, node: Aggregate, vector: Vector, param: Floats | None) -> Vector:
        """Fold each group into one series."""
        if not vector.series:
            return empty_vector(vector.steps)
        groups = grouping(vector.labels, node.labels, without=node.without)
        countable = vector.present if node.op in ("count", "group") else vector.floats
        floats = grouped(vector.values, countable, groups)
        values = FOLDS[node.op](floats, *([] if param is None else [param]))
        unnamed = np.zeros(len(groups.labels), dtype=bool)
        gone = vector.unnamed
        if gone.any() and not gone.all():
            gone = gone & vector.inhabited
        np.logical_or.at(unnamed, groups.ids, gone)
        result = Vector(groups.labels, values, floats.counts > 0, unnamed)
        telling = self.telling(node.expr)
        return mixed.aggregated(node.op, result, vector, groups.ids.tolist(), telling)

    def chosen(self, node: Aggregate, vector: Vector, param: Floats) -> Vector:
        """Keep some series of each group."""
        if node.op == "limit_ratio":
            return self.limit_ratio(node, vector, param)
        wanted = _wanted(param)
        if not vector.series or not (wanted > 0).any():
            return empty_vector(vector.steps)
        if node.op != "limitk":
            vector = mixed.without_histograms(node.op, vector, self.telling(node))
        groups = grouped(vector.values, vector.present, grouping(vector.labels, node.labels, without=node.without))
        kept = np.zeros(vector.present.shape, dtype=bool)
        kept[groups.order] = CHOICES[node.op](groups, wanted)
        result = replace(vector, present=kept)
        if self.bounds.instant and vector.steps == 1 and node.op in ("topk", "bottomk"):
            return _ranked(result, groups.order, groups.rows_of, -1.0 if node.op == "topk" else 1.0)
        rows = result.inhabited
        return result if rows.all() else result.rows(rows)

    def limit_ratio(self, node: Aggregate, vector: Vector, ratios: Floats) -> Vector:
        """limit_ratio(r scalar, v instant-vector): the share r of the series; a negative r takes the others."""
        if np.isnan(ratios).any():
            raise ExecutionError("Ratio value is NaN")
        assert node.param is not None
        for ratio, most in ((ratios.max(), 1), (ratios.min(), -1)):
            if ratio * most > 1:
                capped = f"{short(ratio)}, capping to {most}"
                self.annotations.warn(f"ratio value should be between -1 and 1, got {capped}", node.param)
        places = np.array([place_of(labels) for labels in vector.labels])[:, None]
        chosen = np.where(ratios >= 0, places < ratios, places >= 1 + ratios)
        result = replace(vector, present=vector.present & chosen)
        return result.rows(result.inhabited)

    def count_values(self, node: Aggregate, vector: Vector, label: str) -> Vector:
        """count_values(label string, v instant-vector): how many series have each value."""
        check_label_name_of(label)
        rows, steps = np.nonzero(vector.present)
        texts, which = _texts(vector, rows, steps, self.budget)
        pairs, cells = np.unique(rows * len(texts) + which, return_inverse=True) if len(rows) else (rows, rows)
        series: list[Labels] = []
        for pair in pairs.tolist():
            series.append({**vector.labels[pair // len(texts)], label: texts[pair % len(texts)]})
            self.budget.hold(getsizeof(series[-1]))
        groups = grouping(series, node.labels if node.without else (*node.labels, label), without=node.without)
        shape = (len(groups.labels), vector.steps)
        flat = np.bincount(groups.ids[cells] * vector.steps + steps, minlength=shape[0] * shape[1])
        counts = flat.reshape(shape).astype(np.float64)
        return Vector(groups.labels, counts, counts > 0, np.zeros(len(groups.labels), dtype=bool))

    # -- operators

    def unary(self, node: Unary, grid: Grid) -> Value:
        """Return an expression with its sign."""
        value = self.value(node.expr, grid)
        if node.op == "+":
            return value
        if isinstance(value, Scalar):
            return Scalar(-value.values)
        assert isinstance(value, Vector)
        return binary.with_scalar("*", value, np.full(grid.steps, -1.0), self.telling(node))

    def binary(self, node: Binary, grid: Grid) -> Value:
        """Combine two expressions."""
        left, right = self.value(node.left, grid), self.value(node.right, grid)
        match left, right:
            case Scalar(), Scalar():
                return Scalar(binary.between_scalars(node.op, left.values, right.values))
            case Vector(), Scalar():
                return self.with_scalar(node, left, right, scalar_first=False)
            case Scalar(), Vector():
                return self.with_scalar(node, right, left, scalar_first=True)
            case Vector(), Vector():
                return self.between_vectors(node, left, right)
            case _:
                raise AssertionError("the parser lets no other types pass")

    def with_scalar(self, node: Binary, vector: Vector, scalar: Scalar, *, scalar_first: bool) -> Vector:
        """Combine a vector with a scalar."""
        return binary.with_scalar(
            node.op,
            vector,
            scalar.values,
            self.telling(node),
            scalar_first=scalar_first,
            returns_bool=node.returns_bool,
        )

    def between_vectors(self, node: Binary, left: Vector, right: Vector) -> Vector:
        """Combine two vectors."""
        assert node.matching is not None
        if node.op in binary.SET:
            return binary.SET[node.op](left, right, binary.match_keys(left, right, node.matching))
        telling = self.telling(node)
        return binary.joined(node.op, left, right, node.matching, telling, returns_bool=node.returns_bool)

    def telling(self, node: Node, labels: Labels | None = None) -> mixed.Telling:
        """Return whom to tell about histograms that a node cannot work with, those of a series for example."""
        return mixed.Telling(self.annotations, node, self.budget, mixed.metric_of(labels or {}))


def _floats_of(block: Block) -> Block:
    """Return the block without its histogram samples."""
    if block.histograms is None:
        return block
    kept = without(block, filled(block.histograms))
    return replace(kept, histograms=None)


def _spread(vector: Vector, rows: list[int], matrix: Matrix, function: str) -> Vector:
    """Return a vector with a row for every series of the matrix, of which it has some."""
    labels = matrix.block.labels
    shape = (len(labels), vector.steps)
    values, present = np.zeros(shape), np.zeros(shape, dtype=bool)
    values[rows], present[rows] = vector.values, vector.present
    unnamed = matrix.unnamed if function in KEEP_NAME else np.ones(shape[0], dtype=bool)
    return Vector(labels, values, present, unnamed)


def _reached(matrix: Matrix) -> tuple[Ints, Ints]:
    """Return the ends of the windows, stretched where a selector looks around them."""
    if matrix.reach is None:
        return matrix.starts, matrix.ends
    return matrix.starts - matrix.reach.lookback_ms, matrix.ends + matrix.reach.ahead_ms


def _mixed_windows(matrix: Matrix) -> Iterator[tuple[int, int, mixed.Window]]:
    """Return row, step and samples of every window that holds a histogram."""
    block = matrix.block
    assert block.histograms is not None
    starts, ends = _reached(matrix)
    everything = windows(block, 0, len(block.labels), starts, ends).spread
    before = np.append(0, np.cumsum(filled(block.histograms)))
    rows, steps = np.nonzero(before[everything.last] > before[everything.first])
    for row, step in zip(rows.tolist(), steps.tolist(), strict=True):
        span = slice(int(everything.first[row, step]), int(everything.last[row, step]))
        pairs = zip(block.values[span].tolist(), block.histograms[span].tolist(), strict=True)
        samples = [value if histogram is None else histogram for value, histogram in pairs]
        times = block.timestamps[span].tolist()
        begun = None if block.start_times is None else block.start_times[span].tolist()
        yield row, step, mixed.Window(times, samples, int(matrix.starts[step]), int(matrix.ends[step]), begun)


def bare(node: Node) -> Node:
    """Return what stands in parentheses."""
    while isinstance(node, Paren):
        node = node.expr
    return node


def start_times_of(block: Block) -> Ints:
    """Return when the counting of a block's samples began, ms; 0 where nobody said."""
    return np.zeros(len(block.values), dtype=np.int64) if block.start_times is None else block.start_times


def _wanted(param: Floats) -> Ints:
    """Return how many series each step wants."""
    if np.isnan(param).any():
        raise ExecutionError("Parameter value is NaN")
    if param.max() < 1:
        return np.zeros(len(param), dtype=np.int64)
    if param.min() <= -(2.0**63):
        raise ExecutionError(f"Scalar value {short(param.min())} underflows int64")
    if param.max() >= 2.0**63:
        raise ExecutionError(f"Scalar value {short(param.max())} overflows int64")
    return np.clip(param, 0, 2**31).astype(np.int64)


def _texts(vector: Vector, rows: Ints, steps: Ints, budget: Budget) -> tuple[list[str], Ints]:
    """Return the distinct values of cells as text, and which each cell has."""
    # By their bits, because -0 is printed, and so counted, apart from 0.
    distinct, which = np.unique(vector.values[rows, steps].view(np.int64), return_inverse=True)
    budget.hold(len(distinct) * _BYTES_A_NUMBER)
    texts = [spelled_number(number) for number in distinct.view(np.float64).tolist()]
    if vector.histograms is None:
        return texts, which
    places = {text: place for place, text in enumerate(texts)}
    for cell in np.flatnonzero(filled(vector.histograms[rows, steps])).tolist():
        text = native.spelled(vector.histograms[rows[cell], steps[cell]])
        budget.hold(0 if text in places else getsizeof(text))
        which[cell] = places.setdefault(text, len(places))
    return list(places), which


def _ends(node: Selector | Subquery, grid: Grid) -> Ints:
    """Return where each step's window ends, after `@` and offset."""
    assert isinstance(node.offset, int)
    if node.at is None:
        return grid.times - node.offset
    assert isinstance(node.at, int)
    return np.full(grid.steps, node.at - node.offset, dtype=np.int64)


def _latest(block: Block, cut: Cut, start: int, end: int, ends: Ints, lookback_ms: int) -> tuple[Ints, Bools]:
    """Return for some series × steps the place of the latest sample, and whether it counts.

    Series that were sampled together share one place a step, counted from their first sample.
    """
    begin, stop = int(block.offsets[start]), int(block.offsets[end])
    offsets = block.offsets[start : end + 1] - begin
    marked = None if never_ends(block) else stale(block.values[begin:stop])
    if (shared := cut.shared(start, end)) is not None:
        _, first, last = shared
        place, found = np.maximum(last - 1, 0), np.broadcast_to(last > first, (end - start, len(ends)))
        if marked is None or not marked.any():
            return place, found
        return place, found & ~np.take(marked.reshape(end - start, -1), place, axis=1)
    last = upto(block.timestamps[begin:stop], offsets, Grid(ends)) - 1
    found = last >= offsets[:-1, None]
    last[~found] = 0
    if stop > begin:
        found &= block.timestamps[begin:stop][last] > ends - lookback_ms
    return last + begin, found if marked is None or not marked.any() else found & ~marked[last]


_T = TypeVar("_T", bound=np.generic)


def _pick(column: NDArray[_T], block: Block, rows: slice, index: Ints, picked: NDArray[_T]) -> None:
    """Put what a column has at the places that `_latest` found of some series into their rows."""
    if index.ndim > 1:
        np.take(column, index, out=picked[rows], mode="clip")
        return
    own = column[block.offsets[rows.start] : block.offsets[rows.stop]].reshape(rows.stop - rows.start, -1)
    np.take(own, index, axis=1, out=picked[rows], mode="clip")


def _moments(starts: Ints, ends: Ints, step: int) -> int:
    """Return at most how many moments a subquery is evaluated at."""
    span, windows_apart = int(ends[-1] - starts[0]), len(ends) * int(ends[0] - starts[0] + step)
    return min(span, windows_apart) // step + 1


def _multiples(starts: Ints, ends: Ints, step: int) -> Ints:
    """Return the multiples of a step in any of the windows (start, end]."""
    first, last = starts // step + 1, ends // step
    # Where windows overlap each goes on where the one before has ended.
    first[1:] = np.maximum(first[1:], last[:-1] + 1)
    counts = np.maximum(last - first + 1, 0)
    within = np.arange(int(counts.sum()), dtype=np.int64) - np.repeat(np.cumsum(counts) - counts, counts)
    times: Ints = (np.repeat(first, counts) + within) * step
    return times


def _block(vector: Vector, times: Ints) -> Block:
    """Return a vector's samples as a block."""
    counts = vector.present.sum(axis=1)
    offsets = np.concatenate(([0], np.cumsum(counts))).astype(np.int64)
    moments = np.broadcast_to(times, vector.present.shape)[vector.present]
    histograms = None if vector.histograms is None else _unhinted(vector.histograms[vector.present])
    return Block(vector.labels, offsets, moments, vector.values[vector.present], histograms)


def _without_buckets(block: Block, budget: Budget) -> Block:
    """Leave the count and the sum of each histogram, and whether the counter was reset before it."""
    if block.histograms is None:
        return block
    histograms = block.histograms.copy()
    for start, end in zip(block.offsets[:-1].tolist(), block.offsets[1:].tolist(), strict=True):
        before: NativeHistogram | None = None
        for place in range(start, end):
            budget.check()
            one = block.histograms[place]
            if one is not None:
                histograms[place] = NativeHistogram(one.schema, one.count, one.sum, hint=_known_hint(one, before))
                before = one
    return replace(block, histograms=histograms)


def _known_hint(one: NativeHistogram, before: NativeHistogram | None) -> ResetHint:
    if before is None or one.hint is not ResetHint.UNKNOWN:
        return one.hint
    return ResetHint.RESET if native.was_reset(one, before) else ResetHint.NOT_RESET


def _unhinted(histograms: Objects) -> Objects:
    """Forget what is known of resets: between samples of a subquery others were left out."""
    forgotten = np.full(len(histograms), None, dtype=object)
    for place in np.flatnonzero(filled(histograms)).tolist():
        one = histograms[place]
        forgotten[place] = one if one.hint is ResetHint.GAUGE else replace(one, hint=ResetHint.UNKNOWN)
    return forgotten


def _repeated(value: Value, steps: int) -> Value:
    match value:
        case Scalar(values=values):
            return Scalar(np.broadcast_to(values, (steps,)))
        case Vector():
            shape = (value.series, steps)
            return replace(
                value,
                values=np.broadcast_to(value.values, shape),
                present=np.broadcast_to(value.present, shape),
                histograms=None if value.histograms is None else np.broadcast_to(value.histograms, shape),
            )
        case _:
            return value


def _ranked(vector: Vector, order: Ints, groups: Ints, sign: float) -> Vector:
    """Return the series that are present, group by group, best first; NaN last."""
    kept = vector.present[order, 0]
    rows, group = order[kept], groups[kept]
    return vector.rows(rows[np.lexsort((sign * vector.values[rows, 0], group))])


def check_label_name_of(label: str) -> None:
    """Raise ExecutionError when count_values could not set this label."""
    if not label or not is_text(label):
        shown = label.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
        raise ExecutionError(f'invalid label name "{shown}"')


def named(vector: Vector) -> Vector:
    """Return a vector as it is handed out: names that were taken away are gone, and equal series are one."""
    if not vector.unnamed.any():
        return vector
    labels: Sequence[Labels]
    if vector.unnamed.all():
        labels = all_nameless(vector.labels)
    else:
        pairs = zip(vector.labels, vector.unnamed.tolist(), strict=True)
        labels = [nameless(labels) if gone else labels for labels, gone in pairs]
    settled = replace(vector, labels=labels, unnamed=np.zeros_like(vector.unnamed))
    return binary.merged(settled, "vector cannot contain metrics with the same labelset")
