"""What is more than a query may hold at once is evaluated in parts: some steps at a time, or some series.

No step of a query knows of another, and no series does inside of a range function. So a query may look at more
samples than fit in memory, and at series of which few live at the same time.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar

import numpy as np

from opstrace.errors import BudgetExceeded
from opstrace.promql.values import Grid, Objects, Scalar, Value, Vector
from opstrace.store.backend import WHOLE, Labels, Portion
from opstrace.store.budget import Budget

# Into how many parts an expression is cut where fewer were too large.
CUTS = (1, 4, 16, 64)
# What parts of the steps read together, as a multiple of what the whole would: windows reach into the parts before.
MAX_READ_AGAIN = 4
_CUT_HELPS = ("samples", "tenant_samples", "memory")


V = TypeVar("V", bound=Value)


@dataclass(frozen=True, slots=True)
class Part:
    """What of an expression is evaluated at once."""

    of_steps: int = 1  # into how many parts its steps are cut
    is_smallest: bool = False  # whether no smaller ones will be tried
    portion: Portion = WHOLE  # of the series of a selector

    @property
    def is_all(self) -> bool:
        """Whether that is everything."""
        return self.of_steps == 1 and self.portion.is_all


EVERYTHING = Part()


def in_steps(evaluate: Callable[[Grid, Part], Value], grid: Grid, reach_ms: float, budget: Budget) -> Value:
    """Return the value of an expression that sees `reach_ms` before each step of a grid.

    Raises BudgetExceeded where no cut of the steps helps.
    """
    begun = budget.mark()
    cuts = [cut for cut in CUTS if _pays(cut, grid, reach_ms)]

    def parts_of(cut: int) -> list[Callable[[], Value]]:
        part = Part(cut, is_smallest=cut == cuts[-1])
        return [partial(evaluate, Grid(times), part) for times in np.array_split(grid.times, cut)]

    parts = _that_fit(parts_of, cuts, budget, alone=False)
    if len(parts) == 1:
        return parts[0]
    whole = _one_after_the_other(parts, grid, budget)
    budget.back_to(begun)
    budget.spend(_cells(whole))
    return whole


def in_portions(evaluate: Callable[[Part], Vector], part: Part, budget: Budget) -> Vector:
    """Return the value of what makes a series of each series; the steps are those of a part.

    Raises BudgetExceeded where no cut of the series helps, or a smaller one of the steps is still to be tried.
    """

    def parts_of(cut: int) -> list[Callable[[], Vector]]:
        return [partial(evaluate, replace(part, portion=Portion(number, cut))) for number in range(cut)]

    if not part.is_smallest:
        return evaluate(part)
    parts = _that_fit(parts_of, CUTS, budget, alone=True)
    return parts[0] if len(parts) == 1 else _below_each_other(parts)


def _pays(cut: int, grid: Grid, reach_ms: float) -> bool:
    span = int(grid.times[-1] - grid.times[0])
    return cut == 1 or (cut <= grid.steps and cut * reach_ms + span <= MAX_READ_AGAIN * (reach_ms + span))


def _that_fit(
    parts_of: Callable[[int], list[Callable[[], V]]], cuts: Sequence[int], budget: Budget, *, alone: bool
) -> list[V]:
    """Evaluate the largest parts that fit; `alone` says that nothing else makes the smallest ones smaller."""
    begun = budget.mark()
    cut = cuts[0]
    while True:
        try:
            return _evaluated(parts_of(cut), budget)
        except BudgetExceeded as error:
            smaller = [one for one in cuts if one > cut]
            enough = [one for one in smaller if one >= cut * error.excess]
            helps = enough or (smaller and not alone)
            if not helps or error.is_final or error.budget not in _CUT_HELPS:
                error.is_final = True  # whoever is around this has no smaller parts
                raise
        budget.back_to(begun)
        cut = enough[0] if enough else smaller[-1]


def _evaluated(parts: list[Callable[[], V]], budget: Budget) -> list[V]:
    """Return the values of parts; of each only these count once it is there."""
    if len(parts) == 1:
        return [parts[0]()]
    values = []
    for part in parts:
        begun = budget.mark()
        value = part()
        budget.back_to(begun)
        budget.spend(_cells(value))
        values.append(value)
    return values


def _cells(value: Value) -> int:
    return value.values.size if isinstance(value, Vector) else 0


def _one_after_the_other(parts: Sequence[Value], grid: Grid, budget: Budget) -> Value:
    match parts[0]:
        case Scalar():
            return Scalar(np.concatenate([part.values for part in parts if isinstance(part, Scalar)]))
        case Vector():
            return _joined([part for part in parts if isinstance(part, Vector)], grid, budget)
        case _:
            return parts[0]


def _joined(parts: Sequence[Vector], grid: Grid, budget: Budget) -> Vector:
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


def _below_each_other(parts: Sequence[Vector]) -> Vector:
    histograms = None
    if any(part.histograms is not None for part in parts):
        histograms = np.concatenate([_histograms(part) for part in parts])
    return Vector(
        [labels for part in parts for labels in part.labels],
        np.concatenate([part.values for part in parts]),
        np.concatenate([part.present for part in parts]),
        np.concatenate([part.unnamed for part in parts]),
        histograms,
    )


def _histograms(vector: Vector) -> Objects:
    return np.full(vector.values.shape, None, dtype=object) if vector.histograms is None else vector.histograms
