"""One commit's bodies through the engine: decoded, judged, translated, made durable.

Here is the order of the statements (`*.sql` of the packages below). Of series that are known the engine is asked for
no more than their points and the hashes of what they are; only where one is new, all that was said is translated.
"""

import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Final

import msgspec
import pyarrow as pa

from opstrace.config import Limits, LimitsOf
from opstrace.intake.documents.check_decoder import CheckDecoder
from opstrace.intake.documents.document_decoder import DocumentDecoder
from opstrace.intake.documents.event_decoder import EventDecoder
from opstrace.intake.documents.host_decoder import HostDecoder
from opstrace.intake.documents.part_decoder import PartDecoder
from opstrace.intake.kept_decoder import KeptDecoder
from opstrace.intake.logs.logs_decoder import LogsDecoder
from opstrace.intake.payload import Body, Decoder, Family, Findings, Numbered, SeriesDecoder, Verdict
from opstrace.intake.remote_write.decoder import RemoteWriteDecoder
from opstrace.intake.series.columnar_decoder import ColumnarDecoder
from opstrace.intake.series.distribution_decoder import DistributionDecoder
from opstrace.intake.series.json_series_decoder import JsonSeriesDecoder
from opstrace.intake.series.judgement import CODES, Judged, Judgement, Moments
from opstrace.intake.series.protobuf_series_decoder import ProtobufSeriesDecoder
from opstrace.intake.series.sent_series import SentSeries
from opstrace.intake.series.sent_sketches import SentSketches
from opstrace.intake.series.series_room import SeriesRoom
from opstrace.intake.series.sketch_decoder import SketchDecoder
from opstrace.intake.series.staged_series import StagedSeries
from opstrace.store.backend import Block
from opstrace.store.engine import Connection, Engine, Parameter, script
from opstrace.store.host_writer import HostWriter
from opstrace.store.kept import KeptRequests
from opstrace.store.statements import filled
from opstrace.store.writer import GROWING_DAYS, Writer

_PACKAGE: Final = "opstrace.intake"
_DAY_S: Final = 86_400
# Tags that one commit, and so one body, adds to the rows of series: in each of these, and there is one a day.
MAX_TAGS_BYTES: Final = 256 << 20
# ASCII characters that Prometheus's alphabets lack: of label names, and of metric names, which may have colons.
_NOT_IN_KEYS: Final = "".join(c for c in map(chr, range(128)) if not (c.isalnum() or c == "_"))
_NOT_IN_NAMES: Final = _NOT_IN_KEYS.replace(":", "")
_SEEN_LATELY: Final = " OR ".join(
    f"seen_key(tenant, toDate32(now('UTC')) - {days}, series) IN seen" for days in range(GROWING_DAYS + 1)
)
_TOO_MUCH: Final = (
    f"the tags take more than {MAX_TAGS_BYTES} bytes, written out for each series and each day of its points; "
    "send it in parts"
)


def series_decoders(connection: Connection, limits: Limits) -> list[SeriesDecoder]:
    """Return a decoder of each kind of bodies that are nothing but series."""
    return [
        JsonSeriesDecoder(connection, Family.SERIES_V1),
        JsonSeriesDecoder(connection, Family.SERIES_V2_JSON),
        ProtobufSeriesDecoder(connection, Family.SERIES_V2_PROTOBUF, "MetricPayload"),
        ColumnarDecoder(connection, limits),
        SketchDecoder(connection),
        DistributionDecoder(connection),
    ]


