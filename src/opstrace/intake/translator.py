"""One commit's bodies through the engine: decoded, judged, translated, made durable.

Everything happens in SQL (`*.sql` beside this file); here is the order of the statements.
"""

import time
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from opstrace.config import Limits, LimitsOf
from opstrace.intake.check_decoder import CheckDecoder
from opstrace.intake.columnar_decoder import ColumnarDecoder
from opstrace.intake.distribution_decoder import DistributionDecoder
from opstrace.intake.document_decoder import DocumentDecoder
from opstrace.intake.event_decoder import EventDecoder
from opstrace.intake.host_decoder import HostDecoder
from opstrace.intake.json_decoder import JsonDecoder
from opstrace.intake.kept_decoder import KeptDecoder
from opstrace.intake.logs_decoder import LogsDecoder
from opstrace.intake.part_decoder import PartDecoder
from opstrace.intake.payload import Body, Decoder, Family, Findings, Verdict
from opstrace.intake.protobuf_decoder import ProtobufDecoder
from opstrace.intake.remote_write.decoder import RemoteWriteDecoder
from opstrace.intake.series_room import SeriesRoom
from opstrace.intake.sketch_decoder import SketchDecoder
from opstrace.store.backend import Block
from opstrace.store.engine import Connection, Engine, script, statement
from opstrace.store.host_writer import HostWriter
from opstrace.store.kept import KeptRequests
from opstrace.store.writer import Writer

_PACKAGE: Final = "opstrace.intake"
_DAY_S: Final = 86_400
# Where verdicts.sql looks for series beyond their tenant's room: only if there are such.
_EXCESS: Final = """sipHash64(tenant, series) IN (SELECT key FROM excess WHERE refusal = 'too_many_series'), 5,
                    sipHash64(tenant, series) IN (SELECT key FROM excess), 6,"""
_LIMITS: Final = ("max_name_bytes", "max_tags", "max_tag_bytes")
# ASCII characters that Prometheus's alphabets lack: of label names, and of metric names, which may have colons.
_NOT_IN_KEYS: Final = "".join(c for c in map(chr, range(128)) if not (c.isalnum() or c == "_"))
_NOT_IN_NAMES: Final = _NOT_IN_KEYS.replace(":", "")


def decoders(
    connection: Connection,
    kept: KeptRequests,
    hosts: HostWriter,
    limits: Limits,
    *,
    log_retention_days: Callable[[], int],
) -> list[Decoder]:
    """Return a decoder of each kind; together they know every family."""
    return [
        JsonDecoder(connection, Family.SERIES_V1),
        JsonDecoder(connection, Family.SERIES_V2_JSON),
        ProtobufDecoder(connection, Family.SERIES_V2_PROTOBUF, "MetricPayload"),
        ProtobufDecoder(connection, Family.SKETCHES, "SketchPayload", "staged_sketches"),
        ColumnarDecoder(connection),
        DistributionDecoder(connection),
        SketchDecoder(connection),
        DocumentDecoder(connection),
        PartDecoder(connection, "intake_metrics", "metrics", "collection_timestamp"),
        CheckDecoder(connection),
        EventDecoder(connection),
        HostDecoder(hosts, limits),
        LogsDecoder(connection, retention_days=log_retention_days),
        # The last: what it writes counts twice if a commit fails after it.
        KeptDecoder(kept),
    ]


@dataclass(slots=True)
class Judged:
    """What `staged` shows of one body."""

    points: Counter[str] = field(default_factory=Counter)
    series: Counter[str] = field(default_factory=Counter)
    late: int = 0
    timed: bool = True
    host: str = ""

    @classmethod
    def stored(cls, *, series: int, stored: int, late: int, untimed: int, of_host: str, **_others: int) -> "Judged":
        """Take in a row of summary.sql of a body that is stored as a whole."""
        return cls(Counter(stored=stored), Counter(stored=series), late, untimed == 0, of_host)

    def count(self, *, unit: str, reason: str, total: int, late: bool, untimed: bool, **_body: int) -> None:
        """Take in one row of verdicts.sql."""
        (self.points if unit == "points" else self.series)[reason] += total
        self.late += total if late else 0
        self.timed = self.timed and not untimed


