"""Protobuf bodies of series: one statement reads all of them, and where it fails each is tried alone."""

from collections.abc import Collection, Iterator, Mapping

import pyarrow as pa

from opstrace.errors import StoreError
from opstrace.intake import protobuf_bodies
from opstrace.intake.payload import Family, Findings, Numbered
from opstrace.intake.protobuf_bodies import lent
from opstrace.intake.series.protobuf_statement import ProtobufStatement
from opstrace.store.engine import Connection, Parameter, statement


class ProtobufSeriesDecoder:
    """Decodes one family of protobuf bodies of series."""

    def __init__(
        self, connection: Connection, family: Family, message: str, of_family: ProtobufStatement | None = None
    ) -> None:
        """Know the family by its statement, `of_family` or the one around its SELECT, and its message.

        The message is known by its name in agent_payload.proto.
        """
        self.families = frozenset({family})
        self._connection = connection
        self._message = message
        self._statement = of_family or ProtobufStatement.of(
            statement("opstrace.intake.series", family.value), message
        )
        self._legible: Numbered = {}

    def look(self, bodies: Numbered, limits: Mapping[str, float], findings: Findings) -> Iterator[pa.Table]:
        """Yield the series of bodies."""
        self._legible = bodies
        try:
            yield self._read(bodies, limits)
        except StoreError as error:
            if not error.input_fault:
                raise
            findings.faults |= protobuf_bodies.faults(bodies, self._message, lambda alone: self._read(alone, limits))
            self._legible = {i: body for i, body in bodies.items() if i not in findings.faults}
            if self._legible:
                yield self._read(self._legible, limits)

    def translate(self, bodies: Collection[int], parameters: Mapping[str, Parameter]) -> int:
        """Translate the series of some of the bodies that were looked at."""
        if own := {i: body for i, body in self._legible.items() if i in bodies}:
            with self._statement.translating(own) as (sql, lent_parameters):
                return self._connection.execute(sql, **lent_parameters, **parameters)
        return 0

    def clear(self) -> None:
        """Forget the bodies."""
        self._legible = {}

    def _read(self, bodies: Numbered, limits: Mapping[str, float]) -> pa.Table:
        return self._look(self._statement, bodies, limits)

    def _look(self, of: ProtobufStatement, bodies: Numbered, limits: Mapping[str, float]) -> pa.Table:
        with lent(bodies) as parameters:
            return self._connection.read(of.look, **parameters, **limits)
