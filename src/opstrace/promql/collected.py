"""Values of parts of an expression, put together as they come: some steps at a time, or some series."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from sys import getsizeof
from typing import Protocol

import numpy as np

from opstrace.promql.values import Bools, Floats, Ints, Objects, Scalar, String, Value, Vector, filled, stacked
from opstrace.store.backend import Labels
from opstrace.store.budget import Budget

# What a row takes beside its cells and the texts of its labels: a dictionary, and the key that it is known by.
_BYTES_A_ROW = 2_000
# Rows between two looks at the clock.
_ROWS_AT_ONCE = 1_000


class Collector(Protocol):
    """Takes values one by one; what it holds is accounted for."""

    def add(self, value: Value) -> None:
        """Take the next one."""
        ...

    def whole(self) -> Value:
        """Return all of them as one; of what was accounted for, that which it takes stays so."""
        ...


@dataclass(slots=True)
class _Held:
    """What values take."""

    budget: Budget
    buckets: int = 0
    histograms: int = 0
    label_bytes: int = 0

    def cells(self, vector: Vector) -> None:
        """Account for a vector's cells."""
        self.budget.spend(vector.values.size)
        if vector.histograms is not None:
            sizes = [one.size for one in vector.histograms[filled(vector.histograms)].tolist()]
            self.budget.spend_buckets(sum(sizes), len(sizes))
            self.buckets += sum(sizes)
            self.histograms += len(sizes)

    def labels(self, labels: Labels) -> None:
        """Account for a label set."""
        size = _BYTES_A_ROW + sum(map(getsizeof, labels.values()))
        self.budget.hold(size)
        self.label_bytes += size

    def instead(self, begun: tuple[int, int], cells: int) -> None:
        """Account for the cells of the whole instead of those of its parts."""
        self.budget.back_to(begun)
        self.budget.spend(cells)
        self.budget.spend_buckets(self.buckets, self.histograms)
        self.budget.hold(self.label_bytes)


@dataclass(frozen=True, slots=True)
class _Stretch:
    """Some steps of some rows."""

    rows: Ints
    values: Floats
    present: Bools
    histograms: Objects | None


class StepsOfAll(Collector):
    """Some steps of all series after the other."""

    def __init__(self, budget: Budget) -> None:
        self._begun = budget.mark()
        self._budget = budget
        self._held = _Held(budget)
        self._scalars: list[Floats] = []
        self._text: String | None = None
        self._rows = _Rows(self._held)
        self._stretches: list[_Stretch] = []

    def add(self, value: Value) -> None:
        """Take the value of the next steps."""
        match value:
            case Scalar(values=values):
                self._scalars.append(values)
            case Vector():
                vector = value.rows(value.inhabited)
                self._held.cells(vector)
                rows = np.fromiter(self._rows.of(vector), np.int64, vector.series)
                self._stretches.append(_Stretch(rows, vector.values, vector.present, vector.histograms))
            case String():
                self._text = value
            case _:
                raise AssertionError("a range vector has no steps")

    def whole(self) -> Value:
        """Return the value of all steps."""
        if self._text is not None:
            return self._text
        return Scalar(np.concatenate(self._scalars)) if self._scalars else self._vector()

    def _vector(self) -> Vector:
        shape = (len(self._rows.labels), sum(one.values.shape[1] for one in self._stretches))
        self._budget.spend(shape[0] * shape[1])
        values, present = np.zeros(shape), np.zeros(shape, dtype=bool)
        histograms = None
        if any(one.histograms is not None for one in self._stretches):
            histograms = np.full(shape, None, dtype=object)
        first = 0
        for one in self._stretches:
            columns = slice(first, first + one.values.shape[1])
            values[one.rows, columns], present[one.rows, columns] = one.values, one.present
            if histograms is not None and one.histograms is not None:
                histograms[one.rows, columns] = one.histograms
            first = columns.stop
        self._held.instead(self._begun, values.size)
        return Vector(self._rows.labels, values, present, np.array(self._rows.unnamed, dtype=bool), histograms)


class _Rows:
    """Which row a series is: the one of the same labels and, where several of a vector have them, of the same place.

    Labels whose name is gone are others: what a name was taken from is merged when it is handed out.
    """

    def __init__(self, held: _Held) -> None:
        self.labels: list[Labels] = []
        self.unnamed: list[bool] = []
        self._held = held
        self._known: dict[tuple[int, bool], int] = {}  # label sets that are kept, by their identity
        self._sets: dict[tuple[frozenset[tuple[str, str]], bool], int] = {}
        self._rows: dict[tuple[int, int], int] = {}

    def of(self, vector: Vector) -> Iterator[int]:
        """Yield the rows of a vector's series."""
        seen: Counter[int] = Counter()
        for number, (labels, unnamed) in enumerate(zip(vector.labels, vector.unnamed.tolist(), strict=True)):
            if number % _ROWS_AT_ONCE == 0:
                self._held.budget.check()
            which = self._which(labels, unnamed=unnamed)
            row = self._rows.setdefault((which, seen[which]), len(self.labels))
            seen[which] += 1
            if row == len(self.labels):
                self._held.labels(labels)
                self.labels.append(labels)
                self.unnamed.append(unnamed)
                self._known.setdefault((id(labels), unnamed), which)
            yield row

    def _which(self, labels: Labels, *, unnamed: bool) -> int:
        known = self._known.get((id(labels), unnamed))
        if known is not None:
            return known
        return self._sets.setdefault((frozenset(labels.items()), unnamed), len(self._sets))


class RowsOfAll(Collector):
    """All steps of some series below the other."""

    def __init__(self, budget: Budget) -> None:
        self._begun = budget.mark()
        self._held = _Held(budget)
        self._parts: list[Vector] = []

    def add(self, value: Value) -> None:
        """Take the next series."""
        assert isinstance(value, Vector)
        self._held.cells(value)
        self._parts.append(value)

    def whole(self) -> Vector:
        """Return all series."""
        whole = stacked(self._parts)
        self._held.instead(self._begun, whole.values.size)
        return whole
