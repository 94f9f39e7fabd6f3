"""JSON bodies of series: one statement reads all of them; what it finds nothing in is read again, patiently."""

from collections.abc import Iterator, Mapping

import pyarrow as pa

from opstrace.intake.payload import Family, Findings, Numbered
from opstrace.intake.repair import repaired_bodies
from opstrace.intake.rows import rows_of
from opstrace.intake.series.tabular_series import TabularSeries
from opstrace.store.engine import Connection


class JsonSeriesDecoder(TabularSeries):
    """Decodes one family of JSON bodies."""

    def __init__(self, connection: Connection, family: Family) -> None:
        super().__init__(connection, family.value)
        self.families = frozenset({family})

    def look(self, bodies: Numbered, limits: Mapping[str, float], findings: Findings) -> Iterator[pa.Table]:
        """Yield the series of bodies."""
        found = self.read(_tables(bodies), limits)
        yield found
        if repaired := repaired_bodies(bodies, set(found["body"].unique().to_pylist()), findings):
            yield self.read(_tables(repaired), limits)


def _tables(bodies: Numbered) -> dict[int, pa.Table]:
    rows = rows_of(bodies)
    return {i: rows.slice(place, 1) for place, i in enumerate(bodies)}
