"""Range functions: floats of all windows at once, histograms window by window."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np

from opstrace.promql import extended, mixed
from opstrace.promql.context import Context
from opstrace.promql.labelsets import names_of
from opstrace.promql.rollup import KEEP_NAME, ROLLUPS, STRATEGIES, check_factors
from opstrace.promql.start_times import overlaps
from opstrace.promql.tree import Call, Node, Subquery
from opstrace.promql.values import Bools, Floats, Ints, Matrix, Scalar, Value, Vector, filled
from opstrace.promql.windows import Cut, Windows, windows, without
from opstrace.ragged import places
from opstrace.store.backend import Block

# How names of counters end, by convention; the text of a remark lists them.
_OF_COUNTERS = ("_total", "_sum", "_count", "_bucket")


def rolled_up(context: Context, node: Call, values: Sequence[Value]) -> Vector:
    """Apply a range function; its scalar arguments may differ from step to step."""
    matrix = next(value for value in values if isinstance(value, Matrix))
    parameters = [value.values for value in values if isinstance(value, Scalar)]
    if node.function == "double_exponential_smoothing" and len(matrix.block.values):
        check_factors(*parameters)
    scalars: list[Floats | Ints] = [*parameters]
    if node.function == "predict_linear":
        scalars.append(matrix.times)
    vector = rolled(context, node.function, matrix, scalars)
    # Of the steps at which there is something.
    told = [values[vector.present.any(axis=0)] for values in parameters]
    if node.function == "quantile_over_time":
        context.annotations.warn_of_quantiles(told[0], node.args[0])
    if node.function == "integral" and told:
        wrong = told[0][~np.isin(told[0], STRATEGIES)]
        context.annotations.warn_of_numbers("strategy should be 0, 1, or 2 (default), using 2", wrong, node.args[1])
    if matrix.block.histograms is not None:
        vector = _with_histograms(context, node, matrix, vector)
    if node.function in ("rate", "increase"):
        place = _place(node)
        _remark_on_names(context, place, vector)
        _remark_on_overlaps(context, place, matrix)
    return vector


def rolled(context: Context, name: str, matrix: Matrix, scalars: list[Floats | Ints]) -> Vector:
    """Run a range function over the windows of floats."""

    def plain(piece: Windows) -> tuple[Floats, Bools]:
        return ROLLUPS[name](piece, *scalars)

    def reaching(piece: Windows) -> tuple[Floats, Bools]:
        assert matrix.reach is not None
        return extended.EXTENDED[name](piece.spread, matrix.starts, matrix.ends, matrix.reach)

    vector = in_pieces(context, matrix, reaching if matrix.reach else plain)
    if name in KEEP_NAME:
        vector = replace(vector, unnamed=matrix.unnamed)
    kept = vector.inhabited
    return vector if kept.all() else vector.rows(kept)


def in_pieces(context: Context, matrix: Matrix, function: Callable[[Windows], tuple[Floats, Bools]]) -> Vector:
    """Run a function over all windows, some series at a time."""
    block, steps = _floats_of(matrix.block), len(matrix.times)
    shape = (len(block.labels), steps)
    context.budget.spend(shape[0] * steps)
    values, present = np.empty(shape), np.empty(shape, dtype=bool)
    for rows, piece in Cut(block, *_reached(matrix)).in_pieces():
        context.budget.check()
        values[rows], present[rows] = function(piece)
    return Vector(block.labels, values, present, np.ones(shape[0], dtype=bool))


def _with_histograms(context: Context, node: Call, matrix: Matrix, floats: Vector) -> Vector:
    """Add what a range function makes of windows that hold histograms."""
    rows = {id(labels): row for row, labels in enumerate(matrix.block.labels)}
    whole = _spread(floats, [rows[id(labels)] for labels in floats.labels], matrix, node.function)
    cells: dict[tuple[int, int], mixed.Cell] = {}
    place = _place(node)
    for row, step, window in mixed_windows(matrix):
        telling = context.telling(place, whole.labels[row])
        of_floats = float(whole.values[row, step])
        if matrix.reach:
            start, end = int(matrix.starts[step]), int(matrix.ends[step])
            cell = extended.extended_cell(node.function, window, start, end, matrix.reach, telling)
        else:
            cell = mixed.ROLLUPS_OF_MIXED[node.function](window, of_floats, telling)
        cells[row, step] = telling.made(cell, *window.samples)
    vector = mixed.with_cells(whole, cells)
    return vector.rows(vector.inhabited)


def _place(node: Call) -> Node:
    """Return where remarks on windows have their place; Prometheus gives what a subquery found that of the start."""
    place = node.args[0]
    return replace(place, start=0) if isinstance(place, Subquery) else place


def _remark_on_names(context: Context, node: Node, vector: Vector) -> None:
    """Say which metrics do not seem to be counters; a type label would tell more than a name."""
    floats = vector.labels
    if vector.histograms is not None:
        floats = [vector.labels[row] for row in np.flatnonzero(vector.floats.any(axis=1)).tolist()]
    for name in sorted(names_of(floats)):
        if name and not name.endswith(_OF_COUNTERS):
            context.annotations.info(
                f'metric might not be a counter, name does not end in {"/".join(_OF_COUNTERS)}: "{name}"', node
            )


def _remark_on_overlaps(context: Context, node: Node, matrix: Matrix) -> None:
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
        context.telling(node, block.labels[row]).overlapping()


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


def mixed_windows(matrix: Matrix) -> Iterator[tuple[int, int, mixed.Window]]:
    """Return row, step and samples of every window that holds a histogram."""
    block = matrix.block
    assert block.histograms is not None
    starts, ends = _reached(matrix)
    everything = windows(block, 0, len(block.labels), starts, ends).spread
    before = places(filled(block.histograms))
    rows, steps = np.nonzero(before[everything.last] > before[everything.first])
    for row, step in zip(rows.tolist(), steps.tolist(), strict=True):
        span = slice(int(everything.first[row, step]), int(everything.last[row, step]))
        pairs = zip(block.values[span].tolist(), block.histograms[span].tolist(), strict=True)
        samples = [value if histogram is None else histogram for value, histogram in pairs]
        times = block.timestamps[span].tolist()
        begun = None if block.start_times is None else block.start_times[span].tolist()
        yield row, step, mixed.Window(times, samples, int(matrix.starts[step]), int(matrix.ends[step]), begun)
