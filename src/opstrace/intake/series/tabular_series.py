"""Series that the engine reads from tables: what decoders of JSON and of columns have in common."""

from collections.abc import Collection, Mapping, Sequence

import pyarrow as pa

from opstrace.intake.series.series_statement import SeriesStatement
from opstrace.store.engine import Connection, Parameter, statement


class TabularSeries:
    """The tables that were looked at in a commit, `FROM Python(rows)` of a SELECT, by the number of their body."""

    def __init__(self, connection: Connection, name: str, *, more: Sequence[str] = ()) -> None:
        """Take the SELECT `name`.sql of this package; `more` are columns of it that are passed on."""
        self._connection = connection
        self._statement = SeriesStatement.of(statement("opstrace.intake.series", name), more=more)
        self._tables: dict[int, pa.Table] = {}

    def read(self, tables: Mapping[int, pa.Table], limits: Mapping[str, Parameter]) -> pa.Table:
        """Return the answer of sent_series.sql over tables, and keep them; raises StoreError."""
        self._tables |= tables
        return self._connection.read(self._statement.look, rows=pa.concat_tables(tables.values()), **limits)

    def translate(self, bodies: Collection[int], parameters: Mapping[str, Parameter]) -> int:
        """Translate the series of some of the bodies that were looked at."""
        if tables := [table for i, table in self._tables.items() if i in bodies]:
            return self._connection.execute(self._statement.translate, rows=pa.concat_tables(tables), **parameters)
        return 0

    def clear(self) -> None:
        """Forget the tables."""
        self._tables = {}
