"""Metrics v3 bodies: each is decoded column by column, all of a commit are looked at together."""

from collections.abc import Collection, Iterator, Mapping

import pyarrow as pa

from opstrace.errors import Undecodable
from opstrace.intake.columnar_payload import ColumnarRows, rows_of_payload
from opstrace.intake.payload import Family, Findings, Numbered
from opstrace.intake.tabular_series import TabularSeries
from opstrace.intake.tabular_sketches import TabularSketches
from opstrace.store.engine import Connection, Parameter


class ColumnarDecoder:
    """Decodes metrics v3."""

    families = frozenset({Family.COLUMNAR})

    def __init__(self, connection: Connection) -> None:
        self._series = TabularSeries(connection, "columnar")
        self._sketches = TabularSketches(connection)

    def look(self, bodies: Numbered, limits: Mapping[str, float], findings: Findings) -> Iterator[pa.Table]:
        """Yield the series of bodies."""
        decoded = dict(_decoded(bodies, findings))
        if series := {i: rows.series for i, rows in decoded.items() if rows.series.num_rows}:
            yield self._series.read(series, limits)
        if sketches := {i: rows.sketches for i, rows in decoded.items() if rows.sketches.num_rows}:
            yield self._sketches.read(sketches, limits)

    def translate(self, bodies: Collection[int], parameters: Mapping[str, Parameter]) -> int:
        """Translate the series of some of the bodies that were looked at."""
        return self._series.translate(bodies, parameters) + self._sketches.translate(bodies, parameters)

    def clear(self) -> None:
        """Forget the tables."""
        self._series.clear()
        self._sketches.clear()


def _decoded(bodies: Numbered, findings: Findings) -> Iterator[tuple[int, ColumnarRows]]:
    for i, body in bodies.items():
        try:
            yield i, rows_of_payload(body.content, i, body.tenant)
        except Undecodable as error:
            findings.faults[i] = f"the body is not a valid metrics v3 payload: {error}"
