"""What all nodes of one query part while it is evaluated."""

from dataclasses import dataclass

from opstrace.promql import mixed
from opstrace.promql.annotations import Annotations
from opstrace.promql.parts import EVERYTHING, Attempts, Part
from opstrace.promql.plan import Bounds
from opstrace.promql.tree import Node
from opstrace.store.backend import Labels, Querier
from opstrace.store.budget import Budget


@dataclass(frozen=True, slots=True)
class Context:
    """What all nodes of one query share."""

    querier: Querier
    budget: Budget
    bounds: Bounds
    lookback_ms: int
    subquery_step_ms: int
    annotations: Annotations
    attempts: Attempts
    totals: bool | None = None  # whether histograms are read without their buckets; False: nothing below may
    one_moment: bool = False  # whether it begins and ends at one: a subquery's last step may be before its end
    part: Part = EVERYTHING

    def telling(self, node: Node, labels: Labels | None = None) -> mixed.Telling:
        """Return whom to tell about histograms that a node cannot work with, those of a series for example."""
        return mixed.Telling(self.annotations, node, self.budget, mixed.metric_of(labels or {}))
