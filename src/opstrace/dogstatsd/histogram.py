"""What an Agent makes of the samples of a histogram in one bucket: a few numbers, each a series of its own.

dogstatsd-and-sketches.md, section 5; weights are those of the newest Agents (G3 there): 1/rate, not truncated.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from opstrace.config import Dogstatsd

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

BUCKET_S: Final = 10


@dataclass(frozen=True, slots=True)
class Samples:
    """The samples of one bucket, ascending, with how many samples each stands for."""

    values: "Floats"
    weights: "Floats"
    count: float  # how many samples they stand for
    sum: float  # of what they stand for; NaN beyond all doubles

    @classmethod
    def of(cls, values: "Floats", weights: "Floats") -> "Samples":
        """Take samples as they came."""
        order = np.argsort(values, kind="stable")
        with np.errstate(over="ignore"):
            weighted = values * weights
        return cls(values[order], weights[order], math.fsum(weights.tolist()), _sum(weighted.tolist()))

    def above(self, target: float) -> float:
        """Return the first sample whose running weight is above a target."""
        place = int(np.searchsorted(np.cumsum(self.weights), target, side="right"))
        return float(self.values[min(place, len(self.values) - 1)])


@dataclass(frozen=True, slots=True)
class Aggregate:
    """One series of a histogram: what its name ends in, its type, and what it says of samples."""

    suffix: str
    type: str
    of: Callable[[Samples], float]


_AGGREGATES: Final = {
    "max": Aggregate("max", "gauge", lambda samples: float(samples.values[-1])),
    "min": Aggregate("min", "gauge", lambda samples: float(samples.values[0])),
    "median": Aggregate("median", "gauge", lambda samples: samples.above((samples.count - 1) / 2)),
    "avg": Aggregate("avg", "gauge", lambda samples: samples.sum / samples.count),
    "sum": Aggregate("sum", "gauge", lambda samples: samples.sum),
    "count": Aggregate("count", "rate", lambda samples: samples.count / BUCKET_S),
}


def aggregates(settings: Dogstatsd) -> list[Aggregate]:
    """Return the series that a histogram becomes."""
    named = [_AGGREGATES[name] for name in settings.histogram_aggregates]
    return [*named, *(_percentile(percent) for percent in _percents(settings))]


def suffixes(settings: Dogstatsd) -> Iterator[str]:
    """Yield what the names of a histogram's series end in."""
    yield from (aggregate.suffix for aggregate in aggregates(settings))


def _percents(settings: Dogstatsd) -> list[int]:
    """Return percentiles as whole numbers: "0.999" is the hundredth."""
    return sorted({int(100 * float(text) + 0.5) for text in settings.histogram_percentiles})


def _percentile(percent: int) -> Aggregate:
    return Aggregate(
        f"{percent}percentile", "gauge", lambda samples: samples.above((percent * samples.count - 1) / 100)
    )


def _sum(terms: Sequence[Any]) -> float:
    try:
        return math.fsum(terms)
    except (OverflowError, ValueError):  # beyond all doubles on the way, or infinities of both signs
        return math.nan
