"""What makes a series one, in columns of references: held against the statement that says it of texts."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from end_to_end import columnar
from opstrace.config import Limits
from opstrace.intake.payload import Body, Family, Findings
from opstrace.intake.series.columnar_decoder import ColumnarDecoder
from opstrace.intake.series.columnar_payload import ColumnarPayload
from opstrace.intake.series.series_statement import SeriesStatement
from opstrace.intake.translator import with_limits
from opstrace.store.engine import Connection, Engine, script, statement
from opstrace.store.writer import Writer

LIMITS: Final = Limits(max_tags=3, max_name_bytes=16, max_tag_bytes=10)
NOW: Final = int(time.time())
STORED: Final = {"oldest": NOW - 86_400.0, "newest": NOW + 600.0}
_TOO_MANY_TAGS: Final = 3

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
tags = st.sampled_from(["env:prod", "a:1", "b", "c:2", "ä:ö", "B", "", "much:too:long"]) | texts
names = (
    st.sampled_from(["m", "n_o_i_n_d_e_x.m", "n_o_i_n_d_e_x.", "n_o_i_n_d_e_xXm", "a.name.that.is.too.long"]) | texts
)
resources = st.tuples(st.sampled_from(["host", "device", "rack"]), texts | st.just("a-host-too-long"))
points = st.tuples(st.sampled_from([NOW, NOW - 86_500, NOW - 80_000, NOW + 10_000, 0]), st.just(1.5))
sketch = {"cnt": 1, "sum": 2.0, "min": 2.0, "max": 2.0, "k": [1400], "n": [1]}


def of_kind(kind: st.SearchStrategy[str], point: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries(
        {
            "metric": names,
            "type": kind,
            "interval": st.sampled_from([0, 10, 2**31]),
            "points": st.lists(point, max_size=2),
            "tags": st.lists(tags, max_size=5),
            "resources": st.lists(resources, max_size=3),
        }
    )


payloads = st.lists(
    of_kind(st.sampled_from(["gauge", "rate", "count"]), points)
    | of_kind(st.just("sketch"), points.map(lambda point: (point[0], sketch))),
    max_size=6,
).map(lambda series: columnar.payload({"series": series}))


@pytest.fixture(scope="module")
def connection(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Connection]:
    engine = Engine(tmp_path_factory.mktemp("store"), readers=1)
    Writer(engine)
    for part in script("opstrace.intake", "staging"):
        engine.writer.execute(with_limits(part, LIMITS))
    yield engine.writer
    engine.close()


def in_columns(connection: Connection, bodies: dict[int, Body]) -> list[dict[str, Any]]:
    """Return what the decoder says of bodies."""
    findings = Findings()
    found = ColumnarDecoder(connection, LIMITS).look(bodies, STORED, findings)
    rows = [row for table in found for row in table.drop_columns(["times", "values"]).to_pylist()]
    assert not findings.faults
    return [{name: value for name, value in row.items() if name in WANTED} for row in rows]


WANTED: Final = ("body", "host", "is_sketch", "refusal", "tag_bytes", "metric", "series", "is_known")


def in_texts(connection: Connection, bodies: dict[int, Body]) -> list[dict[str, Any]]:
    """Return what the engine says of the same series, written out."""
    look = SeriesStatement.of(statement("opstrace.intake.series", "columnar")).look
    found = []
    for i, body in bodies.items():
        payload = ColumnarPayload.of(body.content)
        for wanted in (np.flatnonzero(~payload.are_sketches), np.flatnonzero(payload.are_sketches)):
            times = pa.array([[first] for first in payload.points.firsts()[wanted]], pa.list_(pa.float64()))
            rows = pa.table(
                {
                    "body": np.full(len(wanted), i, dtype=np.uint32),
                    "tenant": pa.repeat(body.tenant, len(wanted)),
                    **payload.rows(wanted),
                    "times": times,
                    "values": times,
                }
            )
            if len(wanted):
                found += connection.read(look, rows=rows, **STORED).to_pylist()
    return [{name: row[name] for name in WANTED} for row in found]


def comparable(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Of what is refused nobody asks which series it is, or whether it is known."""
    return [{**row, "series": 0, "is_known": False} if row["refusal"] else row for row in rows]


@settings(max_examples=50)
@given(st.lists(payloads, min_size=1, max_size=3))
def test_columns_say_what_texts_do(connection: Connection, contents: list[bytes]) -> None:
    bodies = {i: Body(Family.COLUMNAR, f"tenant-{i % 2}", content) for i, content in enumerate(contents)}
    found = in_columns(connection, bodies)
    assert comparable(found) == comparable(in_texts(connection, bodies))
    some = [row["series"] for row in found[::2]]
    day = NOW // 86_400
    connection.execute(
        f"INSERT INTO seen SELECT seen_key('tenant-0', {day}, series) "
        f"FROM (SELECT arrayJoin(CAST({some}, 'Array(UInt64)')) AS series)"
    )
    again = in_columns(connection, bodies)
    assert comparable(again) == comparable(in_texts(connection, bodies))


def test_a_series_that_is_known_is_known(tmp_path: Path, connection: Connection) -> None:
    series = {"metric": "m", "type": "gauge", "points": [[NOW, 1.0]], "tags": ["b", "a:1"], "resources": []}
    bodies = {0: Body(Family.COLUMNAR, "t", columnar.payload({"series": [series]}))}
    (row,) = in_columns(connection, bodies)
    assert not row["is_known"]
    connection.execute(f"INSERT INTO seen SELECT seen_key('t', {NOW // 86_400}, toUInt64({row['series']}))")
    (row,) = in_columns(connection, bodies)
    assert row["is_known"]


def test_a_list_of_any_length_takes_no_longer_than_what_is_stored(connection: Connection) -> None:
    """A series with a million tags is refused; its tags are not gone through one by one."""
    numbers = [{"metric": "m", "type": "gauge", "points": [[NOW, 1.0]], "tags": [f"t:{n}" for n in range(5000)]}]
    bodies = {0: Body(Family.COLUMNAR, "t", columnar.payload({"series": numbers}))}
    (row,) = in_columns(connection, bodies)
    assert (row["refusal"], row["series"]) == (_TOO_MANY_TAGS, 0)
