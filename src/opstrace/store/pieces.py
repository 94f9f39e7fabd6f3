"""What a selector finds in several tables (floats, native histograms, sketches), put together as one block."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa

from opstrace.ragged import owners, run_bounds
from opstrace.store.backend import Block, Labels
from opstrace.store.histogram import NativeHistogram, ResetHint
from opstrace.store.sketch import Sketches, merged, native_histograms

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]


class Aspect(IntEnum):
    """What the points of a row of `series` are; the numbers are those of its column `aspect`."""

    SAMPLES = 0
    HISTOGRAMS = 1
    SKETCH = 2
    COUNT = 3
    SUM = 4
    MIN = 5
    MAX = 6
    AVG = 7
    STARTED = 8


# The aspects of a sketch that are numbers.
_NUMBERS: dict[Aspect, Callable[[Sketches], "Floats"]] = {
    Aspect.COUNT: lambda sketches: sketches.cnt.astype(np.float64),
    Aspect.SUM: lambda sketches: sketches.sum,
    Aspect.MIN: lambda sketches: sketches.min,
    Aspect.MAX: lambda sketches: sketches.max,
    Aspect.AVG: lambda sketches: sketches.sum / sketches.cnt,
}
SKETCH_NUMBERS: Final = tuple(_NUMBERS)
_ROWS_AT_ONCE: Final = 100


@dataclass(frozen=True, slots=True)
class StoredSketches:
    """Rows of `sketches`: each once, in the order of series and time."""

    series: "NDArray[np.uint64]"
    times: "Ints"  # ms
    commits: "NDArray[np.uint64]"
    sketches: Sketches

    @classmethod
    def of_table(cls, table: pa.Table) -> "StoredSketches":
        """Read the rows of select_sketches.sql, of repeats the last; without bins where it has none."""
        series, times, sources = (table[name].to_numpy() for name in ("series", "time_ms", "source"))
        bins = {}
        if "keys" in table.column_names:
            keys, counts = (table[name].combine_chunks() for name in ("keys", "counts"))
            bins = {
                "offsets": keys.offsets.to_numpy().astype(np.int64),
                "keys": keys.values.to_numpy(),
                "counts": counts.values.to_numpy().astype(np.int64),
            }
        numbers = {name: table[name].to_numpy() for name in ("sum", "min", "max")}
        sketches = Sketches(
            cnt=table["cnt"].to_numpy().astype(np.int64), **numbers, **(bins or _no_bins(table.num_rows))
        )
        changes = (series[1:] != series[:-1]) | (times[1:] != times[:-1]) | (sources[1:] != sources[:-1])
        found = cls(series, times, table["commit"].to_numpy(), sketches)
        return found if changes.all() else found.of(np.append(changes, True))

    def of(self, wanted: "NDArray[np.bool_]") -> "StoredSketches":
        """Return some of the rows."""
        return StoredSketches(self.series[wanted], self.times[wanted], self.commits[wanted], self.sketches.of(wanted))


def _no_bins(sketches: int) -> "dict[str, NDArray[Any]]":
    nothing = np.zeros(0, dtype=np.int64)
    return {"offsets": np.zeros(sketches + 1, dtype=np.int64), "keys": nothing.astype(np.int16), "counts": nothing}


@dataclass(frozen=True, slots=True)
class Piece:
    """Samples of one kind, in any order."""

    rows: "Ints"  # index into labels, one a sample
    times: "Ints"  # ms
    commits: "NDArray[np.uint64]"
    values: "Floats"
    histograms: "NDArray[np.object_] | None" = None
    start_times: "Ints | None" = None  # ms

    @classmethod
    def of_samples(cls, table: pa.Table, rows: "Ints") -> "Piece":
        """Make the piece of rows of `samples`."""
        return cls(rows, *(table[name].to_numpy() for name in ("time_ms", "commit", "value")))

    @classmethod
    def of_started(cls, table: pa.Table, rows: "Ints") -> "Piece":
        """Make the piece of rows of `started_samples`."""
        return replace(cls.of_samples(table, rows), start_times=table["start"].to_numpy())

    @classmethod
    def of_histograms(cls, table: pa.Table, rows: "Ints", check: Callable[[], None]) -> "Piece":
        """Make the piece of rows of `histograms`, some at a time; what `check` raises between ends it."""
        own = ["series", "time_ms", "commit", "start"]
        found: list[NativeHistogram] = []
        for batch in table.drop_columns(own).to_batches(max_chunksize=_ROWS_AT_ONCE):
            check()
            found += [_histogram(**row) for row in batch.to_pylist()]
        piece = cls.of_objects(rows, table["time_ms"].to_numpy(), table["commit"].to_numpy(), found)
        starts = table["start"].to_numpy()
        return replace(piece, start_times=starts) if starts.any() else piece

    @classmethod
    def of_sketches(cls, stored: StoredSketches, rows: "Ints", aspect: Aspect) -> "Piece":
        """Make the piece that is one aspect of sketches: those of one series and time are merged first."""
        groups = run_bounds(stored.series, stored.times)
        sketches = merged(stored.sketches, owners(np.diff(groups)))
        last = groups[1:] - 1
        where = (rows[last], stored.times[last], stored.commits[last])
        if aspect is Aspect.SKETCH:
            return cls.of_objects(*where, native_histograms(sketches))
        return cls(*where, _NUMBERS[aspect](sketches))

    @classmethod
    def of_objects(
        cls, rows: "Ints", times: "Ints", commits: "NDArray[np.uint64]", found: Sequence[NativeHistogram]
    ) -> "Piece":
        """Make the piece of native histograms."""
        histograms = np.full(len(found), None, dtype=object)
        histograms[:] = found
        return cls(rows, times, commits, np.full(len(found), np.nan), histograms)


def _histogram(
    *,
    positive_keys: list[int],
    positive_counts: list[float],
    negative_keys: list[int],
    negative_counts: list[float],
    custom_bounds: list[float],
    reset_hint: str,
    **numbers: Any,
) -> NativeHistogram:
    """Make the histogram of a row of select_histograms.sql."""
    return NativeHistogram(
        positive=dict(zip(positive_keys, positive_counts, strict=True)),
        negative=dict(zip(negative_keys, negative_counts, strict=True)),
        custom_bounds=tuple(custom_bounds),
        hint=ResetHint(reset_hint),
        **numbers,
    )


def joined(pieces: Iterable[Piece], labels: Sequence[Labels]) -> Block:
    """Put pieces together: of samples of one series and time that of the latest commit stays."""
    found = list(pieces)
    rows, times, commits, values = (
        np.concatenate([getattr(piece, name) for piece in found]) for name in ("rows", "times", "commits", "values")
    )
    order = np.lexsort((commits, times, rows))
    rows, times = rows[order], times[order]
    last = run_bounds(rows, times)[1:] - 1
    rows, order = rows[last], order[last]
    offsets = run_bounds(rows)
    return Block(
        labels=[labels[row] for row in rows[offsets[:-1]].tolist()],
        offsets=offsets,
        times_ms=times[last],
        values=values[order],
        histograms=_objects(found, order),
        start_times=_start_times(found, order),
    )


def _start_times(pieces: Sequence[Piece], order: "Ints") -> "Ints | None":
    """Return the start timestamps of all pieces in this order, or nothing where none has any."""
    if all(piece.start_times is None for piece in pieces):
        return None
    told = [np.zeros_like(piece.times) if piece.start_times is None else piece.start_times for piece in pieces]
    return np.concatenate(told)[order]


def _objects(pieces: Sequence[Piece], order: "Ints") -> "NDArray[np.object_] | None":
    """Return the histograms of all pieces in this order, or nothing where none has any."""
    if all(piece.histograms is None for piece in pieces):
        return None
    nothing = [np.full(len(piece.rows), None, dtype=object) for piece in pieces]
    found = [
        none if piece.histograms is None else piece.histograms for piece, none in zip(pieces, nothing, strict=True)
    ]
    return np.concatenate(found)[order]
