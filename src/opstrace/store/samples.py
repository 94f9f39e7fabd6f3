"""Samples of stored series, put in order without looking at each: a part of the store has its own in order already.

A run is what one part has of one series. Runs are copied whole, as texts of Arrow's: numpy would gather row by row.
Beside the samples themselves there is never more in memory than one more copy of one column.
"""

from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from opstrace.ragged import places
from opstrace.store.traits import Traits, are_shared, common_times, each_time

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Ints = NDArray[np.int64]


class _Column:
    """An array that grows; pages of it that hold nothing yet cost nothing."""

    def __init__(self, dtype: "np.dtype[Any]") -> None:
        self._room: NDArray[Any] = np.empty(_FIRST_ROOM, dtype)
        self._length = 0

    def extend(self, values: "NDArray[Any]") -> None:
        length = self._length + len(values)
        if length > len(self._room):
            # Copying is there twice, but of a column only, and of a quarter of the room.
            room = np.empty(max(4 * len(self._room), length), self._room.dtype)
            room[: self._length] = self._room[: self._length]
            self._room = room
        self._room[self._length : length] = values
        self._length = length

    def taken(self) -> "NDArray[Any]":
        """Return the array, which is no longer here then."""
        room, length = self._room, self._length
        self._room, self._length = np.empty(0, room.dtype), 0
        return room[:length]


_FIRST_ROOM = 1 << 16  # rows
_ROWS_AT_ONCE = 1 << 18  # that are looked at, so that what is found out about them stays in the processor's cache


class Runs:
    """Rows of `samples` as they come, in runs: of one series, in the order of time."""

    def __init__(self) -> None:
        self._times, self._values = _Column(np.dtype(np.int64)), _Column(np.dtype(np.float64))
        self._heads: list[NDArray[np.uint64]] = []
        self._starts: list[Ints] = []
        self.rows = 0

    def add(self, batch: pa.RecordBatch) -> None:
        """Take rows of a query's result."""
        if not batch.num_rows:
            return
        series, times_ms, values = (batch[name].to_numpy() for name in ("series", "time_ms", "value"))
        breaks = series[1:] != series[:-1]
        breaks |= times_ms[1:] <= times_ms[:-1]
        # No run goes on in the next batch: that may be of another part, and the rest of the run come after it.
        starts = np.append(0, np.flatnonzero(breaks) + 1)
        self._heads.append(series[starts])
        self._starts.append(starts + self.rows)
        self._times.extend(times_ms)
        self._values.extend(values)
        self.rows += batch.num_rows

    def samples(self) -> "Samples | None":
        """Put them in order; None where a series has two samples of one time, as after a payload sent twice.

        They are no longer here then.
        """
        heads = np.concatenate([np.zeros(0, dtype=np.uint64), *self._heads])
        starts = np.concatenate([np.zeros(0, dtype=np.int64), *self._starts])
        times_ms, values = self._times.taken(), self._values.taken()
        placed = _Placed.of(heads, starts, times_ms)
        if placed is None:
            heads, starts = _disentangled(heads, starts, times_ms, values)
            placed = _Placed.of(heads, starts, times_ms)
            if placed is None:
                return None
        common = placed.common(times_ms)
        times_ms = placed.column(times_ms) if common is None else common
        return Samples(placed.series, placed.offsets, times_ms, placed.column(values))


def _disentangled(
    heads: "NDArray[np.uint64]", starts: "Ints", times_ms: "Ints", values: "NDArray[np.float64]"
) -> "tuple[NDArray[np.uint64], Ints]":
    """Sort series whose runs lie over each other, as where samples came late, in their rows; return the runs then.

    Two samples of one time are left in runs of their own.
    """
    line = _Line.of(heads, starts, times_ms)
    lengths = line.ends - starts
    late = np.isin(heads, heads[line.order[1:]][line.over])
    rows = np.flatnonzero(np.repeat(late, lengths))
    series = np.repeat(heads[late], lengths[late])
    sorting = np.lexsort((times_ms[rows], series))
    series, times_ms[rows], values[rows] = series[sorting], times_ms[rows][sorting], values[rows][sorting]
    apart = (series[1:] != series[:-1]) | (rows[1:] != rows[:-1] + 1) | (np.diff(times_ms[rows]) <= 0)
    begins = np.append(0, np.flatnonzero(apart) + 1)
    heads, starts = np.append(heads[~late], series[begins]), np.append(starts[~late], rows[begins])
    in_place = np.argsort(starts)
    return heads[in_place], starts[in_place]


