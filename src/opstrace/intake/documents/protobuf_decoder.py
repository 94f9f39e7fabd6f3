"""Protobuf bodies that are no series: one statement decodes all of them, and where it fails each is tried alone."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from opstrace.errors import StoreError
from opstrace.intake import protobuf_bodies
from opstrace.intake.payload import Family, Findings, Numbered
from opstrace.intake.protobuf_bodies import lent, schema
from opstrace.store.engine import Connection, Parameter, statement
from opstrace.store.statements import filled


class ProtobufDecoder:
    """Decodes one family of protobuf bodies into a staging table."""

    def __init__(self, connection: Connection, family: Family, message: str, table: str) -> None:
        """Know the family by its statement, and by the name of its message in agent_payload.proto."""
        self._connection = connection
        self._message = message
        self._table = table
        self._now_s = 0
        self._decode = filled(statement("opstrace.intake.documents", family.value), schema=schema())

    def stage(self, bodies: Numbered, now_s: float, findings: Findings) -> None:
        """Decode bodies into the staging table."""
        self._now_s = int(now_s)
        try:
            self._insert(bodies)
        except StoreError as error:
            if not error.input_fault:
                raise
            self._clear(bodies)
            faults = protobuf_bodies.faults(bodies, self._message, self._read)
            self._insert({i: body for i, body in bodies.items() if i not in faults})
            findings.faults |= faults

    def _insert(self, bodies: Numbered) -> None:
        if bodies:
            with self._lent(bodies) as parameters:
                self._connection.execute(self._decode, **parameters)

    def _clear(self, bodies: Sequence[int] | Numbered) -> None:
        """Take back what a failed statement may have staged: it would count twice."""
        numbers = ", ".join(map(str, bodies))
        self._connection.execute(f"ALTER TABLE {self._table} DELETE WHERE body IN ({numbers})")

    def _read(self, bodies: Numbered) -> None:
        query = self._decode[self._decode.index("SELECT") :]
        with self._lent(bodies) as parameters:
            self._connection.read(query, **parameters)

    @contextmanager
    def _lent(self, bodies: Numbered) -> Iterator[dict[str, Parameter]]:
        with lent(bodies) as parameters:
            yield {**parameters, "came": [body.came_ms // 1000 or self._now_s for body in bodies.values()]}
