"""The series that decoders of other bodies left in `staged`."""

from collections.abc import Collection, Iterator, Mapping

import pyarrow as pa

from opstrace.intake.payload import Family, Findings, Numbered
from opstrace.intake.series.series_statement import STAGED, SeriesStatement
from opstrace.store.engine import Connection, Parameter


class StagedSeries:
    """Reads `staged` as a decoder of series reads bodies; it comes after those that fill it."""

    # Of which other decoders leave series in `staged`.
    families = frozenset({Family.CHECK_RUN, Family.INTAKE})

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._statement = SeriesStatement.of(STAGED)
        self._bodies: set[int] = set()

    def look(self, bodies: Numbered, limits: Mapping[str, float], findings: Findings) -> Iterator[pa.Table]:  # noqa: ARG002 (they are decoded)
        """Yield the series that are staged."""
        found = self._connection.read(self._statement.look, **limits)
        self._bodies = set(found["body"].unique().to_pylist())
        yield found

    def translate(self, bodies: Collection[int], parameters: Mapping[str, Parameter]) -> int:
        """Translate what is staged, if it is of these bodies."""
        if self._bodies.isdisjoint(bodies):
            return 0
        return self._connection.execute(self._statement.translate, **parameters)

    def clear(self) -> None:
        """Empty the staging table."""
        self._bodies = set()
        self._connection.execute(f"TRUNCATE TABLE {STAGED}")
