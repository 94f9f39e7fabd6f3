"""Service checks: series of their status, as all in `staged`, and beside these their latest run and messages."""

from collections.abc import Mapping

from opstrace.intake.documents.json_decoder import JsonDecoder
from opstrace.intake.documents.json_statement import JsonStatement, with_key
from opstrace.intake.payload import Family, Findings, Numbered
from opstrace.store.engine import Connection, statement


class CheckDecoder:
    """Decodes service checks, wherever they come."""

    families = frozenset({Family.CHECK_RUN, Family.INTAKE})

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._runs = JsonDecoder(connection, Family.CHECK_RUN)
        self._part = JsonStatement(connection, "intake_checks")
        self._checks = statement("opstrace.intake.documents", "checks")
        self._messages = statement("opstrace.intake.documents", "check_messages")
        self._staged = False

    def stage(self, bodies: Numbered, now_s: float, findings: Findings) -> None:
        """Decode bodies into `staged`."""
        runs = {i: body for i, body in bodies.items() if body.family is Family.CHECK_RUN}
        parts = with_key({i: body for i, body in bodies.items() if i not in runs}, "service_checks")
        if runs:
            self._runs.stage(runs, now_s, findings)
        self._part.insert(parts, now_s)
        self._staged = bool(runs or parts)

    def store(self, commit: int, limits: Mapping[str, float]) -> None:
        """Make the latest runs and the messages durable."""
        if self._staged:
            self._connection.execute(self._checks, **limits)
            self._connection.execute(self._messages, commit=commit, **limits)

    def clear(self) -> None:
        """Forget that there were checks; what is in `staged` is everybody's."""
        self._staged = False
