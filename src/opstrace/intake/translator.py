"""One commit's bodies through the engine: decoded, judged, translated, made durable.

Everything happens in SQL (`*.sql` beside this file); here is the order of the statements, and how a broken body is
told from its neighbours.
"""

import os
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.resources import files
from typing import Final

import pyarrow as pa

from opstrace.errors import StoreError, Undecodable
from opstrace.intake.payload import Body, Family, Verdict
from opstrace.intake.repair import repair
from opstrace.store.backend import Block
from opstrace.store.engine import Engine, Parameter, script, statement
from opstrace.store.writer import Writer

_PACKAGE: Final = "opstrace.intake"
_DAY_S: Final = 86_400
# ASCII characters that Prometheus's alphabets lack: of label names, and of metric names, which may have colons.
_NOT_IN_KEYS: Final = "".join(c for c in map(chr, range(1, 128)) if not (c.isalnum() or c == "_"))
_NOT_IN_NAMES: Final = _NOT_IN_KEYS.replace(":", "")
_JSON_FAMILIES: Final = (Family.SERIES_V1, Family.SERIES_V2_JSON, Family.CHECK_RUN)

# Bodies by their place in the commit.
Numbered = Mapping[int, Body]


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
        self._decode = {family: statement(_PACKAGE, family.value) for family in Family}
        self._decode[Family.SERIES_V2_PROTOBUF] = _with_schema(self._decode[Family.SERIES_V2_PROTOBUF])
        self._verdicts = statement(_PACKAGE, "verdicts")
        self._translate = statement(_PACKAGE, "translate")
        self._samples = statement(_PACKAGE, "samples")
        for part in script(_PACKAGE, "staging"):
            self._connection.execute(part)

    def commit(self, bodies: Sequence[Body], blocks: Sequence[tuple[str, Block]] = ()) -> tuple[list[Verdict], int]:
        """Make bodies and blocks durable; return a verdict a body, and how many series rows were added.

        Raises StoreError when the engine cannot: then nothing of it counts, and all of it may be sent again.
        """
        now = time.time()
        commit = self._writer.next_commit()
        try:
            faults, not_finite = self._stage(dict(enumerate(bodies)), now)
            limits = {"oldest": max(now - self._retention_s, 0.0), "newest": now + self._max_future_s}
            points = self._judge(not_finite, limits)
            self._connection.execute(self._translate, **self._alphabet, **limits)
            added = self._writer.register_unseen()
            self._connection.execute(self._samples, commit=commit, **limits)
        finally:
            self._connection.execute("TRUNCATE TABLE staged")
            self._connection.execute("TRUNCATE TABLE unseen")
        added += self._writer.append(blocks, commit)
        return [Verdict(points.get(i, {}), faults.get(i, "")) for i in range(len(bodies))], added

    def _stage(self, bodies: Numbered, now: float) -> tuple[dict[int, str], dict[int, int]]:
        """Decode bodies into `staged`; return faults and counts of numbers that are not finite, both by body."""
        # Protobuf first: what a failed statement of it leaves behind is cleared with the whole of `staged`.
        faults = self._stage_protobuf(_of(Family.SERIES_V2_PROTOBUF, bodies))
        not_finite: dict[int, int] = {}
        for family in _JSON_FAMILIES:
            of_family = _of(family, bodies)
            self._stage_json(family, of_family, now)
            repaired = {
                i: _repaired(body, i, faults, not_finite) for i, body in self._without_rows(of_family).items()
            }
            self._stage_json(family, {i: body for i, body in repaired.items() if body}, now)
        return faults, not_finite

    def _stage_json(self, family: Family, bodies: Numbered, now: float) -> None:
        if bodies:
            parameters: dict[str, Parameter] = {"now_ms": round(now * 1000)} if family is Family.CHECK_RUN else {}
            self._connection.execute(self._decode[family], rows=_table(bodies), **parameters)

    def _without_rows(self, bodies: Numbered) -> Numbered:
        """Return the bodies that left no row in `staged`: empty ones, and ones that the engine cannot parse."""
        if not bodies:
            return {}
        with_rows = set(self._connection.read("SELECT DISTINCT body FROM staged").column(0).to_pylist())
        return {i: body for i, body in bodies.items() if i not in with_rows}

    def _stage_protobuf(self, bodies: Numbered) -> dict[int, str]:
        try:
            self._insert_protobuf(bodies)
        except StoreError as error:
            if not error.input_fault:
                raise
            faults = {i: fault for i, body in bodies.items() if (fault := self._protobuf_fault(body))}
            self._connection.execute("TRUNCATE TABLE staged")
            self._insert_protobuf({i: body for i, body in bodies.items() if i not in faults})
            return faults
        return {}

    def _protobuf_fault(self, body: Body) -> str:
        """Return what is wrong with a body, or nothing."""
        sql = self._decode[Family.SERIES_V2_PROTOBUF]
        try:
            with _file([body.content]) as path:
                self._connection.read(sql[sql.index("SELECT") :], path=path, bodies=[0], tenants=[""])
        except StoreError as error:
            if not error.input_fault:
                raise
            return "the body is not a valid MetricPayload protobuf message"
        return ""

    def _insert_protobuf(self, bodies: Numbered) -> None:
        if bodies:
            with _file([body.content for body in bodies.values()]) as path:
                tenants = [body.tenant for body in bodies.values()]
                self._connection.execute(
                    self._decode[Family.SERIES_V2_PROTOBUF], path=path, bodies=list(bodies), tenants=tenants
                )

    def _judge(self, not_finite: Mapping[int, int], limits: Mapping[str, float]) -> dict[int, dict[str, int]]:
        verdicts: dict[int, dict[str, int]] = defaultdict(dict)
        for row in self._connection.read(self._verdicts, **limits).to_pylist():
            verdicts[row["body"]][row["reason"]] = row["total"]
        for i, count in not_finite.items():
            # A number that is not finite was staged as no value; it is counted as what it was.
            verdicts[i] |= {"not_finite": count, "no_value": verdicts[i].get("no_value", 0) - count}
        return {i: {reason: n for reason, n in counts.items() if n > 0} for i, counts in verdicts.items()}