class Translator:
    """Makes bodies durable as series and samples; not for use by two threads at once."""

    def __init__(
        self,
        engine: Engine,
        writer: Writer,
        kept: KeptRequests,
        hosts: HostWriter,
        limits: Limits,
        limits_of: LimitsOf,
        *,
        retention_days: Callable[[], int],
        log_retention_days: Callable[[], int],
        tag_label_prefix: str,
    ) -> None:
        self._connection = engine.writer
        self._writer = writer
        self._retention_days = retention_days
        self._max_future_s = limits.max_future_s
        self._alphabet = {"prefix": tag_label_prefix, "not_in_keys": _NOT_IN_KEYS, "not_in_names": _NOT_IN_NAMES}
        self._verdicts = statement(_PACKAGE, "verdicts")
        self._summary = statement(_PACKAGE, "summary")
        self._translate = statement(_PACKAGE, "translate")
        self._samples = statement(_PACKAGE, "samples")
        for part in script(_PACKAGE, "staging"):
            self._connection.execute(_with_limits(part, limits))
        self._room = SeriesRoom(engine.writer, limits_of)
        self._decoders = [
            RemoteWriteDecoder(engine.writer, writer, self._room, limits),
            *decoders(engine.writer, kept, hosts, limits, log_retention_days=log_retention_days),
        ]

    def forget(self, tenant: str) -> None:
        """Count nothing of a tenant any more: all of it was removed."""
        self._room.forget(tenant)
        self._writer.reload_seen()

    def commit(self, bodies: Sequence[Body], blocks: Sequence[tuple[str, Block]] = ()) -> tuple[list[Verdict], int]:
        """Make bodies and blocks durable; return a verdict a body, and how many series rows were added.

        Raises StoreError when the engine cannot: then nothing of it counts, and all of it may be sent again.
        """
        commit = self._writer.next_commit()
        verdicts, added = self._commit(bodies, commit) if bodies else ([], 0)
        return verdicts, added + self._writer.append(blocks, commit)

    def _commit(self, bodies: Sequence[Body], commit: int) -> tuple[list[Verdict], int]:
        now = time.time()
        limits = {"oldest": max(now - self._retention_days() * _DAY_S, 0.0), "newest": now + self._max_future_s}
        try:
            findings = self._stage(bodies, now)
            judged, added = self._translated(findings, commit, now, limits)
            for decoder in self._decoders:
                decoder.store(commit, limits)
        finally:
            self._clear()
        return [_verdict(i, judged[i], findings) for i in range(len(bodies))], added + findings.added

    def _translated(
        self, findings: Findings, commit: int, now: float, limits: Mapping[str, float]
    ) -> tuple[defaultdict[int, Judged], int]:
        """Make what is in `staged` durable; return what it shows of each body, and how many series were added."""
        moments = {"now_ms": round(now * 1000), **limits}
        summary = self._connection.read(self._summary, **moments).to_pylist()
        if not summary:
            return _with_refusals(defaultdict(Judged), findings), 0
        odd = any(row["odd"] for row in summary)
        unseen = (odd or any(row["unseen"] for row in summary)) and self._translate_unseen(limits)
        exceeded = unseen and self._room.admit()
        judged = self._judge(summary, moments, exceeded=exceeded, closely=odd or exceeded)
        if exceeded:
            self._room.clear()
        added = self._writer.register_unseen() if unseen else 0
        self._connection.execute(self._samples, commit=commit, **limits)
        return _with_refusals(judged, findings), added

    def _translate_unseen(self, limits: Mapping[str, float]) -> bool:
        """Translate the series that have no row of their day yet, and say whether there are such."""
        return self._connection.execute(self._translate, **self._alphabet, **limits) > 0

    def _stage(self, bodies: Sequence[Body], now: float) -> Findings:
        findings = Findings()
        for decoder in self._decoders:
            own = {
                i: findings.repaired.get(i, body)
                for i, body in enumerate(bodies)
                if body.family in decoder.families and body.content and i not in findings.faults
            }
            if own:
                decoder.stage(own, now, findings)
        return findings

    def _judge(
        self, summary: Sequence[dict[str, Any]], moments: Mapping[str, float], *, exceeded: bool, closely: bool
    ) -> defaultdict[int, Judged]:
        """Return the points and series of each body, counted by what became of them."""
        if not closely:
            return defaultdict(Judged, {row["body"]: Judged.stored(**row) for row in summary})
        judged = defaultdict(Judged, {row["body"]: Judged(host=row["of_host"]) for row in summary})
        query = self._verdicts.replace("{excess}", _EXCESS if exceeded else "")
        for row in self._connection.read(query, **moments).to_pylist():
            judged[row["body"]].count(**row)
        return judged

    def _clear(self) -> None:
        self._connection.execute("TRUNCATE TABLE staged")
        self._connection.execute("TRUNCATE TABLE unseen")
        for decoder in self._decoders:
            decoder.clear()


def _with_refusals(judged: defaultdict[int, Judged], findings: Findings) -> defaultdict[int, Judged]:
    for i, refused in findings.refused.items():
        judged[i].points.update(refused)
    return judged


def _with_limits(part: str, limits: Limits) -> str:
    for name in _LIMITS:
        part = part.replace(f"{{{name}}}", str(getattr(limits, name)))
    return part


def _verdict(i: int, judged: Judged, findings: Findings) -> Verdict:
    written = findings.written.get(i, {})
    for kind in ("samples", "histograms"):
        judged.points.update(written.get(kind, {}))
    return Verdict(
        points=judged.points,
        fault=findings.faults.get(i, ""),
        events=findings.events.get(i, {}),
        told=findings.told.get(i),
        series=judged.series + written.get("series", Counter()),
        logs=findings.logs.get(i, {}),
        facts=findings.facts.get(i, {}),
        late=judged.late + findings.late[i],
        timed=judged.timed and i not in findings.untimed,
        host=judged.host or findings.hosts.get(i, ""),
        written=written,
    )
