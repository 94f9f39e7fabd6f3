"""Remote writes through the engine: decoded, judged, made durable under their own labels."""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Final

import msgspec

from opstrace.config import Limits
from opstrace.errors import BudgetExceeded, StoreError
from opstrace.intake.payload import STORED, Family, Findings, Numbered
from opstrace.intake.rows import file_of
from opstrace.intake.series.series_room import SeriesRoom
from opstrace.store.engine import Connection, script, statement
from opstrace.store.statements import filled, schema_path
from opstrace.store.writer import Writer

_PACKAGE: Final = "opstrace.intake.remote_write"
# A body of 26 MiB as senders write it takes less; one of empty messages takes this in a second, and is refused.
MAX_DECODING_BYTES: Final = 256 << 20
# Labels of a body, and of a commit, written out for each series and for each day of its points, which is how they are
# stored: symbols of version 2.0 that are shared make much of little. Each label takes something besides its text.
MAX_LABEL_BYTES: Final = 64 << 20
MAX_COMMIT_LABEL_BYTES: Final = 128 << 20
_LABEL_BYTES: Final = 16
# Metrics of a tenant that something is told of, and how much.
MAX_METRICS: Final = 100_000
MAX_HELP_CHARACTERS: Final = 4096
# Of a native histogram, on both sides together, and its bounds; senders have 160 where nobody asks for more.
MAX_BUCKETS: Final = 10_000

_STATEMENTS: Final = {
    Family.REMOTE_WRITE_V1: ("series_v1", "metadata_v1"),
    Family.REMOTE_WRITE_V2: ("symbols", "series_v2", "metadata_v2"),  # the texts first
}
_TABLES: Final = ("staged_writes", "staged_metadata", "staged_symbols")
_ON_TOO_MANY: Final = "{key} IN (SELECT key FROM excess WHERE refusal = 'too_many_series'), 6,"
_ON_TOO_NEW: Final = "{key} IN (SELECT key FROM excess), 7,"
_HAS_ROOM: Final = "{key} NOT IN (SELECT key FROM excess)"
_KEY: Final = "seen_key(tenant, intDiv({time}, 86400000), {series})"
_SERIES: Final = {"excess": "series", "histogram_excess": "histogram_series"}

_TOO_MUCH: Final = (
    f"the labels take more than {MAX_LABEL_BYTES} bytes, written out for each series and each day of its points; "
    "send it in parts"
)


