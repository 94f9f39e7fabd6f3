"""Metrics v3 bodies: each is decoded column by column, all of a commit are looked at together."""

from collections.abc import Iterator, Mapping
from typing import Final

import pyarrow as pa

from opstrace.errors import Undecodable
from opstrace.intake.columnar_payload import ColumnarRows, rows_of_payload
from opstrace.intake.payload import Family, Findings, Numbered
from opstrace.intake.tabular_series import TabularSeries
from opstrace.store.engine import Connection, statement

_PACKAGE: Final = "opstrace.intake"


class ColumnarDecoder(TabularSeries):
    """Decodes metrics v3; distributions it stages in `staged_sketches`."""

    families = frozenset({Family.COLUMNAR})

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection, "columnar")
        self._sketches = statement(_PACKAGE, "decoded_sketches")

    def look(self, bodies: Numbered, limits: Mapping[str, float], findings: Findings) -> Iterator[pa.Table]:
        """Yield the series of bodies whose points are numbers, and stage the others."""
        decoded = dict(_decoded(bodies, findings))
        findings.done |= {i for i, rows in decoded.items() if not rows.sketches.num_rows}
        if sketches := [rows.sketches for rows in decoded.values() if rows.sketches.num_rows]:
            self._connection.execute(self._sketches, rows=pa.concat_tables(sketches))
        if series := {i: rows.series for i, rows in decoded.items() if rows.series.num_rows}:
            yield self.read(series, limits)


def _decoded(bodies: Numbered, findings: Findings) -> Iterator[tuple[int, ColumnarRows]]:
    for i, body in bodies.items():
        try:
            yield i, rows_of_payload(body.content, i, body.tenant)
        except Undecodable as error:
            findings.faults[i] = f"the body is not a valid metrics v3 payload: {error}"
