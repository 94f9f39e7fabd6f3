"""Metrics v3 bodies: each is decoded column by column, all of a commit are looked at together."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from opstrace.config import Limits
from opstrace.errors import Undecodable
from opstrace.intake.payload import Family, Findings, Numbered
from opstrace.intake.series.columnar_payload import ColumnarPayload
from opstrace.intake.series.identity import Identities, Words, dictionaries
from opstrace.intake.series.series_statement import SeriesStatement
from opstrace.ragged import places
from opstrace.store.engine import Connection, Parameter, statement

if TYPE_CHECKING:
    from numpy.typing import NDArray

_PACKAGE: Final = "opstrace.intake.series"
_DAY_S: Final = 86_400


class ColumnarDecoder:
    """Decodes metrics v3. Names and tags are written out of series that may be new, and of no others."""

    families = frozenset({Family.COLUMNAR})

    def __init__(self, connection: Connection, limits: Limits) -> None:
        self._connection = connection
        self._limits = limits
        self._words = statement(_PACKAGE, "words")
        self._known = statement(_PACKAGE, "known_series")
        self._series = SeriesStatement.of(statement(_PACKAGE, "columnar")).translate
        self._sketches = SeriesStatement.of(statement(_PACKAGE, "decoded_sketches")).translate
        self._decoded: dict[int, ColumnarPayload] = {}
        self._tenants: dict[int, str] = {}

    def look(self, bodies: Numbered, limits: Mapping[str, float], findings: Findings) -> Iterator[pa.Table]:
        """Yield the series of bodies."""
        self._decoded = dict(_decoded(bodies, findings))
        self._tenants = {i: bodies[i].tenant for i in self._decoded}
        if not self._decoded:
            return
        payloads = self._decoded.values()
        identities = [
            Identities.of(payload, words, self._limits)
            for payload, words in zip(payloads, self._said_of(payloads), strict=True)
        ]
        known = self._are_known(identities, limits)
        starts = _starts([payload.count for payload in payloads])
        for (i, payload), of_payload, start in zip(self._decoded.items(), identities, starts, strict=True):
            yield from _looked_at(i, payload, of_payload, known.slice(start, payload.count))

    def translate(self, bodies: Collection[int], parameters: Mapping[str, Parameter]) -> int:
        """Translate the series of some of the bodies that were looked at."""
        own = [i for i in self._decoded if i in bodies]
        numbers = [self._rows(i, ~self._decoded[i].are_sketches, self._decoded[i].numbers()) for i in own]
        sketches = [self._rows(i, self._decoded[i].are_sketches, self._decoded[i].sums()) for i in own]
        return sum(
            self._connection.execute(sql, rows=rows, **parameters)
            for sql, tables in ((self._series, numbers), (self._sketches, sketches))
            if tables and (rows := pa.concat_tables(tables)).num_rows
        )

    def clear(self) -> None:
        """Forget the bodies."""
        self._decoded, self._tenants = {}, {}

    def _said_of(self, payloads: Collection[ColumnarPayload]) -> Iterator[Words]:
        """Yield what is said of the dictionaries of each payload."""
        entries = [pa.concat_arrays(dictionaries(payload)) for payload in payloads]
        answer = self._connection.read(self._words, rows=pa.table({"word": pa.chunked_array(entries)}))
        hashes, metrics = (answer[name].to_numpy() for name in ("hash", "metric"))
        for texts, start in zip(entries, _starts(list(map(len, entries))), strict=True):
            span = slice(start, start + len(texts))
            yield Words(hashes[span], metrics[span], pc.binary_length(texts).to_numpy().astype(np.int64))

    def _are_known(self, identities: Sequence[Identities], limits: Mapping[str, float]) -> pa.ChunkedArray:
        """Return of all series whether their row of the day of their first point exists."""
        rows = [
            pa.table(
                {
                    "tenant": pa.repeat(tenant, payload.count),
                    "day": _days(payload.points.firsts(), limits),
                    "series": of_payload.series,
                }
            )
            for payload, tenant, of_payload in zip(
                self._decoded.values(), self._tenants.values(), identities, strict=True
            )
        ]
        return self._connection.read(self._known, rows=pa.concat_tables(rows))["is_known"]

    def _rows(self, i: int, wanted: "NDArray[np.bool_]", points: Mapping[str, pa.Array]) -> pa.Table:
        """Return some series of a body as rows for translate.sql."""
        series = np.flatnonzero(wanted)
        return pa.table(
            {
                "body": np.full(len(series), i, dtype=np.uint32),
                "tenant": pa.repeat(self._tenants[i], len(series)),
                **self._decoded[i].rows(series),
                **points,
            }
        )


def _decoded(bodies: Numbered, findings: Findings) -> Iterator[tuple[int, ColumnarPayload]]:
    """Yield the bodies that hold series."""
    for i, body in bodies.items():
        try:
            payload = ColumnarPayload.of(body.content)
        except Undecodable as error:
            findings.faults[i] = f"the body is not a valid metrics v3 payload: {error}"
        else:
            if payload.count:
                yield i, payload


def _starts(lengths: Sequence[int]) -> list[int]:
    starts: list[int] = places(np.array(lengths))[:-1].tolist()
    return starts


def _days(times: "NDArray[np.float64]", limits: Mapping[str, float]) -> "NDArray[np.int64]":
    """Return the day of each time; one that is not stored belongs to none."""
    stored = (times >= limits["oldest"]) & (times <= limits["newest"])
    return np.where(stored, times, 0.0).astype(np.int64) // _DAY_S


def _looked_at(
    i: int, payload: ColumnarPayload, identities: Identities, known: pa.ChunkedArray
) -> Iterator[pa.Table]:
    """Yield the columns of sent_series.sql of a body: of its series with numbers, and of its distributions."""
    every = np.arange(payload.count)
    table = pa.table(
        {
            "body": np.full(payload.count, i, dtype=np.uint32),
            "host": payload.hosts.taken(every),
            "is_sketch": payload.are_sketches,
            "refusal": identities.refusals,
            "tag_bytes": identities.tag_bytes,
            "metric": identities.metrics,
            "series": identities.series,
            "is_known": known,
        }
    )
    for wanted, points in ((~payload.are_sketches, payload.numbers), (payload.are_sketches, payload.sketches)):
        if wanted.any():
            own = table if wanted.all() else table.filter(pa.array(wanted))
            for name, column in points().items():
                own = own.append_column(name, column)
            yield own
