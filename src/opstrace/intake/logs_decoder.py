"""Logs, in every form in which they come."""

from collections.abc import Callable, Mapping
from typing import Final

import pyarrow as pa

from opstrace.errors import Undecodable
from opstrace.intake.payload import STORED, Body, Family, Findings, Numbered
from opstrace.intake.repair import repair
from opstrace.intake.rows import rows_of
from opstrace.store.engine import Connection, statement

_PACKAGE: Final = "opstrace.intake"
_DAY_S: Final = 86_400
# Parameters of the address that are defaults for every log of a body, and the columns they fill.
DEFAULTS: Final = {
    "hostname": "default_host",
    "service": "default_service",
    "ddsource": "default_source",
    "ddtags": "default_tags",
}
LOGPLEX: Final = "logplex"


class LogsDecoder:
    """Decodes logs into a staging table of their own, and stores them.

    `facts` of a body may hold DEFAULTS, and LOGPLEX where its lines are syslog records.
    """

    families = frozenset({Family.LOGS, Family.LOGS_TEXT})

    def __init__(self, connection: Connection, *, retention_days: Callable[[], int]) -> None:
        self._connection = connection
        self._retention_days = retention_days
        self._json = statement(_PACKAGE, "logs")
        self._text = statement(_PACKAGE, "logs_text")
        self._verdicts = statement(_PACKAGE, "log_verdicts")
        self._rows = statement(_PACKAGE, "log_rows")
        self._findings: Findings | None = None
        self._now = 0.0

    def stage(self, bodies: Numbered, now: float, findings: Findings) -> None:
        """Decode bodies into the staging table."""
        self._findings, self._now = findings, now
        texts = {i: body for i, body in bodies.items() if body.family is Family.LOGS_TEXT}
        documents = {i: body for i, body in bodies.items() if i not in texts}
        self._insert(self._text, texts)
        self._insert(self._json, documents)
        if documents:
            self._insert(self._json, self._repaired(self._illegible(documents), findings))

    def store(self, commit: int, limits: Mapping[str, float]) -> None:
        """Make logs durable and count them; their retention is their own."""
        if self._findings is None:
            return
        limits = {"oldest": max(self._now - self._retention_days() * _DAY_S, 0.0), "newest": limits["newest"]}
        self._connection.execute(self._rows, commit=commit, now_ms=round(self._now * 1000), **limits)
        for row in self._connection.read(self._verdicts, **limits).to_pylist():
            i, reason = row["body"], row["reason"]
            self._findings.logs.setdefault(i, {})[reason] = row["total"]
            self._findings.hosts[i] = row["of_host"]
            if row["untimed"] and reason == STORED:
                self._findings.untimed.add(i)

    def clear(self) -> None:
        """Empty the staging table, if it was filled."""
        if self._findings is not None:
            self._connection.execute("TRUNCATE TABLE staged_logs")
            self._findings = None

    def _insert(self, sql: str, bodies: Numbered) -> None:
        if bodies:
            self._connection.execute(sql, rows=_with_facts(rows_of(bodies), bodies))

    def _illegible(self, bodies: Numbered) -> Numbered:
        """Return the bodies in which the engine found no log, and forget what it found instead."""
        query = "SELECT DISTINCT body FROM staged_logs WHERE legible"
        legible = set(self._connection.read(query).column(0).to_pylist())
        illegible = {i: body for i, body in bodies.items() if i not in legible}
        if illegible:
            numbers = ", ".join(map(str, illegible))
            self._connection.execute(f"ALTER TABLE staged_logs DELETE WHERE body IN ({numbers})")
        return illegible

    def _repaired(self, bodies: Numbered, findings: Findings) -> Numbered:
        repaired = {}
        for i, body in bodies.items():
            try:
                found = repair(body.family, body.content)
            except Undecodable as error:
                findings.faults[i] = str(error)
                continue
            if found:
                repaired[i] = Body(body.family, body.tenant, found, body.facts)
        return repaired


def _with_facts(rows: pa.Table, bodies: Numbered) -> pa.Table:
    for fact, column in DEFAULTS.items():
        rows = rows.append_column(
            column, pa.array([body.facts.get(fact, "") for body in bodies.values()], pa.string())
        )
    return rows.append_column(LOGPLEX, pa.array([LOGPLEX in body.facts for body in bodies.values()], pa.bool_()))
