"""What a query wants its author to know besides the result: warnings and remarks, each once."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from opstrace.promql.numbers import short
from opstrace.promql.tokens import position
from opstrace.promql.tree import Node
from opstrace.promql.values import Floats

_LIFTED = (
    "input to histogram_quantile needed to be fixed for monotonicity"
    " (see https://prometheus.io/docs/prometheus/latest/querying/functions/#histogram_quantile)"
)


@dataclass(frozen=True, slots=True)
class Lifted:
    """Samples of classic histograms whose counts fell from one bucket to the next, and so had to be lifted."""

    samples: int
    first_ms: int
    last_ms: int
    lowest: float  # bound of a lifted bucket
    highest: float  # bound of a lifted bucket
    most: float  # by which one was lifted

    def and_also(self, other: "Lifted") -> "Lifted":
        """Return both, summed up as one."""
        return Lifted(
            self.samples + other.samples,
            min(self.first_ms, other.first_ms),
            max(self.last_ms, other.last_ms),
            min(self.lowest, other.lowest),
            max(self.highest, other.highest),
            max(self.most, other.most),
        )

    def __str__(self) -> str:
        most = short(self.most) if math.isinf(self.most) else f"{self.most:.2g}"
        first, last = (f"{np.datetime64(int(moment / 1000), 's')}Z" for moment in (self.first_ms, self.last_ms))
        return (
            f"from buckets {short(self.lowest)} to {short(self.highest)}, with a max diff of {most},"
            f" over {self.samples} samples from {first} to {last}"
        )


@dataclass(slots=True)
class Annotations:
    """Collects while one query is evaluated; texts are Prometheus's (util/annotations/annotations.go).

    What is said of several places is said of the last of them.
    """

    query: str
    _warnings: dict[str, Node] = field(default_factory=dict)
    _infos: dict[str, Node] = field(default_factory=dict)
    _lifted: dict[str, tuple[Node, Lifted]] = field(default_factory=dict)

    def mark(self) -> tuple[dict[str, Node], dict[str, Node], dict[str, tuple[Node, Lifted]]]:
        """Return what is told so far."""
        return {**self._warnings}, {**self._infos}, {**self._lifted}

    def back_to(self, mark: tuple[dict[str, Node], dict[str, Node], dict[str, tuple[Node, Lifted]]]) -> None:
        """Forget what was told since."""
        self._warnings, self._infos, self._lifted = ({**told} for told in mark)  # type: ignore[assignment]

    def warn(self, message: str, node: Node) -> None:
        """Add a warning about what stands at this node."""
        self._warnings[message] = node

    def info(self, message: str, node: Node) -> None:
        """Add a remark about what stands at this node."""
        self._infos[message] = node

    def warn_of_quantiles(self, quantiles: Floats, node: Node) -> None:
        """Warn of quantiles that are none."""
        wrong = quantiles[~((quantiles >= 0) & (quantiles <= 1))]
        self.warn_of_numbers("quantile value should be between 0 and 1", wrong, node)

    def warn_of_numbers(self, message: str, wrong: Floats, node: Node) -> None:
        """Warn of each of these numbers once."""
        for number in np.unique(wrong).tolist():
            self.warn(f"{message}, got {short(number)}", node)

    def tell_of_lifted(self, metric: str, lifted: Lifted, node: Node) -> None:
        """Tell of histograms that had to be mended; of each metric once, of the first place."""
        message = for_metric(_LIFTED, metric)
        place, known = self._lifted.get(message, (node, None))
        self._lifted[message] = place, known.and_also(lifted) if known else lifted

    @property
    def warnings(self) -> tuple[str, ...]:
        """The warnings, with their places."""
        return self._spelled("warning", self._warnings)

    @property
    def infos(self) -> tuple[str, ...]:
        """The remarks, with their places."""
        lifted = {f"{message}, {lifted}": node for message, (node, lifted) in self._lifted.items()}
        return self._spelled("info", self._infos | lifted)

    def _spelled(self, kind: str, nodes: Mapping[str, Node]) -> tuple[str, ...]:
        return tuple(
            f"PromQL {kind}: {message} ({position(self.query, node.start)})" for message, node in nodes.items()
        )


def for_metric(message: str, name: str) -> str:
    """Return a message with the metric's name, if it has one."""
    return f'{message} for metric name "{name}"' if name else message
