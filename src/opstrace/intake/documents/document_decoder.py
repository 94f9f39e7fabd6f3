"""Bodies that are one JSON object each: made legible, or found broken, before their parts are read."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from opstrace.errors import Undecodable
from opstrace.intake.payload import Body, Family, Findings, Numbered
from opstrace.intake.repair import repair
from opstrace.intake.rows import rows_of
from opstrace.nesting import MAX_DEPTH, is_too_deep
from opstrace.store.engine import Connection

_OBJECTS: Final = """
SELECT assumeNotNull(body) AS number, JSONExtractString(assumeNotNull(content), 'internalHostname') AS host
FROM Python(rows)
WHERE JSONType(assumeNotNull(content)) = 'Object'
"""
_NOTHING: Final = b"{}"
# Of the host that a document is of: every metric, check and event in it that names none gets a copy.
MAX_DOCUMENT_HOST_BYTES: Final = 1024


class DocumentDecoder:
    """Stages nothing; goes before all that read the same families."""

    families = frozenset({Family.INTAKE, Family.INVENTORY, Family.EVENT_V1, Family.EVENT_V2})

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def stage(self, bodies: Numbered, now_s: float, findings: Findings) -> None:  # noqa: ARG002 (no time is read)
        """Note the faults of broken bodies, and put what the engine can read in the place of others it cannot.

        An Agent's documents say of which host it is.
        """
        found = self._connection.read(_OBJECTS, rows=rows_of(bodies))
        objects = dict(zip(*(column.to_pylist() for column in found.columns), strict=True))
        for i, host in objects.items():
            if len(host.encode()) > MAX_DOCUMENT_HOST_BYTES:
                findings.faults[i] = f"internalHostname is longer than {MAX_DOCUMENT_HOST_BYTES} bytes"
            elif host:
                findings.hosts[i] = host
        for i, body in bodies.items():
            if body.family is Family.EVENT_V2 and is_too_deep(body.content):
                findings.faults[i] = f"the body is nested deeper than {MAX_DEPTH} levels"
        for i in bodies.keys() - objects.keys() - findings.faults.keys():
            try:
                findings.repaired[i] = _repaired(bodies[i])
            except Undecodable as error:
                findings.faults[i] = str(error)

    def store(self, commit: int, limits: Mapping[str, float]) -> None:
        """Nothing: no table is this decoder's own."""

    def clear(self) -> None:
        """Nothing: no table is this decoder's own."""


def _repaired(body: Body) -> Body:
    return replace(body, content=repair(body.family, body.content) or _NOTHING)
