"""Distributions that come as values: a sketch is made of each point, as an Agent would have made it."""

from collections import Counter, defaultdict
from collections.abc import Mapping
from typing import Final

import numpy as np
import pyarrow as pa

from opstrace.intake.columns import places
from opstrace.intake.json_decoder import repaired_bodies
from opstrace.intake.payload import Family, Findings, Numbered
from opstrace.intake.rows import rows_of
from opstrace.store.engine import Connection, statement
from opstrace.store.sketch import sketches_of

_PACKAGE: Final = "opstrace.intake"

# A value is two bytes on the wire and some hundred while its sketch is made.
MAX_DISTRIBUTION_VALUES: Final = 4_000_000


class DistributionDecoder:
    """Decodes bodies of values into `staged_sketches`."""

    families = frozenset({Family.DISTRIBUTION_POINTS})

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._values = statement(_PACKAGE, Family.DISTRIBUTION_POINTS.value)
        self._insert = statement(_PACKAGE, "decoded_sketches")

    def stage(self, bodies: Numbered, now: float, findings: Findings) -> None:  # noqa: ARG002 (the wire has the time)
        """Decode bodies into `staged_sketches`."""
        fitting = {i: body for i, body in bodies.items() if body.content.count(b",") < MAX_DISTRIBUTION_VALUES}
        for i in bodies.keys() - fitting.keys():
            findings.faults[i] = f"the body has more than {MAX_DISTRIBUTION_VALUES} values; send it in parts"
        found = self._stage(fitting, findings)
        self._stage(repaired_bodies(fitting, found, findings), findings)

    def store(self, commit: int, limits: Mapping[str, float]) -> None:
        """Nothing: what is in `staged_sketches` is everybody's."""

    def clear(self) -> None:
        """Nothing: what is in `staged_sketches` is everybody's."""

    def _stage(self, bodies: Numbered, findings: Findings) -> set[int]:
        """Stage what the engine can read of these bodies, and return in which of them it found series."""
        if not bodies:
            return set()
        values = self._connection.read(self._values, rows=rows_of(bodies))
        if not values.num_rows:
            return set()
        sketches, missing = _sketches(values.combine_chunks())
        for i, refused in missing.items():
            findings.refused[i].update(refused)
        self._connection.execute(self._insert, rows=sketches)
        return set(values["body"].to_pylist())


def _sketches(values: pa.Table) -> tuple[pa.Table, defaultdict[int, Counter[str]]]:
    """Return the table with a sketch for each point, and the values of each body that are in none, by reason."""
    samples = values["samples"].combine_chunks()
    points = samples.values
    numbers = points.values.to_numpy(zero_copy_only=False).astype(np.float64)
    owners = np.repeat(np.arange(len(points)), np.diff(points.offsets.to_numpy()))
    known = np.isfinite(numbers)
    lengths = np.bincount(owners[known], minlength=len(points))
    columns = {name: _lists(samples.offsets, column) for name, column in _columns(numbers[known], lengths).items()}
    table = values.drop_columns(["samples"])
    for name, column in columns.items():
        table = table.append_column(name, column)
    absent = points.values.is_null().to_numpy(zero_copy_only=False)
    missing: defaultdict[int, Counter[str]] = defaultdict(Counter)
    for reason, lost in (("no_value", absent), ("not_finite", ~known & ~absent)):
        for i, count in _by_body(values, samples, owners[lost]).items():
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
