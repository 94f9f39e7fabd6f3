"""JSON bodies of series: one statement reads all of them; what it finds nothing in is read again, patiently."""

from collections.abc import Collection, Iterator, Mapping

import pyarrow as pa

from opstrace.intake.json_decoder import repaired_body
from opstrace.intake.payload import Family, Findings, Numbered
from opstrace.intake.rows import rows_of
from opstrace.intake.series_statement import SeriesStatement
from opstrace.store.engine import Connection, Parameter, statement


class JsonSeriesDecoder:
    """Decodes one family of JSON bodies."""

    def __init__(self, connection: Connection, family: Family) -> None:
        self.families = frozenset({family})
        self._connection = connection
        self._statement = SeriesStatement.of(statement("opstrace.intake", family.value))
        self._legible: dict[int, pa.Table] = {}

    def look(self, bodies: Numbered, limits: Mapping[str, float], findings: Findings) -> Iterator[pa.Table]:
        """Yield the series of bodies."""
        found = self._read(bodies, limits)
        yield found
        with_rows = set(found["body"].unique().to_pylist())
        silent = {i: body for i, body in bodies.items() if i not in with_rows}
        repaired = {i: repaired_body(body, i, findings) for i, body in silent.items()}
        if legible := {i: body for i, body in repaired.items() if body}:
            yield self._read(legible, limits)

    def translate(self, bodies: Collection[int], parameters: Mapping[str, Parameter]) -> int:
        """Translate the series of some of the bodies that were looked at."""
        if rows := [row for i, row in self._legible.items() if i in bodies]:
            return self._connection.execute(self._statement.translate, rows=pa.concat_tables(rows), **parameters)
        return 0

    def clear(self) -> None:
        """Forget the bodies."""
        self._legible = {}

    def _read(self, bodies: Numbered, limits: Mapping[str, float]) -> pa.Table:
        rows = rows_of(bodies)
        self._legible |= {i: rows.slice(place, 1) for place, i in enumerate(bodies)}
        return self._connection.read(self._statement.look, rows=rows, **limits)
