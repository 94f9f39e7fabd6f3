"""The leaves of a query: what a selector yields at each step, and the samples in its windows."""

from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from opstrace.promql import extended, mixed, native
from opstrace.promql.context import Context
from opstrace.promql.over_windows import in_pieces, mixed_windows
from opstrace.promql.tree import Range, Selector, Subquery
from opstrace.promql.values import Bools, Floats, Grid, Ints, Matrix, Reach, Vector
from opstrace.promql.windows import Cut, Windows, never_ends, pieces, unended, upto
from opstrace.store.backend import Block, Manner, Matcher
from opstrace.store.budget import Budget
from opstrace.store.histogram import NativeHistogram, ResetHint
from opstrace.store.traits import stale


def selected(context: Context, node: Selector, grid: Grid) -> Vector:
    """Return the latest sample within the lookback of each step, or what a smoothed one is at that very time."""
    return smoothed(context, node, grid) if node.extension else latest(context, node, grid)[0]


def smoothed(context: Context, node: Selector, grid: Grid) -> Vector:
    """Return the values at each step, interpolated between samples."""
    ends, reach = ends_of(node, grid), Reach(smoothed=True, lookback_ms=context.lookback_ms)
    block = _read(context, node.matchers, int(ends[0]) - reach.lookback_ms + 1, int(ends[-1]) + reach.ahead_ms)
    block = unended(block)
    matrix = Matrix(block, np.zeros(len(block.labels), dtype=bool), ends, ends, grid.times, reach)

    def at_steps(piece: Windows) -> tuple[Floats, Bools]:
        return extended.smoothed_values(piece.spread, ends)

    vector = replace(in_pieces(context, matrix, at_steps), unnamed=matrix.unnamed)
    if block.histograms is not None:
        cells: dict[tuple[int, int], mixed.Cell] = {}
        for row, step, window in mixed_windows(matrix):
            telling = context.telling(node, block.labels[row])
            cell = extended.smoothed_cell(window, int(ends[step]), telling)
            cells[row, step] = telling.made(cell, *window.samples)
        vector = mixed.with_cells(vector, cells)
    return vector.rows(vector.inhabited)


def latest(
    context: Context, node: Selector, grid: Grid, moments_of: Callable[[Block], Ints] | None = None
) -> tuple[Vector, Ints]:
    """Return the latest samples and, with `moments_of`, the moment it gives for each; both series × steps."""
    ends = ends_of(node, grid)
    block = _read(context, node.matchers, int(ends[0]) - context.lookback_ms + 1, int(ends[-1]))
    shape = (len(block.labels), grid.steps)
    context.budget.spend(shape[0] * shape[1])
    values, present = np.zeros(shape), np.zeros(shape, dtype=bool)
    moments = np.zeros(shape if moments_of else (shape[0], 0), dtype=np.int64)
    histograms = None if block.histograms is None else np.full(shape, None, dtype=object)
    cut = Cut(block, ends - context.lookback_ms, ends)
    for start, end in pieces(block, len(ends)):
        rows = slice(start, end)
        index, present[rows] = _latest(block, cut, start, end, ends, context.lookback_ms)
        if len(block.values):
            _pick(block.values, block, rows, index, values)
        if moments_of and len(block.values):
            _pick(moments_of(block), block, rows, index, moments)
        if histograms is not None and block.histograms is not None:
            _pick(block.histograms, block, rows, index, histograms)
    vector = Vector(block.labels, values, present, np.zeros(shape[0], dtype=bool), histograms)
    kept = vector.inhabited
    return (vector, moments) if kept.all() else (vector.rows(kept), moments[kept])


def windowed(context: Context, node: Range, grid: Grid) -> Matrix:
    """Return the samples in each step's window; what reaches beyond it takes no notice of start timestamps."""
    ends = ends_of(node.selector, grid)
    assert isinstance(node.range, int)
    starts = ends - node.range
    smoothed = node.selector.extension == "smoothed"
    reach = Reach(smoothed, context.lookback_ms) if node.selector.extension else None
    before, ahead = (reach.lookback_ms, reach.ahead_ms) if reach else (0, 0)
    block = _read(context, node.selector.matchers, int(starts[0]) - before + 1, int(ends[-1]) + ahead)
    block = unended(block)
    block = replace(block, start_times=None) if reach else block
    return Matrix(block, np.zeros(len(block.labels), dtype=bool), starts, ends, grid.times, reach)


def _read(context: Context, matchers: tuple[Matcher, ...], start_ms: int, end_ms: int) -> Block:
    """Read the samples in [start, end]; for a range query there may be more around."""
    # An instant query may hand out what it reads.
    manner = Manner(not context.bounds.instant, context.part.portion, context.part.is_all)
    block = context.querier.select(matchers, start_ms, end_ms, manner)
    return _without_buckets(block, context.budget) if context.totals else block


def start_times_of(block: Block) -> Ints:
    """Return when the counting of a block's samples began, ms; 0 where nobody said."""
    return np.zeros(len(block.values), dtype=np.int64) if block.start_times is None else block.start_times


def ends_of(node: Selector | Subquery, grid: Grid) -> Ints:
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