def _of(family: Family, bodies: Numbered) -> Numbered:
    return {i: body for i, body in bodies.items() if body.family is family and body.content}


def _repaired(body: Body, i: int, faults: dict[int, str], not_finite: dict[int, int]) -> Body | None:
    try:
        repaired = repair(body.family, body.content)
    except Undecodable as error:
        faults[i] = str(error)
        return None
    if repaired is None:
        return None
    not_finite[i] = repaired.not_finite
    return Body(body.family, body.tenant, repaired.content)


def _table(bodies: Numbered) -> pa.Table:
    return pa.table(
        {
            "body": pa.array(list(bodies), pa.uint32()),
            "tenant": pa.array([body.tenant for body in bodies.values()], pa.string()),
            "content": pa.array([body.content for body in bodies.values()], pa.binary()),
        }
    )


def _with_schema(sql: str) -> str:
    schema = str(files(_PACKAGE) / "agent_payload.proto")
    return sql.replace("{schema}", schema.replace("\\", "\\\\").replace("'", "\\'"))


@contextmanager
def _file(contents: Iterable[bytes]) -> Iterator[str]:
    """Lend the path of a file in memory that holds messages, each after its length."""
    descriptor = os.memfd_create("opstrace-payloads")
    try:
        with os.fdopen(os.dup(descriptor), "wb") as file:
            for content in contents:
                file.write(_varint(len(content)))
                file.write(content)
        yield f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)


def _varint(number: int) -> bytes:
    septets = [number & 0x7F]
    while number := number >> 7:
        septets.append(number & 0x7F)
    return bytes([septet | 0x80 for septet in septets[:-1]] + septets[-1:])
