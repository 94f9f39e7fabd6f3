"""What several tables hold of one selector's series, piece by piece."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from opstrace.store.pieces import SKETCH_NUMBERS, Aspect, Piece, StoredSketches
from opstrace.store.reading import Reading, Wanted
from opstrace.store.resolved import Resolved


def pieces_of(reading: Reading, wanted: Wanted) -> Iterator[Piece]:
    """Yield what the tables hold of these series, where not all of it are rows of `samples`."""
    if len((floats := _of(wanted, Aspect.SAMPLES)).resolved.series):
        yield final_samples(reading, floats)
    if len((started := _of(wanted, Aspect.STARTED)).resolved.series):
        table = started.resolved.own(reading.rows("select_started_samples", started))
        reading.budget.spend(table.num_rows)
        yield Piece.of_started(table, started.resolved.rows_of(table["series"].to_numpy()))
    if len((histograms := _of(wanted, Aspect.HISTOGRAMS)).resolved.series):
        yield _histograms(reading, histograms)
    for aspects in (SKETCH_NUMBERS, (Aspect.SKETCH,)):
        if len((sketches := _of(wanted, *aspects)).resolved.series):
            table = _sketches(reading, sketches, bins=Aspect.SKETCH in aspects)
            for aspect in aspects:
                yield from _of_sketches(table, sketches.resolved.of([aspect]), aspect)


def final_samples(reading: Reading, wanted: Wanted) -> Piece:
    """Return the samples of series that may share labels with others."""
    table = wanted.resolved.own(reading.rows("select_samples_final", wanted))
    reading.budget.spend(table.num_rows)
    return Piece.of_samples(table, wanted.resolved.rows_of(table["series"].to_numpy()))


def _of(wanted: Wanted, *aspects: Aspect) -> Wanted:
    return replace(wanted, resolved=wanted.resolved.of(aspects))


def _histograms(reading: Reading, wanted: Wanted) -> Piece:
    """Return the native histograms of series, whose buckets are accounted for before they are read."""
    counted = reading.rows("count_buckets", wanted)
    reading.budget.spend_buckets(counted["buckets"][0].as_py() or 0, counted["histograms"][0].as_py())
    table = wanted.resolved.own(reading.rows("select_histograms", wanted))
    reading.budget.spend(table.num_rows)
    return Piece.of_histograms(table, wanted.resolved.rows_of(table["series"].to_numpy()), reading.budget.check)


def _sketches(reading: Reading, wanted: Wanted, *, bins: bool) -> StoredSketches:
    if bins:
        counted = reading.rows("count_bins", wanted)
        reading.budget.spend_buckets(counted["bins"][0].as_py() or 0, counted["sketches"][0].as_py())
    table = reading.rows("select_sketches", wanted, bins=", keys, counts" if bins else "")
    reading.budget.spend(table.num_rows)
    return StoredSketches.of_table(table)


def _of_sketches(table: StoredSketches, resolved: Resolved, aspect: Aspect) -> Iterator[Piece]:
    """Yield one aspect of the sketches of the series that are asked for it."""
    if len(resolved.series):
        own = table.of(np.isin(table.series, resolved.series))
        yield Piece.of_sketches(own, resolved.rows_of(own.series), aspect)
