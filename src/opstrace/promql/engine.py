"""The door to PromQL: a query and a querier in, arrays out."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np

from opstrace.errors import BadQuery
from opstrace.promql.annotations import Annotations
from opstrace.promql.context import Context
from opstrace.promql.evaluation import Evaluation, named
from opstrace.promql.labelsets import in_order, nameless, sort_key
from opstrace.promql.parser import parse, type_of
from opstrace.promql.parts import Attempts
from opstrace.promql.plan import Bounds, resolve
from opstrace.promql.tree import Node, Type
from opstrace.promql.values import Bools, Floats, Grid, Ints, Matrix, Objects, Scalar, String, Vector
from opstrace.store.backend import Block, Labels, Querier
from opstrace.store.budget import Budget

# Prometheus's default evaluation interval, which a subquery without a step takes.
_SUBQUERY_STEP_MS = 60_000


@dataclass(frozen=True, slots=True)
class Result:
    """What a query yields.

    `values`, `present` and `histograms` are series × steps, `timestamps` are the steps in milliseconds. A scalar is
    one series without labels. An instant query of a range selector has its samples in `raw` instead. The series of an
    instant vector are in the order its expression gives them; all others are sorted by their labels, by `order`
    if there is one.
    """

    kind: Literal["vector", "matrix", "scalar", "string"]
    labels: Sequence[Labels]
    timestamps: Ints
    values: Floats
    present: Bools
    text: str = ""
    warnings: tuple[str, ...] = ()
    infos: tuple[str, ...] = ()
    histograms: Objects | None = None
    raw: Block | None = None
    order: Ints | None = None

    @property
    def rows(self) -> Ints:
        """The series one after the other, as they are handed out; with those that have no sample."""
        return np.arange(len(self.labels)) if self.order is None else self.order


class Engine:
    """Evaluates PromQL; holds nothing but its limits and may be used by many threads at once."""

    def __init__(self, *, lookback_ms: int = 300_000, max_steps: int = 11_000, max_query_bytes: int = 65_536) -> None:
        self.lookback_ms = lookback_ms
        self.max_steps = max_steps
        self.max_query_bytes = max_query_bytes

    def instant(
        self, querier: Querier, query: str, at_ms: int, budget: Budget, lookback_ms: int | None = None
    ) -> Result:
        """Evaluate a query at one moment; raise QueryError."""
        bounds = Bounds(at_ms, at_ms, 0)
        grid = Grid(np.array([at_ms], dtype=np.int64))
        return self._evaluated(querier, query, bounds, grid, budget, lookback_ms)

    def range(
        self,
        querier: Querier,
        query: str,
        start_ms: int,
        end_ms: int,
        step_ms: int,
        budget: Budget,
        lookback_ms: int | None = None,
    ) -> Result:
        """Evaluate a query every `step_ms` from start to end, both included; raise QueryError."""
        if step_ms <= 0:
            raise BadQuery("zero or negative query resolution step widths are not accepted. Try a positive integer")
        if end_ms < start_ms:
            raise BadQuery("end timestamp must not be before start time")
        if (end_ms - start_ms) // step_ms > self.max_steps:
            raise BadQuery(
                f"exceeded maximum resolution of {self.max_steps} points per timeseries."
                " Try decreasing the query resolution (?step=XX)"
            )
        grid = Grid(np.arange(start_ms, end_ms + 1, step_ms, dtype=np.int64))
        return self._evaluated(querier, query, Bounds(start_ms, end_ms, step_ms), grid, budget, lookback_ms)

    def check_length(self, text: str) -> None:
        """Raise BadQuery for a query, or a selector, that is longer than it may be."""
        if len(text.encode("utf-8", "surrogatepass")) > self.max_query_bytes:
            raise BadQuery(f"{text[:20]!r}… is longer than {self.max_query_bytes} bytes")

    def _evaluated(
        self, querier: Querier, query: str, bounds: Bounds, grid: Grid, budget: Budget, lookback_ms: int | None
    ) -> Result:
        self.check_length(query)
        tree = _known_tree(query) if len(query) <= _MAX_KNOWN_CHARACTERS else parse(query)
        kind = type_of(tree)
        if not bounds.instant and kind not in (Type.SCALAR, Type.VECTOR):
            raise BadQuery(
                f'invalid expression type "{kind.value}" for range query, must be Scalar or instant Vector'
            )
        annotations = Annotations(query)
        context = Context(
            querier,
            budget,
            bounds,
            lookback_ms or self.lookback_ms,
            _SUBQUERY_STEP_MS,
            annotations,
            attempts=Attempts(budget, annotations),
            one_moment=bounds.start_ms == bounds.end_ms,
        )
        # Infinities, divisions by zero and the signalling NaN of stale markers are data here, no accidents.
        with np.errstate(all="ignore"):
            value = Evaluation(context).in_parts(resolve(tree, bounds), grid)
        notes = annotations.warnings, annotations.infos
        match value:
            case Vector():
                return _vector(named(value), bounds, grid, *notes)
            case Scalar():
                return _scalar(value, bounds, grid, *notes)
            case String():
                empty = np.empty((0, grid.steps))
                return Result("string", [], grid.times, empty, empty.astype(bool), value.text, *notes)
            case Matrix():
                return _samples(value, grid, *notes)


# Texts of queries whose trees are remembered, and how long these may be: a dashboard asks the same again and again.
MAX_KNOWN_TREES = 1_000
_MAX_KNOWN_CHARACTERS = 2_000


@lru_cache(MAX_KNOWN_TREES)
def _known_tree(query: str) -> Node:
    return parse(query)


def _vector(vector: Vector, bounds: Bounds, grid: Grid, warnings: tuple[str, ...], infos: tuple[str, ...]) -> Result:
    if not (there := vector.inhabited).all():
        vector = vector.rows(there)
    kind: Literal["vector", "matrix"] = "vector" if bounds.instant else "matrix"
    # To put the samples themselves in order would need room for them once more.
    order = None if bounds.instant else in_order(vector.labels)
    found = vector.labels, grid.times, vector.values, vector.present
    return Result(kind, *found, "", warnings, infos, vector.histograms, order=order)


def _scalar(scalar: Scalar, bounds: Bounds, grid: Grid, warnings: tuple[str, ...], infos: tuple[str, ...]) -> Result:
    kind: Literal["scalar", "matrix"] = "scalar" if bounds.instant else "matrix"
    values = scalar.values[None, :]
    return Result(kind, [{}], grid.times, values, np.ones(values.shape, dtype=bool), "", warnings, infos)


def _samples(matrix: Matrix, grid: Grid, warnings: tuple[str, ...], infos: tuple[str, ...]) -> Result:
    block = matrix.block
    named_labels = [nameless(one) if bare else one for one, bare in zip(block.labels, matrix.unnamed, strict=True)]
    kept = sorted(np.flatnonzero(np.diff(block.offsets) > 0).tolist(), key=lambda row: sort_key(named_labels[row]))
    labels = [named_labels[row] for row in kept]
    index = [np.arange(block.offsets[row], block.offsets[row + 1]) for row in kept]
    places = np.concatenate(index) if index else np.empty(0, dtype=np.int64)
    offsets = np.cumsum([0, *map(len, index)], dtype=np.int64)
    histograms = None if block.histograms is None else block.histograms[places]
    samples = Block(labels, offsets, block.timestamps[places], block.values[places], histograms)
    empty = np.empty((0, grid.steps))
    return Result("matrix", labels, grid.times, empty, empty.astype(bool), "", warnings, infos, None, samples)
