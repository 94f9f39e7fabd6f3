"""The series of a commit as columns: what each is known by, and its points."""

from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa

from opstrace.intake.series.columns import text_of
from opstrace.ragged import owners

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Names of hosts in a commit that are counted rather than sorted.
_FEW: Final = 2000


@dataclass(frozen=True, slots=True)
class SentSeries:
    """N series with P points, in the order they were read. The points of series i are the next `lengths[i]`."""

    bodies: "NDArray[np.uint32]"  # N: the number of the body in the commit
    hosts: pa.Array  # N: bytes
    are_sketches: "NDArray[np.bool_]"  # N
    refusals: "NDArray[np.uint8]"  # N: 0, or why nothing of it is stored (`refusal_of` in staging.sql)
    tag_bytes: "NDArray[np.uint64]"  # N: what its tags take
    metrics: "NDArray[np.uint64]"  # N: hash of the name
    series: "NDArray[np.uint64]"  # N: hash of all that makes it one
    known: "NDArray[np.bool_]"  # N: its row of the day of its first point exists
    lengths: "NDArray[np.int64]"  # N
    times: "NDArray[np.float64]"  # P: s; NaN where there is none
    values: "NDArray[np.float64]"  # P: NaN where there is none
    without_time: "NDArray[np.bool_]"  # P: nothing that reads as a time was sent
    without_value: "NDArray[np.bool_]"  # P: nothing that reads as a number was sent

    @classmethod
    def of(cls, tables: Iterable[pa.Table]) -> "SentSeries | None":
        """Take in answers of sent_series.sql; nothing where there are no rows."""
        batches = [batch for table in tables for batch in table.to_batches() if batch.num_rows]
        parts = [_of_batch(batch) for batch in batches]
        if len(parts) < 2:
            return parts[0] if parts else None
        return cls(*(_joined([getattr(part, field.name) for part in parts]) for field in fields(cls)))

    @property
    def owners(self) -> "NDArray[np.int64]":
        """P: which series a point is of."""
        return owners(self.lengths)

    def counting(self, numbers: "NDArray[np.float64]", unsound: "NDArray[np.bool_]") -> "SentSeries":
        """Return the same with the numbers of values of all sketches as the values of their points."""
        ours = self.are_sketches[self.owners]
        values, without_value = self.values.copy(), self.without_value.copy()
        values[ours], without_value[ours] = numbers, unsound
        return replace(self, values=values, without_value=without_value)

    def main_hosts(self) -> dict[int, str]:
        """Return the host that most series of a body are of, where they name one."""
        found = self.hosts.dictionary_encode()
        names = found.dictionary.to_pylist()
        pairs = self.bodies.astype(np.int64) * len(names) + found.indices.to_numpy()
        places, counts = np.unique(pairs, return_counts=True) if len(names) > _FEW else occurring(pairs)
        # Assigned from the rarest to the most frequent: that one stays.
        order = np.argsort(counts, kind="stable")
        of_bodies = [divmod(place, len(names)) for place in places[order].tolist()]
        return {body: text_of(names[name]) for body, name in of_bodies if names[name]}


def occurring(numbers: "NDArray[np.int64]") -> "tuple[NDArray[np.int64], NDArray[np.int64]]":
    """Return what `np.unique` returns of numbers that are small, and their counts."""
    counts = np.bincount(numbers)
    found = np.flatnonzero(counts)
    return found, counts[found]


def _of_batch(batch: pa.RecordBatch) -> SentSeries:
    times, values = batch["times"], batch["values"]
    return SentSeries(
        bodies=batch["body"].to_numpy(),
        hosts=batch["host"].cast(pa.binary()),
        are_sketches=batch["is_sketch"].to_numpy(zero_copy_only=False).astype(bool),
        refusals=batch["refusal"].to_numpy(),
        tag_bytes=batch["tag_bytes"].to_numpy(),
        metrics=batch["metric"].to_numpy(),
        series=batch["series"].to_numpy(),
        known=batch["is_known"].to_numpy(zero_copy_only=False).astype(bool),
        lengths=np.diff(times.offsets.to_numpy()).astype(np.int64),
        times=_numbers(times.flatten()),
        values=_numbers(values.flatten()),
        without_time=_nulls(times.flatten()),
        without_value=_nulls(values.flatten()),
    )


def _numbers(column: pa.Array) -> "NDArray[np.float64]":
    numbers: NDArray[np.float64] = column.to_numpy(zero_copy_only=False).astype(np.float64, copy=False)
    return numbers


def _nulls(column: pa.Array) -> "NDArray[np.bool_]":
    if not column.null_count:
        return np.zeros(len(column), dtype=bool)
    nulls: NDArray[np.bool_] = column.is_null().to_numpy(zero_copy_only=False)
    return nulls


def _joined(columns: list[Any]) -> Any:
    return pa.concat_arrays(columns) if isinstance(columns[0], pa.Array) else np.concatenate(columns)
