"""Logs, in every form in which they come."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final

import msgspec
import pyarrow as pa

from opstrace.errors import Undecodable
from opstrace.intake.logs.agent_logs import AgentLogs
from opstrace.intake.logs.log_facts import DEFAULTS, GUESSED, LOGPLEX
from opstrace.intake.logs.logplex import separated
from opstrace.intake.payload import STORED, Body, Family, Findings, Numbered
from opstrace.intake.repair import MAX_REPAIR_BYTES, repair, repair_lines
from opstrace.intake.rows import rows_of
from opstrace.store.engine import Connection, statement

_PACKAGE: Final = "opstrace.intake.logs"
_DAY_S: Final = 86_400
_WEEK_S: Final = 7 * _DAY_S  # how old a line may be that says itself when it was written
# Written out for each log. A shipper's batch has 5 MB, and a few hundred bytes of tags beside it.
MAX_DEFAULTS_BYTES: Final = 64 * 1024 * 1024
MAX_MESSAGE_BYTES: Final = 1_000_000
CUT_HERE: Final = "...TRUNCATED..."  # as Agents end what they cut (DataDog/datadog-agent: pkg/logs/message)
_READ: Final = """
SELECT
    body,
    max(legible) AS found,
    groupArrayIf(place, NOT legible) AS places,
    max(startsWith(message, '{')) AS of_program
