"""JSON bodies: one statement a family decodes all of them; what it finds nothing in is read again, patiently."""

from opstrace.intake.documents.json_statement import JsonStatement
from opstrace.intake.payload import Family, Findings, Numbered
from opstrace.intake.repair import repaired_bodies
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
