"""Sums as exact as Prometheus's: it adds with Neumaier's compensation, and so no bit may be lost on the way here.

Three forms: prefix sums for the overlapping windows of a range function; for groups of series a tree of pairs, and
values in two parts where groups are large.
"""

from collections.abc import Callable, Iterator
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from opstrace.promql.values import Bools, Floats, Ints
from opstrace.promql.windows import Windows

# Values are divided by two to this power where a float cannot hold their sum, but their mean.
ROOM = 64

_T = TypeVar("_T", bound=np.generic)


def window_sums(windows: Windows) -> Floats:
    """Return the sum of each window, series × steps; it owes nothing to samples outside it, nor to other series."""
    clean, largest = windows.values, _largest(windows.values, windows)
    odd = None if np.isfinite(largest).all() else ~np.isfinite(clean)
    if odd is not None:
        clean = np.where(odd, 0.0, clean)
        largest = _largest(clean, windows)
    total, exact = _prefix_differences(clean, largest, windows)
    doubtful = (windows.counts > 0) & ~exact[:, None]
    if odd is not None:
        doubtful |= _differences(odd.astype(np.int64), windows) > 0
    if doubtful.any():
        spread = windows.spread
        total[doubtful] = neumaier(spread.values, spread.first[doubtful], spread.last[doubtful])
    return total


def _prefix_differences(values: Floats, largest: Floats, windows: Windows) -> tuple[Floats, Bools]:
    """Return the windows' sums by prefix sums, and for which series they are exact; `largest` are their magnitudes.

    Each value is cut into slices that are multiples of a quantum so large that no prefix sum of slices needs more
    than 53 bits; then prefix sums and their differences carry no error at all. Three slices hold what is
    left of a value 100 binary digits below the largest of its series; a series with more to it is not exact.
    """
    digits = np.ceil(np.log2(np.maximum(np.diff(windows.offsets), 1))).astype(np.int64) + 1
    exponent = np.frexp(largest)[1] + digits
    exact = fits = exponent < 1020
    rest, slices = values, []
    with np.errstate(over="ignore", invalid="ignore"):
        if not fits.all():
            rest = np.where(_each(fits, windows), values, 0.0)
        for _ in range(3):
            # Adding and taking away this constant rounds to multiples of the quantum, 2**(exponent - 52).
            magic = _each(np.ldexp(1.5, np.minimum(exponent, 1023)), windows)
            part = rest + magic
            part -= magic
            slices.append(part)
            rest = rest - part
            if not rest.any():
                break
            exponent = exponent - 52 + digits
        else:
            exact = fits & (_largest(rest, windows) == 0)
    total = _differences(slices.pop(), windows)
    while slices:
        total += _differences(slices.pop(), windows)
    return total, exact


def _each(per_series: NDArray[_T], windows: Windows) -> NDArray[_T]:
    """Return a value of each series for its samples."""
    return per_series[:, None] if windows.aligned else np.repeat(per_series, np.diff(windows.offsets))


def _largest(values: Floats, windows: Windows) -> Floats:
    """Return the largest magnitude of each series; what is not finite where there is such a value."""
    if windows.aligned:
        largest: Floats = np.maximum(values.max(axis=1, initial=0.0), -values.min(axis=1, initial=0.0))
        return largest
    highest, lowest = (_over_series(operation, values, windows) for operation in (np.maximum, np.minimum))
    return np.maximum(np.abs(highest), np.abs(lowest))


def _over_series(operation: np.ufunc, terms: NDArray[_T], windows: Windows) -> NDArray[_T]:
    """Return an operation over all terms of each series that has bounds of its own; 0 where there are none."""
    filled = np.diff(windows.offsets) > 0
    result = np.zeros(len(filled), dtype=terms.dtype)
    if filled.any():
        result[filled] = operation.reduceat(terms, windows.offsets[:-1][filled])
    return result