class RemoteWriteDecoder:
    """Decodes both versions of remote write into staging tables of their own, and stores what is in them."""

    families = frozenset(_STATEMENTS)

    def __init__(self, connection: Connection, writer: Writer, room: SeriesRoom, limits: Limits) -> None:
        self._connection = connection
        self._writer = writer
        self._room = room
        self._max_name = limits.max_name_bytes
        schema = schema_path(_PACKAGE, "messages.proto")
        self._decode = {
            family: [
                filled(statement(_PACKAGE, name), schema=schema, max_memory=MAX_DECODING_BYTES) for name in names
            ]
            for family, names in _STATEMENTS.items()
        }
        self._unseen, self._verdicts, self._metadata, self._written, self._label_bytes = (
            statement(_PACKAGE, name) for name in ("unseen", "verdicts", "metadata", "written", "label_bytes")
        )
        self._rows = {name: statement(_PACKAGE, name) for name in ("samples", "started_samples", "histograms")}
        for part in script(_PACKAGE, "staging"):
            self._connection.execute(filled(part, max_buckets=MAX_BUCKETS, **msgspec.structs.asdict(limits)))
        self._findings: Findings | None = None
        self._now_s = 0.0
        self._room_bytes = 0  # for labels, in this commit

    def stage(self, bodies: Numbered, now_s: float, findings: Findings) -> None:
        """Decode bodies into the staging tables."""
        self._findings, self._now_s, self._room_bytes = findings, now_s, MAX_COMMIT_LABEL_BYTES
        for family in _STATEMENTS:
            own = {i: body for i, body in bodies.items() if body.family is family}
            if own:
                self._stage(family, own, findings)

    def store(self, commit: int, limits: Mapping[str, float]) -> None:
        """Make series, samples, histograms and metadata durable, and count what became of them."""
        if self._findings is None:
            return
        # One commit in a thousand has metadata, or nothing else.
        if self._connection.read("SELECT 1 FROM staged_metadata LIMIT 1").num_rows:
            bounds = {"max_help": MAX_HELP_CHARACTERS, "max_name": self._max_name, "max_metrics": MAX_METRICS}
            self._connection.execute(self._metadata, commit=commit, **bounds)
        tenants = self._connection.read(self._written, oldest=limits["oldest"]).to_pylist()
        if not tenants:
            return
        started = any(tenant["started"] for tenant in tenants)
        unseen = self._connection.execute(self._unseen, **limits)
        exceeded = bool(unseen) and self._room.admit()
        self._findings.added += self._writer.register_unseen({tenant["tenant"] for tenant in tenants})
        if unseen:
            self._room.take()
        try:
            for name, sql in self._rows.items():
                if name == "started_samples" and not started:
                    continue
                self._connection.execute(_admitted(sql, exceeded=exceeded), commit=commit, **limits)
        finally:
            for tenant in tenants:
                self._writer.changes.wrote(tenant["tenant"], tenant["oldest_ms"])
        self._count(self._findings, limits, exceeded=exceeded)
        if exceeded:
            self._room.clear()

    def clear(self) -> None:
        """Empty the staging tables, if they were filled."""
        if self._findings is not None:
            for table in _TABLES:
                self._connection.execute(f"TRUNCATE TABLE {table}")
            self._findings = None

    def _stage(self, family: Family, bodies: Numbered, findings: Findings) -> None:
        """Decode the bodies of a version together; where that fails, each alone."""
        fault = self._insert(family, bodies)
        if not fault:
            self._weigh(bodies, findings)
            return
        self._take_back(bodies)
        if len(bodies) == 1:
            findings.faults |= dict.fromkeys(bodies, fault)
            return
        for i, body in bodies.items():
            self._stage(family, {i: body}, findings)

    def _weigh(self, bodies: Numbered, findings: Findings) -> None:
        """Take back bodies whose labels are too much, alone or beside smaller ones of their commit."""
        taken_back = []
        for row in self._connection.read(
            self._label_bytes, bodies=list(bodies), label_bytes=_LABEL_BYTES
        ).to_pylist():
            if row["bytes"] > MAX_LABEL_BYTES:
                findings.faults[row["body"]] = _TOO_MUCH
            elif row["bytes"] > self._room_bytes:
                findings.put_off.add(row["body"])
            else:
                self._room_bytes -= row["bytes"]
                continue
            taken_back.append(row["body"])
        if taken_back:
            self._take_back(taken_back)

    def _insert(self, family: Family, bodies: Numbered) -> str:
        """Decode bodies into the staging tables; return what is wrong with one of them, or nothing."""
        self._connection.execute("TRUNCATE TABLE staged_symbols")
        try:
            with file_of(body.content for body in bodies.values()) as path:
                tenants = [body.tenant for body in bodies.values()]
                for sql in self._decode[family]:
                    self._connection.execute(sql, path=path, bodies=list(bodies), tenants=tenants)
        except BudgetExceeded:
            return f"decoding the body takes more than {MAX_DECODING_BYTES} bytes of memory; send it in parts"
        except StoreError as error:
            if not error.input_fault:
                raise
            return "the body is not a valid protobuf message of its version of remote write"
        return ""

    def _take_back(self, bodies: Iterable[int]) -> None:
        """Take back what is staged of bodies: what a failed statement has staged would count twice."""
        numbers = ", ".join(map(str, bodies))
        for table in ("staged_writes", "staged_metadata"):
            self._connection.execute(f"ALTER TABLE {table} DELETE WHERE body IN ({numbers})")

    def _count(self, findings: Findings, limits: Mapping[str, float], *, exceeded: bool) -> None:
        conditions = f"{_ON_TOO_MANY} {_ON_TOO_NEW}" if exceeded else ""
        excess = {
            place: filled(conditions, key=filled(_KEY, time="time", series=series))
            for place, series in _SERIES.items()
        }
        sql = filled(self._verdicts, **excess)
        for row in self._connection.read(sql, now_ms=round(self._now_s * 1000), **limits).to_pylist():
            fates = findings.written[row["body"]].setdefault(row["kind"], Counter())
            fates[row["reason"]] += row["total"]
            if row["late"] and row["reason"] == STORED:
                findings.late[row["body"]] += row["total"]


def _admitted(sql: str, *, exceeded: bool) -> str:
    """Return the statement without what found no room."""
    time, series = ("h", "histogram_series") if "INTO histograms" in sql else ("sample", "series")
    key = filled(_KEY, time=f"{time}.timestamp", series=series)
    return filled(sql, admitted=filled(_HAS_ROOM, key=key) if exceeded else "1")
