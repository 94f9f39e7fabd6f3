"""JSON bodies: one statement a family decodes all of them; what it finds nothing in is read again, patiently."""

from collections.abc import Mapping

from opstrace.errors import Undecodable
from opstrace.intake.json_statement import JsonStatement
from opstrace.intake.payload import Body, Family, Findings, Numbered
from opstrace.intake.repair import repair
from opstrace.store.engine import Connection


class JsonDecoder:
    """Decodes one family of JSON bodies into `staged`."""

    def __init__(self, connection: Connection, family: Family) -> None:
        self.families = frozenset({family})
        self._connection = connection
        self._decode = JsonStatement(connection, family.value)

    def stage(self, bodies: Numbered, now: float, findings: Findings) -> None:
        """Decode bodies into `staged`."""
        self._decode.insert(bodies, now)
        repaired = {i: repaired_body(body, i, findings) for i, body in self._without_rows(bodies).items()}
        self._decode.insert({i: body for i, body in repaired.items() if body}, now)

    def store(self, commit: int, limits: Mapping[str, float]) -> None:
        """Nothing: what is in `staged` is everybody's."""

    def clear(self) -> None:
        """Nothing: what is in `staged` is everybody's."""

    def _without_rows(self, bodies: Numbered) -> Numbered:
        """Return the bodies that left no row in `staged`: empty ones, and ones that the engine cannot parse."""
        with_rows = set(self._connection.read("SELECT DISTINCT body FROM staged").column(0).to_pylist())
        return {i: body for i, body in bodies.items() if i not in with_rows}


def repaired_body(body: Body, i: int, findings: Findings) -> Body | None:
    """Return a body that the engine found nothing in as one it can read; nothing when it is empty, or a fault."""
    try:
        repaired = repair(body.family, body.content)
    except Undecodable as error:
        findings.faults[i] = str(error)
        return None
    return Body(body.family, body.tenant, repaired) if repaired else None
