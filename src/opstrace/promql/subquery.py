"""Subqueries: the moments at which the inner expression is evaluated, and its values as samples."""

from dataclasses import replace

import numpy as np

from opstrace.promql.values import Ints, Objects, Vector, filled
from opstrace.ragged import places, runs
from opstrace.store.backend import Block
from opstrace.store.histogram import ResetHint


def at_most(starts: Ints, ends: Ints, step: int) -> int:
    """Return at most how many moments a subquery is evaluated at."""
    span, windows_apart = int(ends[-1] - starts[0]), len(ends) * int(ends[0] - starts[0] + step)
    return min(span, windows_apart) // step + 1


def multiples(starts: Ints, ends: Ints, step: int) -> Ints:
    """Return the multiples of a step in any of the windows (start, end]."""
    first, last = starts // step + 1, ends // step
    # Where windows overlap each goes on where the one before has ended.
    first[1:] = np.maximum(first[1:], last[:-1] + 1)
    counts = np.maximum(last - first + 1, 0)
    return runs(first, counts) * step


def block_of(vector: Vector, times: Ints) -> Block:
    """Return a vector's samples as a block."""
    counts = vector.present.sum(axis=1)
    moments = np.broadcast_to(times, vector.present.shape)[vector.present]
    histograms = None if vector.histograms is None else _unhinted(vector.histograms[vector.present])
    return Block(vector.labels, places(counts), moments, vector.values[vector.present], histograms)


def _unhinted(histograms: Objects) -> Objects:
    """Forget what is known of resets: between samples of a subquery others were left out."""
    forgotten = np.full(len(histograms), None, dtype=object)
    for place in np.flatnonzero(filled(histograms)).tolist():
        one = histograms[place]
        forgotten[place] = one if one.hint is ResetHint.GAUGE else replace(one, hint=ResetHint.UNKNOWN)
    return forgotten
