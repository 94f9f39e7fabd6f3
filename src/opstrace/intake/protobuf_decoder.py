"""Protobuf bodies: one statement decodes all of them, and where it fails each is tried alone."""

from collections.abc import Mapping, Sequence
from importlib.resources import files

from opstrace.errors import StoreError
from opstrace.intake.payload import Body, Family, Findings, Numbered
from opstrace.intake.rows import file_of
from opstrace.store.engine import Connection, statement

_PACKAGE = "opstrace.intake"


class ProtobufDecoder:
    """Decodes one family of protobuf bodies into a staging table."""

    def __init__(self, connection: Connection, family: Family, message: str, table: str = "staged") -> None:
        """Know the family by its statement, and by the name of its message in agent_payload.proto."""
        self.families = frozenset({family})
        self._connection = connection
        self._message = message
        self._table = table
        self._decode = statement(_PACKAGE, family.value).replace(
            "{schema}", _quoted(str(files(_PACKAGE) / "agent_payload.proto"))
        )

    def stage(self, bodies: Numbered, now: float, findings: Findings) -> None:  # noqa: ARG002 (the wire has the time)
        """Decode bodies into the staging table."""
        try:
            self._insert(bodies)
        except StoreError as error:
            if not error.input_fault:
                raise
            self._clear(bodies)
            faults = {i: fault for i, body in bodies.items() if (fault := self._fault(body))}
            self._insert({i: body for i, body in bodies.items() if i not in faults})
            findings.faults |= faults

    def store(self, commit: int, limits: Mapping[str, float]) -> None:
        """Nothing: what is in `staged` is everybody's."""

    def clear(self) -> None:
        """Nothing: what is in `staged` is everybody's."""

    def _insert(self, bodies: Numbered) -> None:
        if bodies:
            with file_of(body.content for body in bodies.values()) as path:
                tenants = [body.tenant for body in bodies.values()]
                self._connection.execute(self._decode, path=path, bodies=list(bodies), tenants=tenants)

    def _clear(self, bodies: Sequence[int] | Numbered) -> None:
        """Take back what a failed statement may have staged: it would count twice."""
        numbers = ", ".join(map(str, bodies))
        self._connection.execute(f"ALTER TABLE {self._table} DELETE WHERE body IN ({numbers})")

    def _fault(self, body: Body) -> str:
        """Return what is wrong with a body, or nothing."""
        query = self._decode[self._decode.index("SELECT") :]
        try:
            with file_of([body.content]) as path:
                self._connection.read(query, path=path, bodies=[0], tenants=[""])
        except StoreError as error:
            if not error.input_fault:
                raise
            return f"the body is not a valid {self._message} protobuf message"
        return ""


def _quoted(path: str) -> str:
    return path.replace("\\", "\\\\").replace("'", "\\'")
