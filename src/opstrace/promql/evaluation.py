"""One query being evaluated: walks the tree, reads what the leaves need, and hands arrays to the families."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from operator import attrgetter

import numpy as np

from opstrace.promql import binary, info
from opstrace.promql.aggregation import aggregated
from opstrace.promql.context import Context
from opstrace.promql.functions import INSTANT_FUNCTIONS, Site
from opstrace.promql.histogram import HISTOGRAM_FUNCTIONS
from opstrace.promql.labelsets import all_nameless, nameless
from opstrace.promql.leaves import ends_of, latest, selected, start_times_of, windowed
from opstrace.promql.over_windows import rolled, rolled_up
from opstrace.promql.parts import Part, in_portions, in_steps
from opstrace.promql.plan import invariant, reach_ms
from opstrace.promql.rollup import ROLLUPS
from opstrace.promql.subquery import at_most, block_of, multiples
from opstrace.promql.tree import Aggregate, Binary, Call, Node, Number, Paren, Range, Selector, Subquery, Text, Unary
from opstrace.promql.values import Grid, Ints, Matrix, Scalar, String, Value, Vector, empty_vector
from opstrace.store.backend import Block, Labels

FUNCTIONS = {**INSTANT_FUNCTIONS, **HISTOGRAM_FUNCTIONS}
# Those that need more than their arguments' values.
SPECIAL = ("info", "start_timestamp", "timestamp")
# Functions that look at no bucket of a histogram, and those that look at them all.
_OF_TOTALS = frozenset(
    ("absent", "histogram_avg", "histogram_count", "histogram_sum", "start_timestamp", "timestamp")
)
_OF_BUCKETS = frozenset(("changes", *HISTOGRAM_FUNCTIONS)) - _OF_TOTALS


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Evaluates the nodes of a tree, which share a context."""

    context: Context

    def value(self, node: Node, grid: Grid) -> Value:
        """Return what a node yields on a grid; one that is the same everywhere is computed once."""
        self.context.budget.check()
        if (
            not self.context.one_moment
            and not isinstance(bare(node), Number | Text | Range | Subquery)
            and invariant(node)
        ):
            once = self.at_one_moment().value(node, Grid(grid.times[:1]))
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
                return selected(within.context, node, grid)
            case Range():
                return windowed(within.context, node, grid)
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

    def in_parts(self, node: Node, grid: Grid) -> Value:
        """Return what a node yields on a grid that may be long."""
        reach = reach_ms(node, self.context.lookback_ms)

        def of_part(steps: Grid, part: Part) -> Value:
            return Evaluation(replace(self.context, part=part)).value(node, steps)

        return in_steps(of_part, grid, reach, self.context.part, self.context.attempts)

    def under(self, node: Node) -> "Evaluation":
        """Return the evaluation for a node's operands: it skips buckets of histograms that the node does not need.

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
        if self.context.totals is False:
            return self
        return Evaluation(replace(self.context, totals=totals))

    def at_one_moment(self, is_one: bool = True) -> "Evaluation":
        """Return the evaluation of a query, or a subquery's operand, of one moment; of several unless `is_one`."""
        return Evaluation(replace(self.context, one_moment=is_one))

    def vector(self, node: Node, grid: Grid) -> Vector:
        """Return the value of a node that is an instant vector."""
        value = self.value(node, grid)
        assert isinstance(value, Vector)  # the parser has checked the types
        return value

    # -- subqueries

    def subquery(self, node: Subquery, grid: Grid) -> Matrix:
        """Evaluate the inner expression on absolute multiples of its step and return it as samples."""
        ends = ends_of(node, grid)
        assert isinstance(node.range, int)
        starts = ends - node.range
        step = node.step if isinstance(node.step, int) else self.context.subquery_step_ms
        self.context.budget.spend(at_most(starts, ends, step))
        times = multiples(starts, ends, step)
        if not len(times):
            return Matrix(block_of(empty_vector(0), times), np.empty(0, dtype=bool), starts, ends, grid.times)
        one_moment = len(times) == 1 and int(times[0]) == int(ends[-1])
        vector = self.at_one_moment(one_moment).in_parts(node.expr, Grid(times))
        assert isinstance(vector, Vector)
        return Matrix(block_of(vector, times), vector.unnamed, starts, ends, grid.times)

    # -- calls

    def call(self, node: Call, grid: Grid) -> Value:
        """Call a function with its arguments' values."""
        if node.function in ROLLUPS:
            return self.rollup(node, grid)
        if node.function == "timestamp":
            return self.moments(node, grid, attrgetter("timestamps"), grid.times)
        if node.function == "start_timestamp":
            return self.moments(node, grid, start_times_of, None)
        if node.function == "info":
            return self.info(node, grid)
        function = FUNCTIONS[node.function]
        if node.function == "absent_over_time":
            matrix = self.matrix(node.args[0], grid)
            blind = replace(matrix, block=replace(matrix.block, histograms=None))
            return function(self.site(node, grid), rolled(self.context, "present_over_time", blind, []))
        return function(self.site(node, grid), *[self.value(arg, grid) for arg in node.args])

    def site(self, node: Call, grid: Grid) -> Site:
        """Return what a function may know of its surroundings."""
        return Site(
            node, grid, self.context.annotations, self.context.bounds, self.context.budget, self.context.one_moment
        )

    def matrix(self, node: Node, grid: Grid) -> Matrix:
        """Return the value of a node that is a range vector."""
        value = self.value(node, grid)
        assert isinstance(value, Matrix)
        return value

    def rollup(self, node: Call, grid: Grid) -> Vector:
        """Apply a range function, to some series at a time where all are too many and no cut of the steps helps."""
        scalars = [self.value(arg, grid) for arg in node.args if not isinstance(bare(arg), Range | Subquery)]
        (windows,) = [bare(arg) for arg in node.args if isinstance(bare(arg), Range | Subquery)]

        def of_part(part: Part) -> Vector:
            within = Evaluation(replace(self.context, part=part))
            return rolled_up(self.context, node, [*scalars, within.value(windows, grid)])

        if isinstance(windows, Subquery):
            return of_part(self.context.part)
        vector = in_portions(of_part, self.context.part, node.start, self.context.attempts)
        assert isinstance(vector, Vector)
        return vector

    def moments(self, node: Call, grid: Grid, moments_of: Callable[[Block], Ints], otherwise: Ints | None) -> Vector:
        """Return, in seconds, a moment that each sample of a selector tells; of anything else one a step, or none."""
        inner = bare(node.args[0])
        if isinstance(inner, Selector):
            vector, moments = latest(self.context, inner, grid, moments_of)
        else:
            vector = self.vector(inner, grid)
            if otherwise is None:
                return empty_vector(grid.steps)
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
            infos, moments = latest(self.context, selector, grid, attrgetter("timestamps"))
        return info.enriched(asked, base, described, infos, moments)

    # -- aggregations

    def aggregate(self, node: Aggregate, grid: Grid) -> Vector:
        """Aggregate series by group."""
        param = None if node.param is None else self.value(node.param, grid)
        return aggregated(self.context, node, self.vector(node.expr, grid), param)

    # -- operators

    def unary(self, node: Unary, grid: Grid) -> Value:
        """Return an expression with its sign."""
        value = self.value(node.expr, grid)
        if node.op == "+":
            return value
        if isinstance(value, Scalar):
            return Scalar(-value.values)
        assert isinstance(value, Vector)
        return binary.negated(value, self.context.telling(node))

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
            self.context.telling(node),
            scalar_first=scalar_first,
            returns_bool=node.returns_bool,
        )

    def between_vectors(self, node: Binary, left: Vector, right: Vector) -> Vector:
        """Combine two vectors."""
        assert node.matching is not None
        if node.op in binary.SET:
            return binary.SET[node.op](left, right, binary.match_keys(left, right, node.matching))
        telling = self.context.telling(node)
        return binary.joined(node.op, left, right, node.matching, telling, returns_bool=node.returns_bool)


def bare(node: Node) -> Node:
    """Return a node without the parentheses around it."""
    while isinstance(node, Paren):
        node = node.expr
    return node


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
    return binary.merged(settled)
