"""Samples of stored series, put in order without looking at each: a part of the store has its own in order already.

A run is what one part has of one series. Runs are copied whole, as texts of Arrow's: numpy would gather row by row.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from opstrace.store.traits import Traits

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows of `samples`, as they came or in the order of series and time; those of a tenant."""

    series: "NDArray[np.uint64]"
    times_ms: "Ints"
    values: "NDArray[np.float64]"
    commits: "NDArray[np.uint64]"  # empty unless each row is there once

    @classmethod
    def of(cls, table: pa.Table) -> "Rows":
        """Take the columns of a query's result; several chunks become one array here, once."""
        commits = table["commit"].to_numpy() if "commit" in table.column_names else np.zeros(0, dtype=np.uint64)
        return cls(table["series"].to_numpy(), table["time_ms"].to_numpy(), table["value"].to_numpy(), commits)

    def ordered(self) -> "Rows":
        """Sort row by row."""
        places = np.lexsort((self.times_ms, self.series))
        commits = self.commits[places] if len(self.commits) else self.commits
        return Rows(self.series[places], self.times_ms[places], self.values[places], commits)

    def starts_of_runs(self) -> "Ints":
        """Return where a row does not follow on the one before."""
        breaks = self.series[1:] != self.series[:-1]
        breaks |= self.times_ms[1:] <= self.times_ms[:-1]
        return np.append(0, np.flatnonzero(breaks) + 1)[: len(self.series)]


@dataclass(frozen=True)
class Samples:
    """Samples by series, ragged: those of series i are `offsets[i]:offsets[i + 1]`, their times ascend strictly."""

    series: "NDArray[np.uint64]"  # ascending
    offsets: "Ints"  # series + 1
    times_ms: "Ints"
    values: "NDArray[np.float64]"

    @classmethod
    def of(cls, rows: Rows) -> "Samples | None":
        """Put rows in order; None where a series has two samples of one time, as after a payload sent twice."""
        found = cls._of_rows(rows)
        # Where runs lie over each other, parts hold what came late.
        return cls._of_rows(rows.ordered()) if found is None else found

    @classmethod
    def _of_rows(cls, rows: Rows) -> "Samples | None":
        starts = rows.starts_of_runs()
        return cls._of_runs(rows.series[starts], starts, rows.times_ms, rows.values)

    @classmethod
    def _of_runs(
        cls, heads: "NDArray[np.uint64]", starts: "Ints", times_ms: "Ints", values: "NDArray[np.float64]"
    ) -> "Samples | None":
        """Put runs in order; None where two of a series lie over each other."""
        ends = np.append(starts[1:], len(times_ms))[: len(starts)]
        order = np.lexsort((times_ms[starts], heads))
        heads, firsts, lasts = heads[order], times_ms[starts][order], times_ms[ends - 1][order]
        changes = heads[1:] != heads[:-1]
        if not (changes | (firsts[1:] > lasts[:-1])).all():
            return None
        begins = np.append(0, np.cumsum((ends - starts)[order]))
        leads = np.append(True, changes)[: len(heads)]
        offsets = np.append(begins[:-1][leads], begins[-1])
        if (order[1:] > order[:-1]).all():
            return cls(heads[leads], offsets, times_ms, values)
        times_ms, values = (slices(column, starts, ends, order) for column in (times_ms, values))
        return cls(heads[leads], offsets, times_ms, values)

    @cached_property
    def traits(self) -> Traits:
        """What holds of all of them together."""
        return Traits(self.offsets, self.times_ms, self.values)

    @property
    def nbytes(self) -> int:
        """What the arrays take."""
        return self.series.nbytes + self.offsets.nbytes + self.times_ms.nbytes + self.values.nbytes

    def within(self, start_ms: int, end_ms: int) -> "Samples":
        """Return the samples from start to end, both included, and the series that have some."""
        if not len(self.series):
            return self
        starts, ends = self.offsets[:-1], self.offsets[1:]
        if (self.times_ms[starts] >= start_ms).all() and (self.times_ms[ends - 1] <= end_ms).all():
            return self
        starts, ends = self._places(start_ms), self._places(end_ms + 1)
        kept = ends > starts
        starts, ends = starts[kept], ends[kept]
        order = np.arange(len(starts))
        times_ms, values = (slices(column, starts, ends, order) for column in (self.times_ms, self.values))
        return Samples(self.series[kept], np.append(0, np.cumsum(ends - starts)), times_ms, values)

    def _places(self, moment_ms: int) -> "Ints":
        """Return for each series where its first sample at or after a moment is: a binary search in all at once."""
        low, high = self.offsets[:-1].copy(), self.offsets[1:].copy()
        while (searching := low < high).any():
            middle = (low + high) // 2
            before = searching & (np.take(self.times_ms, middle, mode="clip") < moment_ms)
            low[before] = middle[before] + 1
            after = searching & ~before
            high[after] = middle[after]
        return low

    def followed_by(self, later: "Samples") -> "Samples":
        """Return these and later ones; all of these are before all of the later ones."""
        if not len(later.series):
            return self
        found = Samples._of_runs(
            np.concatenate([self.series, later.series]),
            np.concatenate([self.offsets[:-1], later.offsets[:-1] + self.offsets[-1]]),
            np.concatenate([self.times_ms, later.times_ms]),
            np.concatenate([self.values, later.values]),
        )
        if found is None:
            raise ValueError("the later samples are not later")
        return found


def slices(column: "NDArray[Any]", starts: "Ints", ends: "Ints", order: "Ints") -> "NDArray[Any]":
    """Return slices of a column one behind the other, in some order; their bounds ascend."""
    if not len(starts):
        return column[:0]
    # Every other text of the array is a slice, those between are what is left out.
    bounds = np.stack([starts, ends], axis=1).ravel() * column.itemsize
    texts = pa.LargeBinaryArray.from_buffers(
        pa.large_binary(), len(bounds) - 1, [None, pa.py_buffer(bounds), pa.py_buffer(column)]
    )
    copied: NDArray[Any] = np.frombuffer(texts.take(pa.array(2 * order)).buffers()[2], column.dtype)
    return copied[: int((ends - starts).sum())]