def _differences(terms: NDArray[_T], windows: Windows) -> NDArray[_T]:
    """Return the sums of the windows by differences of prefix sums, for terms of which no sum rounds."""
    if windows.aligned:
        prefix = np.zeros((len(terms), terms.shape[1] + 1), dtype=terms.dtype)
        np.cumsum(terms, axis=1, out=prefix[:, 1:])
        aligned: NDArray[_T] = np.take(prefix, windows.last, axis=1) - np.take(prefix, windows.first, axis=1)
        return aligned
    # Before each series the sum of the one before is taken away: what is exact of one is not of another.
    series = np.arange(len(windows.offsets) - 1)
    chain = np.zeros(len(terms) + len(series), dtype=terms.dtype)
    chain[np.arange(len(terms)) + _each(series + 1, windows)] = terms
    chain[windows.offsets[1:-1] + series[1:]] = np.negative(_over_series(np.add, terms, windows)[:-1])
    prefix = np.cumsum(chain)
    sums: NDArray[_T] = prefix[windows.last + series[:, None]] - prefix[windows.first + series[:, None]]
    return sums


def neumaier(values: Floats, first: Ints, last: Ints) -> Floats:
    """Return the compensated sum of each `first:last`, one-dimensional."""
    walk = Walk(first, last)
    total, lost = np.zeros(walk.ranges), np.zeros(walk.ranges)
    with np.errstate(over="ignore", invalid="ignore"):
        for count, index in walk:
            add(total[:count], lost[:count], values[index])
        return walk.restored(compensated(total, lost))


def add(total: Floats, lost: Floats, terms: Floats) -> None:
    """Add terms to running totals in place, collecting what rounding loses (Neumaier)."""
    after = total + terms
    swapped = np.abs(total) < np.abs(terms)
    larger, smaller = np.where(swapped, terms, total), np.where(swapped, total, terms)
    lost += (larger - after) + smaller
    lost[np.isinf(after)] = 0.0
    total[:] = after


def compensated(total: Floats, lost: Floats) -> Floats:
    """Return the sums of `add`; an infinite total stands as it is."""
    return np.where(np.isinf(total), total, total + lost)


class Walk:
    """Goes through many ranges of samples at once, the k-th sample of each range in the k-th turn.

    Ranges are taken longest first, so those that still have samples are always the first `count`.
    """

    def __init__(self, first: Ints, last: Ints) -> None:
        lengths = last - first
        self._order = np.argsort(-lengths, kind="stable")
        self._first = first[self._order]
        self._lengths = lengths[self._order]
        self.ranges = len(first)

    def __iter__(self) -> Iterator[tuple[int, Ints]]:
        longest = int(self._lengths[0]) if self.ranges else 0
        for turn in range(longest):
            count = int(np.searchsorted(-self._lengths, -turn, side="left"))
            yield count, self._first[:count] + turn

    def ordered(self, per_range: NDArray[_T]) -> NDArray[_T]:
        """Return values given one a range, in the order of the walk."""
        return per_range[self._order]

    def restored(self, walked: NDArray[_T]) -> NDArray[_T]:
        """Return values in the order of the walk as one a range, in the order the ranges were given."""
        result = np.empty_like(walked)
        result[self._order] = walked
        return result


def group_sums(rows: Floats, starts: Ints) -> Floats:
    """Return the sum down each run of rows that begins at `starts`; groups × steps. Absent cells must be 0."""
    if len(rows) >= _MANY_ROWS * len(starts):
        return _split_sums(rows, starts)
    result = np.empty((len(starts), rows.shape[1]))
    for groups, own in _parts(rows, starts):
        result[groups] = _paired_sums(rows[own], starts[groups] - own.start)
    return result


# Groups with more rows than these are summed one by one, which costs a third a row; smaller ones together, in pairs.
_MANY_ROWS = 16