def decoders(
    connection: Connection,
    kept: KeptRequests,
    hosts: HostWriter,
    limits: Limits,
    *,
    log_retention_days: Callable[[], int],
) -> list[Decoder]:
    """Return a decoder of each other kind; all together they know every family."""
    return [
        DocumentDecoder(connection),
        PartDecoder(connection, "intake_metrics", "metrics", "dogstream", "collection_timestamp"),
        CheckDecoder(connection),
        EventDecoder(connection),
        HostDecoder(hosts, limits),
        LogsDecoder(connection, retention_days=log_retention_days),
        # The last: what it writes counts twice if a commit fails after it.
        KeptDecoder(kept),
    ]


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
        self._check_in_place = engine.check_in_place
        self._writer = writer
        self._retention_days = retention_days
        self._max_future_s = limits.max_future_s
        self._alphabet = {"prefix": tag_label_prefix, "not_in_keys": _NOT_IN_KEYS, "not_in_names": _NOT_IN_NAMES}
        for part in script(_PACKAGE, "staging"):
            self._connection.execute(with_limits(part, limits))
        self._room = SeriesRoom(engine.writer, limits_of, lambda: writer.reloads)
        self._staged_series = StagedSeries(engine.writer)
        self._series_decoders = series_decoders(engine.writer, limits)
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
        self._check_in_place()
        commit = self._writer.next_commit()
        verdicts, added = self._commit(bodies, commit) if bodies else ([], 0)
        added += self._writer.append(blocks, commit)
        self._check_in_place()
        return verdicts, added

    def _commit(self, bodies: Sequence[Body], commit: int) -> tuple[list[Verdict], int]:
        now_s = time.time()
        limits = {"oldest": max(now_s - self._retention_days() * _DAY_S, 0.0), "newest": now_s + self._max_future_s}
        findings = Findings()
        try:
            looked_at = list(self._looked_at(bodies, now_s, limits, findings))
            moments = Moments(limits["oldest"], limits["newest"], round(now_s * 1000) / 1000)
            judged, added = self._stored(looked_at, bodies, commit, moments, findings)
            for decoder in self._decoders:
                decoder.store(commit, limits)
        finally:
            self._clear()
        verdicts = [_verdict(i, judged.get(i, Judged()), findings) for i in range(len(bodies))]
        return verdicts, added + findings.added

    def _looked_at(
        self, bodies: Sequence[Body], now_s: float, limits: Mapping[str, float], findings: Findings
    ) -> Iterator[pa.Table]:
        """Yield what sent_series.sql says of all bodies; those that are more than series are staged first."""
        for series_decoder in self._series_decoders:
            if own := _of(series_decoder.families, bodies, findings):
                yield from series_decoder.look(own, limits, findings)
        for decoder in self._decoders:
            if own := _of(decoder.families, bodies, findings):
                decoder.stage(own, now_s, findings)
        if own := _of(self._staged_series.families, bodies, findings):
            yield from self._staged_series.look(own, limits, findings)

    def _stored(
        self,
        looked_at: Sequence[pa.Table],
        bodies: Sequence[Body],
        commit: int,
        moments: Moments,
        findings: Findings,
    ) -> tuple[Mapping[int, Judged], int]:
        """Make series durable; return what became of each body, and how many series rows were added."""
        sent, sketches = SentSeries.of(looked_at), SentSketches.of(looked_at)
        if sent is None:
            return {}, 0
        if sketches is not None:
            sent = sent.counting(*sketches.numbers())
        judgement = Judgement(sent, moments)
        too_large, put_off = judgement.take_out(MAX_TAGS_BYTES)
        findings.faults |= dict.fromkeys(too_large, _TOO_MUCH)
        findings.put_off |= put_off
        untranslated = judgement.untranslated()
        unseen = self._translate_unseen(judgement, bodies, untranslated, moments) if untranslated else set()
        with self._writer.registering(unseen) as registered:
            if unseen:
                self._room.count()
            self._writer.append_samples(judgement.samples([body.tenant for body in bodies]), commit)
            if sketches is not None:
                self._writer.append_sketches(judgement.sketches(sketches, bodies), commit)
            judged = judgement.judged()
        if unseen:
            self._room.take()
        return judged, registered.result()

    def _translate_unseen(
        self, judgement: Judgement, bodies: Sequence[Body], untranslated: Collection[int], moments: Moments
    ) -> set[str]:
        """Translate the series that have no row of their day yet; those without room are refused.

        Return the tenants of the rest.
        """
        parameters: dict[str, Parameter] = {**self._alphabet, "oldest": moments.oldest_s, "newest": moments.newest_s}
        added = [
            decoder.translate(untranslated, parameters) for decoder in (*self._series_decoders, self._staged_series)
        ]
        if not any(added):
            return set()
        tenants = {bodies[i].tenant for i in untranslated}
        each_once = sum(map(bool, added)) == 1  # only different decoders translate one series twice
        fits = self._room.admit_uncounted(tenants, sum(added), each_once=each_once)
        if not fits and self._room.admit(each_once=each_once):
            for tenant, day, series, reason in self._room.excess():
                judgement.refuse([i for i, body in enumerate(bodies) if body.tenant == tenant], day, series, reason)
            self._room.clear()
        return tenants

    def _clear(self) -> None:
        self._connection.execute("TRUNCATE TABLE unseen")
        for series_decoder in (*self._series_decoders, self._staged_series):
            series_decoder.clear()
        for decoder in self._decoders:
            decoder.clear()


def _of(families: Collection[Family], bodies: Sequence[Body], findings: Findings) -> Numbered:
    """Return the bodies of some families in which there is something to decode, and no fault was found."""
    return {
        i: findings.repaired.get(i, body)
        for i, body in enumerate(bodies)
        if body.family in families and body.content and i not in findings.faults
    }


def with_limits(part: str, limits: Limits) -> str:
    """Write limits, and the numbers of refusals, into a part of staging.sql."""
    return filled(part, was_seen_lately=_SEEN_LATELY, **CODES, **msgspec.structs.asdict(limits))


def _verdict(i: int, judged: Judged, findings: Findings) -> Verdict:
    written = findings.written.get(i, {})
    points = judged.points + findings.refused.get(i, Counter())
    for kind in ("samples", "histograms"):
        points.update(written.get(kind, {}))
    return Verdict(
        points=points,
        fault=findings.faults.get(i, ""),
        put_off=i in findings.put_off,
        events=findings.events.get(i, {}),
        told=findings.told.get(i),
        series=judged.series + written.get("series", Counter()),
        logs=findings.logs.get(i, {}),
        cut_logs=findings.cut_logs[i],
        facts=findings.facts.get(i, {}),
        late=judged.late + findings.late[i],
        repeatable=judged.repeatable and i not in findings.untimed,
        host=judged.host or findings.hosts.get(i, ""),
        written=written,
    )
