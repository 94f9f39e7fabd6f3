"""Metrics v3 bodies: each is decoded column by column, all of a commit are staged together."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import pyarrow as pa

from opstrace.errors import Undecodable
from opstrace.intake.columnar_payload import ColumnarRows, rows_of_payload
from opstrace.intake.payload import Family, Findings, Numbered
from opstrace.store.engine import Connection, statement

_PACKAGE: Final = "opstrace.intake"


class ColumnarDecoder:
    """Decodes metrics v3: series into `staged`, distributions into `staged_sketches`."""

    families = frozenset({Family.COLUMNAR})

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._series = statement(_PACKAGE, "columnar")
        self._sketches = statement(_PACKAGE, "decoded_sketches")

    def stage(self, bodies: Numbered, now: float, findings: Findings) -> None:  # noqa: ARG002 (the wire has the time)
        """Decode bodies into the staging tables."""
        decoded = list(_decoded(bodies, findings))
        self._insert(self._series, [rows.series for rows in decoded])
        self._insert(self._sketches, [rows.sketches for rows in decoded])

    def store(self, commit: int, limits: Mapping[str, float]) -> None:
        """Nothing: what is in `staged` is everybody's."""

    def clear(self) -> None:
        """Nothing: what is in `staged` is everybody's."""

    def _insert(self, sql: str, tables: Sequence[pa.Table]) -> None:
        rows = [table for table in tables if table.num_rows]
        if rows:
            self._connection.execute(sql, rows=pa.concat_tables(rows))


def _decoded(bodies: Numbered, findings: Findings) -> Iterator[ColumnarRows]:
    for i, body in bodies.items():
        try:
            yield rows_of_payload(body.content, i, body.tenant)
        except Undecodable as error:
            findings.faults[i] = f"the body is not a valid metrics v3 payload: {error}"
