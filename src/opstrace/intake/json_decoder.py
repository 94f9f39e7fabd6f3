"""JSON bodies: one statement a family decodes all of them; what it finds nothing in is read again, patiently."""

from collections.abc import Collection
from dataclasses import replace

from opstrace.errors import Undecodable
from opstrace.intake.json_statement import JsonStatement
from opstrace.intake.payload import Body, Family, Findings, Numbered
from opstrace.intake.repair import repair
from opstrace.store.engine import Connection


class JsonDecoder:
    """Decodes one family of JSON bodies into `staged`."""

    def __init__(self, connection: Connection, family: Family) -> None:
        self._connection = connection
        self._decode = JsonStatement(connection, family.value)

    def stage(self, bodies: Numbered, now_s: float, findings: Findings) -> None:
        """Decode bodies into `staged`."""
        self._decode.insert(bodies, now_s)
        with_rows = set(self._connection.read("SELECT DISTINCT body FROM staged").column(0).to_pylist())
        self._decode.insert(repaired_bodies(bodies, with_rows, findings), now_s)


def repaired_bodies(bodies: Numbered, with_rows: Collection[int], findings: Findings) -> Numbered:
    """Return those without rows as bodies that the engine can read, but for empty ones and those with a fault."""
    repaired = {i: _repaired(body, i, findings) for i, body in bodies.items() if i not in with_rows}
    return {i: body for i, body in repaired.items() if body}


def _repaired(body: Body, i: int, findings: Findings) -> Body | None:
    try:
        repaired = repair(body.family, body.content)
    except Undecodable as error:
        findings.faults[i] = str(error)
        return None
    return replace(body, content=repaired) if repaired else None
