"""Metrics v3 bodies: each is decoded column by column, all of a commit are looked at together."""

from collections.abc import Collection, Iterator, Mapping
from typing import Final

import pyarrow as pa

from opstrace.errors import Undecodable
from opstrace.intake.columnar_payload import ColumnarRows, rows_of_payload
from opstrace.intake.payload import Family, Findings, Numbered
from opstrace.intake.series_statement import SeriesStatement
from opstrace.store.engine import Connection, Parameter, statement

_PACKAGE: Final = "opstrace.intake"


class ColumnarDecoder:
    """Decodes metrics v3; distributions it stages in `staged_sketches`."""

    families = frozenset({Family.COLUMNAR})

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._statement = SeriesStatement.of(statement(_PACKAGE, "columnar"))
        self._sketches = statement(_PACKAGE, "decoded_sketches")
        self._series: dict[int, pa.Table] = {}

    def look(self, bodies: Numbered, limits: Mapping[str, float], findings: Findings) -> Iterator[pa.Table]:
        """Yield the series of bodies whose points are numbers, and stage the others."""
        decoded = dict(_decoded(bodies, findings))
        if sketches := [rows.sketches for rows in decoded.values() if rows.sketches.num_rows]:
            self._connection.execute(self._sketches, rows=pa.concat_tables(sketches))
        self._series = {i: rows.series for i, rows in decoded.items() if rows.series.num_rows}
        if self._series:
            yield self._connection.read(self._statement.look, rows=pa.concat_tables(self._series.values()), **limits)

    def translate(self, bodies: Collection[int], parameters: Mapping[str, Parameter]) -> int:
        """Translate the series of some of the bodies that were looked at."""
        if series := [table for i, table in self._series.items() if i in bodies]:
            return self._connection.execute(self._statement.translate, rows=pa.concat_tables(series), **parameters)
        return 0

    def clear(self) -> None:
        """Forget the bodies."""
        self._series = {}


def _decoded(bodies: Numbered, findings: Findings) -> Iterator[tuple[int, ColumnarRows]]:
    for i, body in bodies.items():
        try:
            yield i, rows_of_payload(body.content, i, body.tenant)
        except Undecodable as error:
            findings.faults[i] = f"the body is not a valid metrics v3 payload: {error}"
