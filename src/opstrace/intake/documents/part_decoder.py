"""A part of the JSON document that Agents post to /intake/."""

from collections.abc import Mapping

from opstrace.intake.documents.json_statement import JsonStatement, with_key
from opstrace.intake.payload import Family, Findings, Numbered
from opstrace.store.engine import Connection


class PartDecoder:
    """Decodes a part of such documents into `staged`."""

    families = frozenset({Family.INTAKE})

    def __init__(self, connection: Connection, name: str, *keys: str) -> None:
        """Know the part by its statement, and by the keys without which a document has none of it."""
        self._decode = JsonStatement(connection, name)
        self._keys = keys

    def stage(self, bodies: Numbered, now_s: float, findings: Findings) -> None:  # noqa: ARG002 (the faults are noted)
        """Decode the part into `staged`."""
        self._decode.insert(with_key(bodies, *self._keys), now_s)

    def store(self, commit: int, limits: Mapping[str, float]) -> None:
        """Nothing: what is in `staged` is everybody's."""

    def clear(self) -> None:
        """Nothing: what is in `staged` is everybody's."""
