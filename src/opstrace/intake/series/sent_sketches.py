"""The sketches of a commit as columns, and the form they are stored in."""

from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa

from opstrace.ragged import owners, places
from opstrace.store.sketch import INFINITY_KEY, LARGEST_KEY, binned

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Ints = NDArray[np.int64]
    Bools = NDArray[np.bool_]
    Floats = NDArray[np.float64]

# Columns of tables of series, lists of one entry a sketch.
COLUMNS: Final = ("places", "cnts", "sums", "minima", "maxima", "keys", "counts")
# More values than a double can count is no number of values.
_MOST: Final = 1 << 53


def numbered(series: "Ints", lengths: "Ints") -> pa.ListArray:
    """Return the place of each sketch in its body: which series it is of, and which one there, from 1 on.

    Sketches are those of series one after the other, in lists of these lengths.
    """
    offsets = places(lengths)
    within = np.arange(1, offsets[-1] + 1) - np.repeat(offsets[:-1], lengths)
    found = (np.repeat(series, lengths) << 32) + within
    return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), pa.array(found.astype(np.uint64)))


@dataclass(frozen=True, slots=True)
class SentSketches:
    """P sketches, in the order they were read."""

    places: "NDArray[np.uint64]"  # P: in the body
    cnts: "Ints"  # P
    sums: "Floats"  # P
    minima: "Floats"  # P
    maxima: "Floats"  # P
    key_lengths: "Ints"  # P
    keys: "NDArray[np.signedinteger[Any]]"  # of 16 bits or 32
    count_lengths: "Ints"  # P
    counts: "NDArray[np.unsignedinteger[Any]]"  # of the narrowest type that holds them

    @classmethod
    def of(cls, tables: Iterable[pa.Table]) -> "SentSketches | None":
        """Take in those of the tables that have sketches."""
        parts = [
            _of_batch(batch)
            for table in tables
            if "keys" in table.column_names
            for batch in table.to_batches()
            if batch.num_rows
        ]
        if len(parts) < 2:
            return parts[0] if parts else None
        return cls(*(np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(cls)))

    def numbers(self) -> "tuple[Floats, Bools]":
        """Return P numbers of values, as a point has its value, and which sketches cannot be.

        One with a sum that is not finite has a number that is not.
        """
        sound = (self.cnts >= 1) & (self.cnts <= _MOST) & (self.key_lengths == self.count_lengths)
        sound &= _filled(self.counts, self.count_lengths)
        sound[_owners((self.keys > INFINITY_KEY) | (self.keys < -INFINITY_KEY), self.key_lengths)] = False
        if self.counts.dtype == np.uint64:
            sound[_owners(self.counts > _MOST, self.count_lengths)] = False
        finite = np.isfinite(self.sums) & np.isfinite(self.minima) & np.isfinite(self.maxima)
        return np.where(finite & sound, self.cnts.astype(np.float64), np.nan), ~sound

    def rows(self, wanted: "Bools") -> pa.Table:
        """Return some of the sketches, sound ones, as they are stored: keys ascending and each once, none empty."""
        keys, counts, lengths = self.keys, self.counts, self.key_lengths
        if not wanted.all():
            keys, counts = keys[np.repeat(wanted, lengths)], counts[np.repeat(wanted, self.count_lengths)]
            lengths = lengths[wanted]
        stored = keys.astype(np.int16, copy=False)
        if _is_odd(keys, counts, lengths):
            stored, counts, lengths = _evened(keys, counts.astype(np.uint64), lengths)
        offsets = pa.array(places(lengths), pa.int32())
        return pa.table(
            {
                "place": self.places[wanted],
                "cnt": self.cnts[wanted].astype(np.uint64),
                "sum": self.sums[wanted],
                "min": self.minima[wanted],
                "max": self.maxima[wanted],
                "keys": pa.ListArray.from_arrays(offsets, pa.array(stored)),
                "counts": pa.ListArray.from_arrays(offsets, pa.array(counts)),
            }
        )


def _of_batch(batch: pa.RecordBatch) -> SentSketches:
    columns = {name: batch[name].flatten() for name in COLUMNS}
    keys, counts = columns.pop("keys"), columns.pop("counts")
    cnts = columns.pop("cnts").to_numpy(zero_copy_only=False)
    numbers = {name: column.to_numpy(zero_copy_only=False) for name, column in columns.items()}
    return SentSketches(
        cnts=cnts.astype(np.int64),
        key_lengths=_lengths(keys),
        keys=keys.flatten().to_numpy(zero_copy_only=False),
        count_lengths=_lengths(counts),
        counts=counts.flatten().to_numpy(zero_copy_only=False),
        **numbers,
    )


def _lengths(lists: pa.Array) -> "Ints":
    lengths: Ints = np.diff(lists.offsets.to_numpy()).astype(np.int64)
    return lengths


def _filled(counts: "NDArray[np.unsignedinteger[Any]]", lengths: "Ints") -> "Bools":
    """Say which sketches have a value in some bin."""
    if counts.all():
        return lengths > 0
    before = places((counts > 0).astype(np.int64))[places(lengths)]
    filled: Bools = before[1:] > before[:-1]
    return filled


def _owners(odd: "Bools", lengths: "Ints") -> "Ints":
    """Return which sketches odd bins are of."""
    found = np.flatnonzero(odd)
    owners: Ints = np.searchsorted(np.cumsum(lengths), found, side="right")
    return owners


def _is_odd(
    keys: "NDArray[np.signedinteger[Any]]", counts: "NDArray[np.unsignedinteger[Any]]", lengths: "Ints"
) -> bool:
    """Say whether a sketch has keys out of order or twice, an infinite one, or an empty bin."""
    if not len(keys):
        return False
    descends = keys[1:] <= keys[:-1]
    # From one sketch to the next is no order.
    ends = np.cumsum(lengths)[:-1]
    descends[ends[(ends > 0) & (ends < len(keys))] - 1] = False
    infinite = int(keys.max()) >= INFINITY_KEY or int(keys.min()) <= -INFINITY_KEY
    return infinite or bool(descends.any()) or not counts.all()


def _evened(
    keys: "NDArray[np.signedinteger[Any]]", counts: "NDArray[np.uint64]", lengths: "Ints"
) -> "tuple[NDArray[np.int16], NDArray[np.uint64], Ints]":
    """Bring keys in order, each once; infinite ones go to the outermost bins, empty bins go."""
    within = np.clip(keys, -LARGEST_KEY, LARGEST_KEY).astype(np.int16)
    offsets, stored, totals = binned(owners(lengths), within, counts, len(lengths))
    filled = totals > 0
    return stored[filled], totals[filled], np.diff(places(filled)[offsets])
