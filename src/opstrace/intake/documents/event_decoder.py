"""Events, wherever they come. One that is a body of its own is told to its sender, or refused to him."""

from collections import defaultdict
from collections.abc import Mapping
from typing import Final

from opstrace.intake.documents.json_statement import JsonStatement, with_key
from opstrace.intake.documents.protobuf_decoder import ProtobufDecoder
from opstrace.intake.payload import STORED, Body, Family, Findings, Numbered
from opstrace.store.engine import Connection, statement
from opstrace.store.events import Event

_PACKAGE: Final = "opstrace.intake.documents"
_TABLE: Final = "staged_events"
_SINGLE: Final = frozenset({Family.EVENT_V1, Family.EVENT_V2})
# What the sender of one event is told when it is not stored; the words are Datadog's where there are such.
_FAULTS: Final = {
    "no_text": "an event needs a title or a text",
    "no_timestamp": "the time of the event cannot be read",
    "future": "Event too far in the future",
    "ancient": "Event too far in the past",
}


class EventDecoder:
    """Decodes events into a staging table of their own, and stores them."""

    families = frozenset({Family.INTAKE, Family.EVENTS_BATCH}) | _SINGLE

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._json = {
            Family.INTAKE: JsonStatement(connection, "intake_events"),
            Family.EVENT_V1: JsonStatement(connection, Family.EVENT_V1.value),
            Family.EVENT_V2: JsonStatement(connection, Family.EVENT_V2.value),
        }
        self._batches = ProtobufDecoder(connection, Family.EVENTS_BATCH, "EventsPayload", _TABLE)
        self._verdicts = statement(_PACKAGE, "events_verdicts")
        self._answers = statement(_PACKAGE, "event_answers")
        self._store = statement(_PACKAGE, "events")
        self._single: list[int] = []
        self._findings: Findings | None = None

    def stage(self, bodies: Numbered, now_s: float, findings: Findings) -> None:
        """Decode bodies into the staging table."""
        of_family: defaultdict[Family, dict[int, Body]] = defaultdict(dict)
        for i, body in bodies.items():
            of_family[body.family][i] = body
        of_family[Family.INTAKE] = dict(with_key(of_family[Family.INTAKE], "events"))
        if not any(of_family.values()):
            return
        self._findings = findings
        self._single = [i for i, body in bodies.items() if body.family in _SINGLE]
        for family, decode in self._json.items():
            decode.insert(of_family[family], now_s)
        if batches := of_family[Family.EVENTS_BATCH]:
            self._batches.stage(batches, now_s, findings)

    def store(self, commit: int, limits: Mapping[str, float]) -> None:  # noqa: ARG002 (a repeat is the same row)
        """Make events durable, count them, and note what the senders of single ones are told."""
        if self._findings is None:
            return
        self._connection.execute(self._store, **limits)
        self._count(self._findings, limits)
        if self._single:
            rows = self._connection.read(self._answers, bodies=self._single, **limits).to_pylist()
            self._findings.told |= {row.pop("body"): Event(**row) for row in rows}

    def clear(self) -> None:
        """Empty the staging table, if it was filled."""
        if self._findings is not None:
            self._connection.execute(f"TRUNCATE TABLE {_TABLE}")
            self._findings, self._single = None, []

    def _count(self, findings: Findings, limits: Mapping[str, float]) -> None:
        for row in self._connection.read(self._verdicts, **limits).to_pylist():
            i, reason = row["body"], row["reason"]
            findings.events[i][reason] = row["total"]
            if i in self._single and reason != STORED:
                findings.faults[i] = _FAULTS[reason]
