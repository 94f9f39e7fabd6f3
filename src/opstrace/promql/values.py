"""What expressions evaluate to: arrays over series × steps.

Presence is a mask of its own: where `present` is false the value means nothing, and NaN is a value like any other.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from opstrace.store.backend import Block, Labels
from opstrace.store.histogram import NativeHistogram

Floats: TypeAlias = NDArray[np.float64]
Ints: TypeAlias = NDArray[np.int64]
Bools: TypeAlias = NDArray[np.bool_]
Objects: TypeAlias = NDArray[np.object_]


@dataclass(frozen=True, slots=True)
class Grid:
    """The moments an expression is evaluated at, ascending milliseconds."""

    times: Ints

    @property
    def steps(self) -> int:
        """How many there are."""
        return len(self.times)

    @property
    def step_ms(self) -> int:
        """The distance between neighbours when all are the same, else 0."""
        if len(self.times) < 2:
            return 0
        distances = np.diff(self.times)
        return int(distances[0]) if (distances == distances[0]).all() else 0


@dataclass(frozen=True, slots=True)
class Vector:
    """An instant vector at every step.

    `unnamed` marks series whose metric name an operation took away: the name stays for matching and grouping and
    goes when the result is handed out, so that functions may still read it.
    """

    labels: Sequence[Labels]  # one a series
    values: Floats  # series × steps
    present: Bools  # series × steps
    unnamed: Bools  # series
    histograms: Objects | None = None  # series × steps; where one stands, it is the value

    @property
    def series(self) -> int:
        """How many series there are."""
        return len(self.labels)

    @property
    def steps(self) -> int:
        """How many steps there are."""
        return int(self.values.shape[1])

    @property
    def floats(self) -> Bools:
        """Where the value is a float."""
        return self.present if self.histograms is None else self.present & ~filled(self.histograms)

    @property
    def inhabited(self) -> Bools:
        """Which series have a sample at any step."""
        there: Bools = np.logical_or.reduce(self.present, axis=1)
        return there

    def sample(self, row: int, step: int) -> float | NativeHistogram:
        """Return one cell."""
        histogram = None if self.histograms is None else self.histograms[row, step]
        return float(self.values[row, step]) if histogram is None else histogram

    def rows(self, index: Ints | Bools) -> "Vector":
        """Return these series, in this order."""
        chosen = np.flatnonzero(index) if index.dtype == np.bool_ else index
        if np.array_equal(chosen, np.arange(self.series)):
            return self
        return Vector(
            [self.labels[i] for i in chosen.tolist()],
            self.values[chosen],
            self.present[chosen],
            self.unnamed[chosen],
            None if self.histograms is None else self.histograms[chosen],
        )


@dataclass(frozen=True, slots=True)
class Scalar:
    """A number at every step."""

    values: Floats  # steps


@dataclass(frozen=True, slots=True)
class String:
    """A string, the same at every step."""

    text: str


@dataclass(frozen=True, slots=True)
class Reach:
    """How far an anchored or smoothed selector looks around its windows, and whether it interpolates."""

    smoothed: bool
    lookback_ms: int

    @property
    def ahead_ms(self) -> int:
        """How far behind a window's end samples count."""
        return self.lookback_ms if self.smoothed else 0


@dataclass(frozen=True, slots=True)
class Matrix:
    """A range vector: samples, and which of them each step sees: those within (start, end]."""

    block: Block
    unnamed: Bools  # series
    starts: Ints  # ms, one a step
    ends: Ints  # ms, one a step
    times: Ints  # the moments of evaluation
    reach: Reach | None = None  # of an anchored or smoothed selector

    @property
    def range_s(self) -> float:
        """The length of the windows in seconds."""
        return float(self.ends[0] - self.starts[0]) / 1000


Value: TypeAlias = Vector | Scalar | String | Matrix


def filled(objects: Objects) -> Bools:
    """Return where there is anything but None."""
    anything: Any = None
    there: Bools = np.not_equal(objects, anything).astype(np.bool_)
    return there


def empty_vector(steps: int) -> Vector:
    """Return a vector without series."""
    return Vector([], np.empty((0, steps)), np.empty((0, steps), dtype=bool), np.empty(0, dtype=bool))


def stacked(vectors: Sequence[Vector]) -> Vector:
    """Return the series of several vectors as one, in order."""
    if len(vectors) == 1:
        return vectors[0]
    histograms = None
    if any(vector.histograms is not None for vector in vectors):
        empty = [
            np.full(vector.values.shape, None, dtype=object) if vector.histograms is None else vector.histograms
            for vector in vectors
        ]
        histograms = np.concatenate(empty)
    return Vector(
        [labels for vector in vectors for labels in vector.labels],
        np.concatenate([vector.values for vector in vectors]),
        np.concatenate([vector.present for vector in vectors]),
        np.concatenate([vector.unnamed for vector in vectors]),
        histograms,
    )
