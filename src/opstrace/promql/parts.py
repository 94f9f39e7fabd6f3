"""What is more than a query may hold at once is evaluated in parts: some steps at a time, or some series.

No step of a query knows of another, and no series does inside of a range function. So a query may look at more
samples than fit in memory, and at series of which few live at the same time.
"""

import math
from collections.abc import Callable, Collection, Iterable, MutableMapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np

from opstrace.errors import BudgetExceeded
from opstrace.promql.annotations import Annotations
from opstrace.promql.collected import Collector, RowsOfAll, StepsOfAll
from opstrace.promql.values import Grid, Value
from opstrace.store.backend import WHOLE, Portion
from opstrace.store.budget import Budget

# Into how many parts an expression is cut where fewer were too large.
CUTS = (1, 4, 16, 64)
# What parts of the steps read together, as a multiple of what the whole would: windows reach into the parts before.
MAX_READ_AGAIN = 4
# Budgets that take less of each part.
_OF_SERIES = frozenset(("samples", "tenant_samples", "memory"))
_OF_STEPS = _OF_SERIES | {"series"}


@dataclass(frozen=True, slots=True)
class Part:
    """What of an expression is evaluated at once."""

    of_steps: int = 1  # into how many parts the steps are cut
    is_smallest: bool = False  # whether no smaller ones will be tried
    portion: Portion = WHOLE  # of the series of a selector

    @property
    def is_all(self) -> bool:
        """Whether that is everything."""
        return self.of_steps == 1 and self.portion.is_all


EVERYTHING = Part()


@dataclass(frozen=True, slots=True)
class Attempts:
    """What attempts of one query have in common."""

    budget: Budget
    annotations: Annotations
    portions: MutableMapping[int, int] = field(default_factory=dict)  # those that were enough, by place in the query


def in_steps(
    evaluate: Callable[[Grid, Part], Value], grid: Grid, reach_ms: float, around: Part, attempts: Attempts
) -> Value:
    """Return the value of an expression that sees `reach_ms` before each step of a grid, itself part of something.

    Raises BudgetExceeded where no cut of the steps helps.
    """
    cuts = [cut for cut in CUTS if _pays(cut, grid, reach_ms)]

    def parts_of(cut: int) -> Iterable[Callable[[], Value]]:
        part = Part(around.of_steps * cut, is_smallest=cut == cuts[-1])
        return (partial(evaluate, Grid(times), part) for times in np.array_split(grid.times, cut))

    return _Cutting(cuts, _OF_STEPS, StepsOfAll, parts_of, attempts).value()[0]


def in_portions(evaluate: Callable[[Part], Value], part: Part, place: int, attempts: Attempts) -> Value:
    """Return the value, on the steps of a part, of a node that computes each of its series from one series alone.

    Raises BudgetExceeded where no cut of the series helps, or where smaller parts of the steps are to be tried first.
    """

    def parts_of(cut: int) -> Iterable[Callable[[], Value]]:
        return (partial(evaluate, replace(part, portion=Portion(number, cut))) for number in range(cut))

    if not part.is_smallest:
        return evaluate(part)
    cuts = [cut for cut in CUTS if cut >= attempts.portions.get(place, 1)]
    value, attempts.portions[place] = _Cutting(cuts, _OF_SERIES, RowsOfAll, parts_of, attempts, alone=True).value()
    return value


def _pays(cut: int, grid: Grid, reach_ms: float) -> bool:
    if cut == 1 or cut > grid.steps or math.isinf(reach_ms):
        return cut == 1
    span = int(grid.times[-1] - grid.times[0])
    return cut * reach_ms + span <= MAX_READ_AGAIN * (reach_ms + span)


@dataclass(frozen=True, slots=True)
class _Cutting:
    """How an expression is cut."""

    cuts: Sequence[int]
    helped: Collection[str]  # budgets of which a part takes less
    collector: Callable[[Budget], Collector]
    parts_of: Callable[[int], Iterable[Callable[[], Value]]]
    attempts: Attempts
    alone: bool = False  # whether nothing else makes the smallest parts smaller

    def value(self) -> tuple[Value, int]:
        """Return the value, by the largest parts that fit, and into how many it was cut."""
        budget, annotations = self.attempts.budget, self.attempts.annotations
        begun, told, cut = budget.mark(), annotations.mark(), self.cuts[0]
        while True:
            kept, is_whole = begun, False
            collector = self.collector(budget)
            try:
                for part in self.parts_of(cut):
                    if cut == 1:
                        return part(), cut
                    value = part()
                    budget.back_to(kept)
                    collector.add(value)
                    kept = budget.mark()
                is_whole = True
                return collector.whole(), cut
            except BudgetExceeded as error:
                following = self._following(cut, error)
                if following is None:
                    # Whoever is around this has no smaller parts, but fewer, where all together are too much.
                    held = kept[0] - begun[0]
                    fits = is_whole or (held and error.excess * budget.max_samples - held <= budget.max_samples)
                    error.is_final = error.is_final or not fits
                    raise
                cut = following
            del collector
            budget.back_to(begun)
            annotations.back_to(told)

    def _following(self, cut: int, error: BudgetExceeded) -> int | None:
        """Return the cut to try next, if there is one that may help."""
        if error.is_final or error.budget not in self.helped:
            return None
        smaller = [one for one in self.cuts if one > cut]
        enough = [one for one in smaller if one >= cut * error.excess]
        if enough:
            return enough[0]
        return smaller[-1] if smaller and not self.alone else None