def _split_sums(rows: Floats, starts: Ints) -> Floats:
    """Sum groups of one size together, each value in two parts: of the larger ones no sum is rounded.

    A value plus and minus a power of two beyond the sum is a multiple of that power's last digit (Rump, Ogita and
    Oishi, "Accurate floating-point summation", 2008).
    """
    result = np.empty((len(starts), rows.shape[1]))
    with np.errstate(all="ignore"):
        for groups, own, size in _of_one_size(rows, starts):
            values = rows[own].reshape(groups.stop - groups.start, size, -1)
            largest = np.maximum(values.max(axis=1), -values.min(axis=1))
            beyond = np.ldexp(1.0, np.frexp(largest)[1] + size.bit_length() + 1)[:, None]
            parts = values + beyond
            parts -= beyond
            total = parts.sum(axis=1)
            np.subtract(values, parts, out=parts)
            total += parts.sum(axis=1)
            # Some value is infinite, no number, or so large that there is no power beyond it.
            odd = ~np.isfinite(total)
            for group in np.flatnonzero(odd.any(axis=1)).tolist():
                of_group = values[group][:, odd[group]]
                total[group, odd[group]] = _paired_sums(of_group, np.zeros(1, dtype=np.int64))[0]
            result[groups] = total
    return result


def _of_one_size(rows: Floats, starts: Ints) -> Iterator[tuple[slice, slice, int]]:
    """Return some of the groups at a time, neighbours with as many rows, their rows, and how many a group has."""
    ends = np.append(starts[1:], len(rows))
    sizes = (ends - starts).tolist()
    first = 0
    while first < len(sizes):
        size = sizes[first]
        most = max(_PART // max(size * rows.shape[1], 1), 1)
        last = first + 1
        while last < len(sizes) and sizes[last] == size and last - first < most:
            last += 1
        yield slice(first, last), slice(int(starts[first]), int(ends[last - 1])), size
        first = last


def _paired_sums(rows: Floats, starts: Ints) -> Floats:
    """Sum groups together, pair by pair, with what each addition loses."""
    with np.errstate(over="ignore", invalid="ignore"):
        total, lost = _pair_up(rows, starts)
        return np.where(np.isfinite(lost), total + lost, total)


# Groups are worked through in parts of about this many cells, which stay in the processor's cache.
_PART = 1 << 16


def _parts(rows: Floats, starts: Ints) -> Iterator[tuple[slice, slice]]:
    """Return some of the groups at a time, and their rows."""
    ends = np.append(starts[1:], len(rows))[: len(starts)]
    first = 0
    while first < len(starts):
        reach = starts[first] + _PART // max(rows.shape[1], 1)
        last = max(int(np.searchsorted(ends, reach, side="right")), first + 1)
        yield slice(first, last), slice(int(starts[first]), int(ends[last - 1]))
        first = last


def _pair_up(rows: Floats, starts: Ints) -> tuple[Floats, Floats]:
    lost: Floats | None = None
    while len(rows) > len(starts):
        left, right, starts = _pairs(len(rows), starts)
        alone = right < 0
        a, b = rows[left], rows[right]
        b[alone] = 0.0
        both = a + b
        virtual = both - a
        error = (a - (both - virtual)) + (b - virtual)
        error[~np.isfinite(error)] = 0.0
        if lost is not None:
            other = lost[right]
            other[alone] = 0.0
            error += lost[left]
            error += other
        rows, lost = both, error
    return rows, np.zeros_like(rows) if lost is None else lost


def _pairs(count: int, starts: Ints) -> tuple[Ints, Ints, Ints]:
    """Return which rows to join pairwise within each group (-1: nobody), and where the groups then begin."""
    sizes = np.diff(np.append(starts, count))
    halves = (sizes + 1) // 2
    new_starts = np.concatenate(([0], np.cumsum(halves)[:-1])).astype(np.int64)
    left = np.repeat(starts - 2 * new_starts, halves) + 2 * np.arange(int(halves.sum()), dtype=np.int64)
    right = left + 1
    right[right >= np.repeat(starts + sizes, halves)] = -1
    return left, right, new_starts


def group_fold(rows: Floats, starts: Ints, operation: Callable[[Floats, Floats], Floats]) -> Floats:
    """Return an associative operation's result down each run of rows, pair by pair; groups × steps."""
    result = np.empty((len(starts), rows.shape[1]))
    for groups, own in _parts(rows, starts):
        result[groups] = _folded(rows[own], starts[groups] - own.start, operation)
    return result


def _folded(rows: Floats, starts: Ints, operation: Callable[[Floats, Floats], Floats]) -> Floats:
    while len(rows) > len(starts):
        left, right, starts = _pairs(len(rows), starts)
        rows = operation(rows[left], rows[np.where(right < 0, left, right)])
    return rows
