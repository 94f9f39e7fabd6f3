"""Protobuf bodies: one statement decodes all of them, and where it fails each is tried alone."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager

import pyarrow as pa

from opstrace.errors import StoreError
from opstrace.intake.payload import Family, Findings, Numbered
from opstrace.intake.protobuf_statement import ProtobufStatement, lent, schema
from opstrace.store.engine import Connection, Parameter, statement
from opstrace.store.statements import filled

_PACKAGE = "opstrace.intake"


class ProtobufDecoder:
    """Decodes one family of protobuf bodies into a staging table."""

    def __init__(self, connection: Connection, family: Family, message: str, table: str) -> None:
        """Know the family by its statement, and by the name of its message in agent_payload.proto."""
        self._connection = connection
        self._message = message
        self._table = table
        self._now_s = 0
        self._decode = filled(statement(_PACKAGE, family.value), schema=schema())

    def stage(self, bodies: Numbered, now_s: float, findings: Findings) -> None:
        """Decode bodies into the staging table."""
        self._now_s = int(now_s)
        try:
            self._insert(bodies)
        except StoreError as error:
            if not error.input_fault:
                raise
            self._clear(bodies)
            faults = _faults(bodies, self._message, self._read)
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
        self._statement = of_family or ProtobufStatement.of(statement(_PACKAGE, family.value), message)
        self._legible: Numbered = {}

    def look(self, bodies: Numbered, limits: Mapping[str, float], findings: Findings) -> Iterator[pa.Table]:
        """Yield the series of bodies."""
        self._legible = bodies
        try:
            yield self._read(bodies, limits)
        except StoreError as error:
            if not error.input_fault:
                raise
            findings.faults |= _faults(bodies, self._message, lambda alone: self._read(alone, limits))
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


def _faults(bodies: Numbered, message: str, read: Callable[[Numbered], object]) -> dict[int, str]:
    """Return which of these bodies cannot be read, each tried alone, and why."""
    faults = {}
    for i, body in bodies.items():
        try:
            read({i: body})
        except StoreError as error:
            if not error.input_fault:
                raise
            faults[i] = f"the body is not a valid {message} protobuf message"
    return faults
