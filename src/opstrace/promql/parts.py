"""What is more than a query may hold at once is evaluated some steps at a time: no step knows of another.

So a query may look at more samples than fit in memory, over series of which few live at the same time.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np

from opstrace.errors import BudgetExceeded
from opstrace.promql.values import Grid, Scalar, Value, Vector
from opstrace.store.backend import Labels
from opstrace.store.budget import Budget

# Into how many parts the steps are cut where fewer were too large.
CUTS = (1, 4, 16, 64)
# What parts read together, as a multiple of what the whole would: windows reach into the parts before.
MAX_READ_AGAIN = 4
_CUT_HELPS = ("samples", "tenant_samples", "memory")


def in_parts(evaluate: Callable[[Grid], Value], grid: Grid, reach_ms: float, budget: Budget) -> Value:
    """Return the value of an expression that sees `reach_ms` before each step.

    Raises BudgetExceeded where no cut helps.
    """
    begun = budget.mark()
    cuts = [cut for cut in CUTS if cut <= grid.steps and _pays(cut, grid, reach_ms)]
    for cut in cuts:
        try:
            parts = list(_evaluated(evaluate, cut, grid, budget))
        except BudgetExceeded as error:
            if cut == cuts[-1] or error.is_final or error.budget not in _CUT_HELPS:
                error.is_final = True  # whoever is around this has no smaller parts
                raise
            budget.back_to(begun)
        else:
            break
    return parts[0] if cut == 1 else _joined(parts, grid, budget)


def _pays(cut: int, grid: Grid, reach_ms: float) -> bool:
    span = int(grid.times[-1] - grid.times[0])
    return cut == 1 or cut * reach_ms + span <= MAX_READ_AGAIN * (reach_ms + span)


def _evaluated(evaluate: Callable[[Grid], Value], cut: int, grid: Grid, budget: Budget) -> Iterator[Value]:
    """Yield the values of the parts; of each only these count once it is there."""
    if cut == 1:
        yield evaluate(grid)
        return
    for times in np.array_split(grid.times, cut):
        begun = budget.mark()
        value = evaluate(Grid(times))
        if isinstance(value, Vector):
            value = value.rows(value.inhabited)
        budget.back_to(begun)
        budget.spend(value.values.size if isinstance(value, Vector) else 0)
        yield value


def _joined(parts: Sequence[Value], grid: Grid, budget: Budget) -> Value:
    """Put the values of parts one after the other."""
    match parts[0]:
        case Scalar():
            return Scalar(np.concatenate([part.values for part in parts if isinstance(part, Scalar)]))
        case Vector():
            return _joined_vectors([part for part in parts if isinstance(part, Vector)], grid, budget)
        case _:
            return parts[0]


def _joined_vectors(parts: Sequence[Vector], grid: Grid, budget: Budget) -> Vector:
    labels, unnamed, places = _rows(parts)
    shape = (len(labels), grid.steps)
    budget.spend(shape[0] * shape[1])
    whole = Vector(labels, np.zeros(shape), np.zeros(shape, dtype=bool), np.array(unnamed, dtype=bool))
    if any(part.histograms is not None for part in parts):
        whole = replace(whole, histograms=np.full(shape, None, dtype=object))
    first = 0
    for part, place in zip(parts, places, strict=True):
        columns = slice(first, first + part.steps)
        whole.values[place, columns], whole.present[place, columns] = part.values, part.present
        if whole.histograms is not None and part.histograms is not None:
            whole.histograms[place, columns] = part.histograms
        first += part.steps
    return whole


def _rows(parts: Sequence[Vector]) -> tuple[list[Labels], list[bool], list[list[int]]]:
    """Return the label sets of all parts, whether their names are gone, and in which rows those of each part are."""
    keys = [list(zip(part.unnamed.tolist(), map(_key, part.labels), strict=True)) for part in parts]
    owners = {
        key: one for part, own in zip(parts, keys, strict=True) for key, one in zip(own, part.labels, strict=True)
    }
    rows = {key: row for row, key in enumerate(owners)}
    return list(owners.values()), [unnamed for unnamed, _ in owners], [[rows[key] for key in own] for own in keys]


def _key(labels: Labels) -> frozenset[tuple[str, str]]:
    return frozenset(labels.items())