FROM staged_logs
GROUP BY body
"""
_ELEMENTS: Final = msgspec.json.Decoder(list[msgspec.Raw])


class LogsDecoder:
    """Decodes logs into a staging table of their own, and stores them.

    `facts` of a body are those of log_facts.py.
    """

    families = frozenset({Family.LOGS, Family.LOGS_TEXT})

    def __init__(self, connection: Connection, *, retention_days: Callable[[], int]) -> None:
        self._connection = connection
        self._retention_days = retention_days
        self._agents = AgentLogs(connection)
        self._json = statement(_PACKAGE, "logs")
        self._programs = statement(_PACKAGE, "logs_of_programs")
        self._text = statement(_PACKAGE, "logs_text")
        self._verdicts = statement(_PACKAGE, "log_verdicts")
        self._rows = statement(_PACKAGE, "log_rows")
        self._findings: Findings | None = None
        self._now_s = 0.0

    def stage(self, bodies: Numbered, now_s: float, findings: Findings) -> None:
        """Decode bodies into the staging table."""
        self._findings, self._now_s = findings, now_s
        swollen = {i for i, body in bodies.items() if _swells(body)}
        for i in swollen:
            findings.faults[i] = f"what the address says of each log is more than {MAX_DEFAULTS_BYTES} bytes in all"
        bodies = {i: body for i, body in bodies.items() if i not in swollen}
        texts = {i: body for i, body in bodies.items() if body.family is Family.LOGS_TEXT}
        texts |= self._stage_documents({i: body for i, body in bodies.items() if i not in texts}, findings)
        self._insert(self._text, {i: _framed(body) for i, body in texts.items()})

    def _stage_documents(self, bodies: Numbered, findings: Findings) -> Numbered:
        """Decode bodies of JSON; return those that are text after all."""
        plain = {i: body for i, body in bodies.items() if not body.facts.keys() & DEFAULTS.keys()}
        staged, of_program = self._agents.stage(plain, round(self._now_s * 1000))
        documents = {i: body for i, body in bodies.items() if i not in staged}
        texts: Numbered = {}
        if documents:
            self._insert(self._json, documents)
            read = {row["body"]: row for row in self._connection.read(_READ).to_pylist()}
            repaired, texts = self._repaired(documents, read, findings)
            self._insert(self._json, repaired)
            of_program = of_program or bool(repaired) or any(row["of_program"] for row in read.values())
        # Messages that begin with a brace: few bodies have any, and this takes milliseconds.
        if of_program:
            self._connection.execute(self._programs, oldest=max(self._oldest(), self._now_s - _WEEK_S))
        return texts

    def store(self, commit: int, limits: Mapping[str, float]) -> None:
        """Make logs durable and count them; their retention is their own."""
        if self._findings is None:
            return
        limits = {"oldest": self._oldest(), "newest": limits["newest"]}
        cutting = {"max_message_bytes": MAX_MESSAGE_BYTES}
        self._connection.execute(self._rows, commit=commit, cut_here=CUT_HERE, **cutting, **limits)
        for row in self._connection.read(self._verdicts, **cutting, **limits).to_pylist():
            i, reason = row["body"], row["reason"]
            self._findings.logs.setdefault(i, {})[reason] = row["total"]
            if row["of_host"] and (reason == STORED or i not in self._findings.hosts):
                self._findings.hosts[i] = row["of_host"]
            if reason == STORED:
                self._findings.cut_logs[i] = row["cut"]
                if row["untimed"]:
                    self._findings.untimed.add(i)

    def _oldest(self) -> float:
        """Return the time in seconds before which a log is refused."""
        return max(self._now_s - self._retention_days() * _DAY_S, 0.0)

    def clear(self) -> None:
        """Empty the staging table, if it was filled."""
        if self._findings is not None:
            self._connection.execute("TRUNCATE TABLE staged_logs")
            self._findings = None

    def _insert(self, sql: str, bodies: Numbered) -> None:
        if bodies:
            self._connection.execute(sql, rows=_with_facts(rows_of(bodies), bodies, round(self._now_s * 1000)))

    def _repaired(
        self, bodies: Numbered, read: Mapping[int, Mapping[str, Any]], findings: Findings
    ) -> tuple[Numbered, Numbered]:
        """Return bodies that the engine could not read as it can, and those that are text after all.

        Their rows are removed, as are those of bodies that nobody can read.
        """
        repaired, texts = {}, {}
        for i, (found, places) in _illegible(bodies, read).items():
            body = bodies[i]
            try:
                content = repair(body.family, body.content)
            except Undecodable as error:
                content = repair_lines(body.content, places, as_text=found and GUESSED in body.facts)
                if content is None and not found:
                    if GUESSED in body.facts and len(body.content) <= MAX_REPAIR_BYTES:
                        texts[i] = replace(body, family=Family.LOGS_TEXT)
                    else:
                        findings.faults[i] = str(error)
            if content:
                repaired[i] = replace(body, content=content)
        if unread := [*repaired, *texts, *(i for i in findings.faults if i in bodies)]:
            numbers = ", ".join(map(str, unread))
            self._connection.execute(f"ALTER TABLE staged_logs DELETE WHERE body IN ({numbers})")
        return repaired, texts


def _illegible(bodies: Numbered, read: Mapping[int, Mapping[str, Any]]) -> dict[int, tuple[bool, list[int]]]:
    """Return the bodies that want to be read again: whether a log was found, and the places where none was.

    What is no log in an array of which others are is refused; a line is read again, and a body without any log.
    """
    found = {i: (row["found"], row["places"]) for i, row in read.items()}
    return {
        i: found.get(i, (False, []))
        for i, body in bodies.items()
        if i not in found or not found[i][0] or (found[i][1] and not body.content.lstrip().startswith(b"["))
    }


def _swells(body: Body) -> bool:
    """Say whether the defaults of a body, written out for each log, are too much."""
    size = sum(len(body.facts.get(fact, "").encode()) for fact in DEFAULTS)
    if size * (len(body.content) + 1) <= MAX_DEFAULTS_BYTES:
        return False  # of most bodies the address says nothing
    # Almost no body has so many commas.
    most = body.content.count(b",") + body.content.count(b"\n") + 1
    return size * most > MAX_DEFAULTS_BYTES and size * _logs_in(body.content) > MAX_DEFAULTS_BYTES


def _logs_in(content: bytes) -> int:
    """Return how many logs a body has: elements of an array, or lines."""
    try:
        return len(_ELEMENTS.decode(content))
    except msgspec.DecodeError:
        return content.count(b"\n") + 1


def _with_facts(rows: pa.Table, bodies: Numbered, now_ms: int) -> pa.Table:
    for fact, column in DEFAULTS.items():
        rows = rows.append_column(
            column, pa.array([body.facts.get(fact, "") for body in bodies.values()], pa.string())
        )
    rows = rows.append_column("came_ms", pa.array([body.came_ms or now_ms for body in bodies.values()], pa.int64()))
    return rows.append_column(LOGPLEX, pa.array([LOGPLEX in body.facts for body in bodies.values()], pa.bool_()))


def _framed(body: Body) -> Body:
    return replace(body, content=separated(body.content)) if LOGPLEX in body.facts else body