@dataclass(frozen=True, slots=True)
class _Line:
    """Runs in the order of their series, and of when they begin."""

    ends: "Ints"  # one a run, as the runs come
    order: "Ints"
    changes: "NDArray[np.bool_]"  # from one to the next in that order: another series
    over: "NDArray[np.bool_]"  # one begins before the one before it ends, which is of its series

    @classmethod
    def of(cls, heads: "NDArray[np.uint64]", starts: "Ints", times_ms: "Ints") -> "_Line":
        """Line runs up."""
        ends = np.append(starts[1:], len(times_ms))[: len(starts)]
        order = np.lexsort((times_ms[starts], heads))
        ordered, firsts, lasts = heads[order], times_ms[starts[order]], times_ms[ends[order] - 1]
        changes = ordered[1:] != ordered[:-1]
        return cls(ends, order, changes, ~changes & (firsts[1:] <= lasts[:-1]))


@dataclass(frozen=True, slots=True)
class _Placed:
    """Where runs belong, those of a series one behind the other."""

    series: "NDArray[np.uint64]"  # ascending
    offsets: "Ints"  # series + 1
    starts: "Ints"  # one a run
    ends: "Ints"  # one a run
    order: "Ints | None"  # of the runs; none where they are in place

    @classmethod
    def of(cls, heads: "NDArray[np.uint64]", starts: "Ints", times_ms: "Ints") -> "_Placed | None":
        """Place runs by their series and when they begin; None where two of a series lie over each other."""
        line = _Line.of(heads, starts, times_ms)
        if line.over.any():
            return None
        ends, order = line.ends, line.order
        begins = places((ends - starts)[order])
        leads = np.append(True, line.changes)[: len(heads)]
        offsets = np.append(begins[:-1][leads], begins[-1])
        in_place = bool((order[1:] > order[:-1]).all())
        return cls(heads[order][leads], offsets, starts, ends, None if in_place else order)

    def common(self, times_ms: "Ints") -> "Ints | None":
        """Return the times of each series if they are the same for all, and these are several."""
        each = int(self.offsets[1]) if len(self.series) > 1 else 0
        if not each or (np.diff(self.offsets) != each).any():
            return None
        # Where in its series each run begins, in the order of the rows; the first series has the times.
        order = np.arange(len(self.starts)) if self.order is None else self.order
        lengths = self.ends - self.starts
        begins = np.empty_like(lengths)
        begins[order] = (np.cumsum(lengths[order]) - lengths[order]) % each
        first = order[: int(np.searchsorted(np.cumsum(lengths[order]), each)) + 1]
        common = slices(times_ms, self.starts, self.ends, first)
        shifts = self.starts - begins
        for rows in range(0, len(times_ms), _ROWS_AT_ONCE):
            stop = min(rows + _ROWS_AT_ONCE, len(times_ms))
            runs = slice(int(np.searchsorted(self.ends, rows, side="right")), int(np.searchsorted(self.starts, stop)))
            parts = np.minimum(self.ends[runs], stop) - np.maximum(self.starts[runs], rows)
            if (common[np.arange(rows, stop) - np.repeat(shifts[runs], parts)] != times_ms[rows:stop]).any():
                return None
        return common

    def column(self, column: "NDArray[Any]") -> "NDArray[Any]":
        """Return a column with the runs in their places."""
        return column.copy() if self.order is None else slices(column, self.starts, self.ends, self.order)


