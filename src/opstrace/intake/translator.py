"""One commit's bodies through the engine: decoded, judged, translated, made durable.

Everything happens in SQL (`*.sql` beside this file); here is the order of the statements.
"""

import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Final

from opstrace.intake.check_decoder import CheckDecoder
from opstrace.intake.columnar_decoder import ColumnarDecoder
from opstrace.intake.distribution_decoder import DistributionDecoder
from opstrace.intake.document_decoder import DocumentDecoder
from opstrace.intake.event_decoder import EventDecoder
from opstrace.intake.json_decoder import JsonDecoder
from opstrace.intake.part_decoder import PartDecoder
from opstrace.intake.payload import Body, Decoder, Family, Findings, Verdict
from opstrace.intake.protobuf_decoder import ProtobufDecoder
from opstrace.intake.sketch_decoder import SketchDecoder
from opstrace.store.backend import Block
from opstrace.store.engine import Connection, Engine, script, statement
from opstrace.store.writer import Writer

_PACKAGE: Final = "opstrace.intake"
_DAY_S: Final = 86_400
# ASCII characters that Prometheus's alphabets lack: of label names, and of metric names, which may have colons.
_NOT_IN_KEYS: Final = "".join(c for c in map(chr, range(1, 128)) if not (c.isalnum() or c == "_"))
_NOT_IN_NAMES: Final = _NOT_IN_KEYS.replace(":", "")


def decoders(connection: Connection) -> list[Decoder]:
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
    ]


class Translator:
    """Makes bodies durable as series and samples; not for use by two threads at once."""

    def __init__(
        self, engine: Engine, writer: Writer, *, retention_days: int, max_future_s: float, tag_label_prefix: str
    ) -> None:
        self._connection = engine.writer
        self._writer = writer
        self._retention_s = retention_days * _DAY_S
        self._max_future_s = max_future_s
        self._alphabet = {"prefix": tag_label_prefix, "not_in_keys": _NOT_IN_KEYS, "not_in_names": _NOT_IN_NAMES}
        self._verdicts = statement(_PACKAGE, "verdicts")
        self._translate = statement(_PACKAGE, "translate")
        self._samples = statement(_PACKAGE, "samples")
        for part in script(_PACKAGE, "staging"):
            self._connection.execute(part)
        self._decoders = decoders(engine.writer)

    def commit(self, bodies: Sequence[Body], blocks: Sequence[tuple[str, Block]] = ()) -> tuple[list[Verdict], int]:
        """Make bodies and blocks durable; return a verdict a body, and how many series rows were added.

        Raises StoreError when the engine cannot: then nothing of it counts, and all of it may be sent again.
        """
        commit = self._writer.next_commit()
        verdicts, added = self._commit(bodies, commit) if bodies else ([], 0)
        return verdicts, added + self._writer.append(blocks, commit)

    def _commit(self, bodies: Sequence[Body], commit: int) -> tuple[list[Verdict], int]:
        now = time.time()
        limits = {"oldest": max(now - self._retention_s, 0.0), "newest": now + self._max_future_s}
        try:
            findings = self._stage(bodies, now)
            points = self._judge(findings, limits)
            self._connection.execute(self._translate, **self._alphabet, **limits)
            added = self._writer.register_unseen()
            self._connection.execute(self._samples, commit=commit, **limits)
            for decoder in self._decoders:
                decoder.store(commit, limits)
        finally:
            self._clear()
        verdicts = [
            Verdict(points.get(i, {}), findings.faults.get(i, ""), findings.events.get(i, {}), findings.told.get(i))
            for i in range(len(bodies))
        ]
        return verdicts, added

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

    def _judge(self, findings: Findings, limits: Mapping[str, float]) -> dict[int, dict[str, int]]:
        """Return the points of each body, counted by what became of them."""
        counts: defaultdict[int, defaultdict[str, int]] = defaultdict(lambda: defaultdict(int))
        for row in self._connection.read(self._verdicts, **limits).to_pylist():
            counts[row["body"]][row["reason"]] += row["total"]
        for i, refused in findings.refused.items():
            for reason, points in refused.items():
                counts[i][reason] += points
        return {i: {reason: n for reason, n in of_body.items() if n > 0} for i, of_body in counts.items()}

    def _clear(self) -> None:
        self._connection.execute("TRUNCATE TABLE staged")
        self._connection.execute("TRUNCATE TABLE unseen")
        for decoder in self._decoders:
            decoder.clear()
