"""Logs in the Agents' own form, read without the engine, against what the engine reads of them."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from opstrace.intake.logs.agent_logs import AgentLogs
from opstrace.intake.payload import Body, Family
from opstrace.intake.rows import rows_of
from opstrace.intake.translator import Translator
from opstrace.store.engine import Connection, Engine, statement

NOW_MS = 1_795_498_000_000
ROWS = "SELECT * FROM staged_logs ORDER BY body, place"
TEXTS = st.text(max_size=8) | st.sampled_from(["", " ", "[", "{", '{"level":"warn"}', "\x00", "\U0001f600", "\u2028"])
TAGS = TEXTS.filter(lambda text: not text.startswith("[")) | st.sampled_from(
    ["env:a,,b , c:d", "b,a,b,\u00a0", "é,z,\U0001f600,\uffff"]
)
FIELDS = ("message", "status", "hostname", "service", "ddsource")
TIMES = st.sampled_from([10**11, NOW_MS, 10**14 - 1]) | st.integers(10**11, 10**14 - 1)


@st.composite
def logs(draw: st.DrawFn) -> list[tuple[str, Any]]:
    """Return the fields of a log in any order."""
    fields = draw(st.dictionaries(st.sampled_from(FIELDS), TEXTS))
    fields |= {
        "message": draw(TEXTS),
        "timestamp": draw(TIMES),
        **draw(st.fixed_dictionaries({}, optional={"ddtags": TAGS})),
    }
    return draw(st.permutations(list(fields.items())))


def body_of(found: list[list[tuple[str, Any]]], *, is_ascii: bool, space: str) -> Body:
    of_each = (
        ",".join(f"{space}{json.dumps(key)}:{space}{json.dumps(value, ensure_ascii=is_ascii)}" for key, value in one)
        for one in found
    )
    text = f"{space}[{space}" + f"{space},{space}".join(f"{{{of_one}{space}}}" for of_one in of_each) + f"]{space}"
    return Body(Family.LOGS, "t", text.encode())


@pytest.fixture(scope="module")
def connection(engine: Engine, translator: Translator) -> Connection:
    del translator  # it has made the staging tables
    return engine.writer


def staged_by_the_engine(connection: Connection, bodies: dict[int, Body]) -> list[dict[str, Any]]:
    rows = rows_of(bodies)
    for name in ("default_host", "default_service", "default_source", "default_tags", "default_attributes"):
        rows = rows.append_column(name, [[""] * len(bodies)])
    rows = rows.append_column("came_ms", [[NOW_MS] * len(bodies)])
    connection.execute(statement("opstrace.intake.logs", "logs"), rows=rows)
    return taken(connection)


def without_hash(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{**row, "payload": 0} for row in rows]


def taken(connection: Connection) -> list[dict[str, Any]]:
    found = connection.read(ROWS).to_pylist()
    connection.execute("TRUNCATE TABLE staged_logs")
    return found


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.lists(logs(), min_size=1, max_size=3), min_size=1, max_size=3),
    st.booleans(),
    st.sampled_from(["", " "]),
)
def test_the_engine_reads_the_same(
    connection: Connection, found: list[list[list[tuple[str, Any]]]], is_ascii: bool, space: str
) -> None:
    bodies = {2 * i + 1: body_of(one, is_ascii=is_ascii, space=space) for i, one in enumerate(found)}
    staged, of_program = AgentLogs(connection).stage(bodies, NOW_MS)
    ours = taken(connection)
    assert staged == set(bodies)
    assert without_hash(ours) == without_hash(staged_by_the_engine(connection, bodies))
    hashes = {row["body"]: row["payload"] for row in ours}
    assert len(set(hashes.values())) == len({body.content for body in bodies.values()})
    assert of_program == any(row["message"].startswith("{") for row in ours)


LOG = {"message": "m", "timestamp": NOW_MS}
OTHERS = [
    [],
    [{}],
    [LOG, {}],
    [LOG, "text"],
    [LOG, None],
    LOG,
    [{**LOG, "level": "warn"}],
    [{**LOG, "host": "h"}],
    [{"message": "m"}],
    [{"timestamp": NOW_MS}],
    [{**LOG, "message": None}],
    [{**LOG, "message": {"a": 1}}],
    [{**LOG, "ddtags": ["a:b"]}],
    [{**LOG, "ddtags": '["a:b"]'}],
    [{**LOG, "timestamp": str(NOW_MS)}],
    [{**LOG, "timestamp": NOW_MS + 0.5}],
    [{**LOG, "timestamp": 10**11 - 1}],
    [{**LOG, "timestamp": 10**14}],
    [{**LOG, "timestamp": 10**30}],
    [{**LOG, "timestamp": True}],
]


@pytest.mark.parametrize("document", OTHERS, ids=json.dumps)
def test_other_forms_are_left_to_the_engine(connection: Connection, document: Any) -> None:
    assert_left(connection, json.dumps(document).encode())


CONTENTS = (
    b"",
    b"[",
    b'[{"message":"m","timestamp":1795498000000}',
    b'[{"message":"m","timestamp":1795498000000}] x',
    b'[{"message":"\xff","timestamp":1795498000000}]',
    b'[{"message":"\\ud800","timestamp":1795498000000}]',
    b'{"message":"m","timestamp":1795498000000}\n{"message":"m","timestamp":1795498000000}',
)


@pytest.mark.parametrize("content", CONTENTS)
def test_what_is_broken_is_left_to_the_engine(connection: Connection, content: bytes) -> None:
    assert_left(connection, content)


def test_what_is_larger_than_agents_send_is_left_to_the_engine(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert_left(connection, json.dumps([{**LOG, "ddtags": ",".join(map(str, range(5_000)))}]).encode())
    monkeypatch.setattr("opstrace.intake.logs.agent_logs.MAX_READ_AT_ONCE_BYTES", 1_000)
    assert_left(connection, json.dumps([{**LOG, "message": "m" * 1_000}]).encode())


def assert_left(connection: Connection, content: bytes) -> None:
    plain = body_of([[("message", "beside"), ("timestamp", NOW_MS)]], is_ascii=True, space="")
    staged, _ = AgentLogs(connection).stage({0: plain, 1: Body(Family.LOGS, "t", content)}, NOW_MS)
    assert staged == {0}
    assert [row["message"] for row in taken(connection)] == ["beside"]
