"""Distributions that come as values: a sketch is made of each point, as an Agent would have made it."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from typing import Final

import numpy as np
import pyarrow as pa

from opstrace.intake.payload import Family, Findings, Numbered
from opstrace.intake.repair import repaired_bodies
from opstrace.intake.rows import rows_of
from opstrace.intake.series.tabular_sketches import TabularSketches
from opstrace.ragged import owners, places
from opstrace.store.engine import Connection, statement
from opstrace.store.sketch import sketches_of

_PACKAGE: Final = "opstrace.intake.series"

# A value is two bytes on the wire and some hundred while its sketch is made.
MAX_DISTRIBUTION_VALUES: Final = 4_000_000


class DistributionDecoder(TabularSketches):
    """Decodes bodies of values."""

    families = frozenset({Family.DISTRIBUTION_POINTS})

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection)
        self._values = statement(_PACKAGE, Family.DISTRIBUTION_POINTS.value)

    def look(self, bodies: Numbered, limits: Mapping[str, float], findings: Findings) -> Iterator[pa.Table]:
        """Yield the series of bodies."""
        fitting = {i: body for i, body in bodies.items() if body.content.count(b",") < MAX_DISTRIBUTION_VALUES}
        for i in bodies.keys() - fitting.keys():
            findings.faults[i] = f"the body has more than {MAX_DISTRIBUTION_VALUES} values; send it in parts"
        found = self._made(fitting, findings)
        repaired = self._made(repaired_bodies(fitting, found.keys(), findings), findings)
        if tables := found | repaired:
            yield self.read(tables, limits)

    def _made(self, bodies: Numbered, findings: Findings) -> dict[int, pa.Table]:
        """Return the sketches of what the engine can read of these bodies, a table each."""
        if not bodies:
            return {}
        values = self._connection.read(self._values, rows=rows_of(bodies))
        if not values.num_rows:
            return {}
        sketches, missing = _sketches(values.combine_chunks())
        for i, refused in missing.items():
            findings.refused[i].update(refused)
        # The bodies lie one behind the other.
        numbers, starts = np.unique(sketches["body"].to_numpy(), return_index=True)
        ends = [*starts[1:].tolist(), sketches.num_rows]
        spans = zip(numbers.tolist(), starts.tolist(), ends, strict=True)
        return {i: sketches.slice(start, end - start) for i, start, end in spans}


def _sketches(values: pa.Table) -> tuple[pa.Table, defaultdict[int, Counter[str]]]:
    """Return the table with a sketch for each point, and the values of each body that are in none, by reason."""
    samples = values["samples"].combine_chunks()
    points = samples.values
    numbers = points.values.to_numpy(zero_copy_only=False).astype(np.float64)
    of_numbers = owners(np.diff(points.offsets.to_numpy()))
    known = np.isfinite(numbers)
    lengths = np.bincount(of_numbers[known], minlength=len(points))
    columns = {name: _lists(samples.offsets, column) for name, column in _columns(numbers[known], lengths).items()}
    table = values.drop_columns(["samples"])
    for name, column in columns.items():
        table = table.append_column(name, column)
    absent = points.values.is_null().to_numpy(zero_copy_only=False)
    missing: defaultdict[int, Counter[str]] = defaultdict(Counter)
    for reason, lost in (("no_value", absent), ("not_finite", ~known & ~absent)):
        for i, count in _by_body(values, samples, of_numbers[lost]).items():
            missing[i][reason] = count
    return table, missing


def _columns(
    numbers: "np.ndarray[tuple[int], np.dtype[np.float64]]", lengths: "np.ndarray[tuple[int], np.dtype[np.int64]]"
) -> dict[str, pa.Array]:
    """Return a sketch of each run of numbers; an empty run's has no values, and is refused by everybody's rules."""
    filled = lengths > 0
    made = sketches_of(numbers, places(lengths[filled]))
    cnts, bins = lengths.copy(), np.zeros(len(lengths), dtype=np.int64)
    bins[filled] = np.diff(made.offsets)
    exact = {"sums": made.sum, "minima": made.min, "maxima": made.max}
    spread = {name: np.zeros(len(lengths)) for name in exact}
    for name, column in exact.items():
        spread[name][filled] = column
    offsets = pa.array(places(bins), pa.int32())
    return {
        "cnts": pa.array(cnts),
        **{name: pa.array(column) for name, column in spread.items()},
        "keys": pa.ListArray.from_arrays(offsets, pa.array(made.keys.astype(np.int32))),
        "counts": pa.ListArray.from_arrays(offsets, pa.array(made.counts.astype(np.uint64))),
    }


def _lists(offsets: pa.Array, column: pa.Array) -> pa.Array:
    return pa.ListArray.from_arrays(offsets, column)


def _by_body(
    values: pa.Table, samples: pa.ListArray, points: "np.ndarray[tuple[int], np.dtype[np.int64]]"
) -> dict[int, int]:
    """Return for each body how often its points are among these."""
    rows = np.searchsorted(samples.offsets.to_numpy(), points, side="right") - 1
    bodies, counts = np.unique(values["body"].to_numpy()[rows], return_counts=True)
    return dict(zip(bodies.tolist(), counts.tolist(), strict=True))