@dataclass(frozen=True)
class Samples:
    """Samples by series, ragged: those of series i are `offsets[i]:offsets[i + 1]`, their times ascend strictly."""

    series: "NDArray[np.uint64]"  # ascending
    offsets: "Ints"  # series + 1
    times_ms: "Ints"  # one a sample; or those of one series, where all share them
    values: "NDArray[np.float64]"

    @property
    def share_times(self) -> bool:
        """Whether all series were sampled at the same moments, and these are there once."""
        return are_shared(self.times_ms, self.values)

    @property
    def each_time_ms(self) -> "Ints":
        """The time of each sample."""
        return each_time(self.times_ms, self.values, len(self.series))

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
        if self.share_times:
            first, last = np.searchsorted(self.times_ms, (start_ms, end_ms + 1)).tolist()
            return self._columns(first, last)
        starts, ends = self.offsets[:-1], self.offsets[1:]
        if (self.times_ms[starts] >= start_ms).all() and (self.times_ms[ends - 1] <= end_ms).all():
            return self
        starts, ends = self._places(start_ms), self._places(end_ms + 1)
        kept = ends > starts
        return self._cut(self.series[kept], starts[kept], ends[kept])

    def of(self, series: "NDArray[np.uint64]") -> "Samples":
        """Return the samples of some series, ascending; those that have none are left out."""
        if np.array_equal(series, self.series):
            return self
        rows = np.flatnonzero(np.isin(self.series, series))
        if len(rows) == len(self.series):
            return self
        if self.share_times and len(rows):
            values = self.values.reshape(len(self.series), -1)[rows].ravel()
            return Samples(self.series[rows], np.arange(len(rows) + 1) * len(self.times_ms), self.times_ms, values)
        found = self._cut(self.series[rows], self.offsets[:-1][rows], self.offsets[1:][rows])
        common = common_times(found.times_ms, found.offsets) if len(rows) > 1 else None
        return found if common is None else replace(found, times_ms=common.copy())

    def _cut(self, series: "NDArray[np.uint64]", starts: "Ints", ends: "Ints") -> "Samples":
        """Return a slice of the samples for each of these series."""
        order = np.arange(len(starts))
        times_ms, values = (slices(column, starts, ends, order) for column in (self.each_time_ms, self.values))
        return Samples(series, places(ends - starts), times_ms, values)

    def _columns(self, first: int, last: int) -> "Samples":
        """Return the samples from one to another of each series, where they share their times."""
        times_ms = self.times_ms[first:last]
        if len(times_ms) == len(self.times_ms):
            return self
        series = self.series if len(times_ms) else self.series[:0]
        values = np.ascontiguousarray(self.values.reshape(len(self.series), -1)[:, first:last]).ravel()
        return Samples(series, np.arange(len(series) + 1) * len(times_ms), times_ms.copy(), values)

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
        if self.share_times and later.share_times and np.array_equal(self.series, later.series):
            return self._widened(later)
        heads = np.concatenate([self.series, later.series])
        starts = np.concatenate([self.offsets[:-1], later.offsets[:-1] + self.offsets[-1]])
        times_ms = np.concatenate([one.each_time_ms for one in (self, later)])
        placed = _Placed.of(heads, starts, times_ms)
        if placed is None:
            raise ValueError("the later samples are not later")
        times_ms = placed.column(times_ms)
        values = placed.column(np.concatenate([self.values, later.values]))
        return Samples(placed.series, placed.offsets, times_ms, values)

    def _widened(self, later: "Samples") -> "Samples":
        """Return these and later ones of the same series, all of which share their times."""
        if later.times_ms[0] <= self.times_ms[-1]:
            raise ValueError("the later samples are not later")
        rows = [one.values.reshape(len(self.series), -1) for one in (self, later)]
        times_ms = np.concatenate([self.times_ms, later.times_ms])
        offsets = np.arange(len(self.series) + 1) * len(times_ms)
        return Samples(self.series, offsets, times_ms, np.concatenate(rows, axis=1).ravel())


# Bytes of slices that are copied at once: what copies them takes up to four times as many for a moment.
_COPIED_BYTES = 1 << 21


def slices(column: "NDArray[Any]", starts: "Ints", ends: "Ints", order: "Ints") -> "NDArray[Any]":
    """Return slices of a column one behind the other, in some order; their bounds ascend."""
    lengths = (ends - starts)[order]
    copied = np.empty(int(lengths.sum()), column.dtype)
    if not len(copied):
        return copied
    # Every other text of the array is a slice, those between are what is left out.
    bounds = np.stack([starts, ends], axis=1).ravel() * column.itemsize
    texts = pa.LargeBinaryArray.from_buffers(
        pa.large_binary(), len(bounds) - 1, [None, pa.py_buffer(bounds), pa.py_buffer(column)]
    )
    begins = places(lengths)
    cuts = np.searchsorted(begins, np.arange(0, len(copied), _COPIED_BYTES // column.itemsize))
    for first, last in pairwise([*np.unique(cuts[cuts < len(order)]).tolist(), len(order)]):
        part = texts.take(pa.array(2 * order[first:last])).buffers()[2]
        begin, end = int(begins[first]), int(begins[last])
        copied[begin:end] = np.frombuffer(part, column.dtype, end - begin)
    return copied
