"""Protobuf bodies that are translated in two streams become what they become in one."""

import time
from dataclasses import replace
from itertools import count

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from end_to_end.wire import metric_payload, sketch_payload
from opstrace.intake.payload import Body, Family
from opstrace.intake.series import protobuf_statement
from opstrace.intake.series.protobuf_statement import ProtobufStatement
from opstrace.intake.translator import Translator
from opstrace.store.engine import Engine, statement

NOW = int(time.time()) - 3600  # late by more than a minute, however long the test takes

ROWS = {
    "samples FINAL": "(metric, series, timestamp, value)",
    "sketches FINAL": "(metric, series, timestamp, cnt, keys, counts, source)",
    "series FINAL": "(day, name, aspect, series, labels)",
}

few = st.sampled_from("abc")
sizes = st.integers(0, 4)
points = st.builds(lambda age, value: {"timestamp": NOW - age, "value": float(value)}, st.integers(0, 2), sizes)
series = st.builds(
    lambda name, host, tag, of_it: {
        "metric": name,
        "resources": [{"type": "host", "name": host}],
        "tags": [f"k:{tag}"],
        "points": of_it,
        "type": 3,
    },
    few,
    few,
    few,
    st.lists(points, max_size=3),
)
dogsketches = st.builds(
    lambda age, key: {
        "ts": NOW - age,
        "cnt": 1,
        "min": 1.0,
        "max": 1.0,
        "avg": 1.0,
        "sum": 1.0,
        "k": [key],
        "n": [1],
    },
    st.integers(0, 2),
    st.integers(1, 4),
)
sketches = st.builds(
    lambda name, host, of_it: {"metric": name, "host": host, "tags": [], "dogsketches": of_it},
    few,
    few,
    st.lists(dogsketches, max_size=3),
)
bodies = st.one_of(
    st.lists(series, max_size=4).map(
        lambda of_it: Body(Family.SERIES_V2_PROTOBUF, "t", metric_payload({"series": of_it}))
    ),
    st.lists(sketches, max_size=4).map(lambda of_it: Body(Family.SKETCHES, "t", sketch_payload({"sketches": of_it}))),
    st.just(Body(Family.SERIES_V2_PROTOBUF, "t", b"\xff")),
)


tenants = (f"t{number}" for number in count())


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(commits=st.lists(st.lists(bodies, min_size=2, max_size=6), min_size=1, max_size=2))
def test_two_streams_store_what_one_does(
    commits: list[list[Body]], translator: Translator, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    outcomes = []
    for enough in (1 << 40, 0):
        monkeypatch.setattr(protobuf_statement, "IN_TWO_FROM_BYTES", enough)
        tenant = next(tenants)
        verdicts = [translator.commit([replace(body, tenant=tenant) for body in commit]) for commit in commits]
        outcomes.append((verdicts, [stored(engine, table, row, tenant) for table, row in ROWS.items()]))
    assert outcomes[0] == outcomes[1]


def test_bodies_are_parted_by_their_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protobuf_statement, "IN_TWO_FROM_BYTES", 100)
    reads = ProtobufStatement.of(statement("opstrace.intake.series", "series_v2_protobuf"), "MetricPayload")
    for sizes_of, first in (([10, 20], None), ([100], None), ([10, 10, 10, 90], [0, 1, 2]), ([90, 10, 10], [0])):
        numbered = {i: Body(Family.SERIES_V2_PROTOBUF, "t", bytes(size)) for i, size in enumerate(sizes_of)}
        with reads.translating(numbered) as (chosen, parameters):
            if first is None:
                assert chosen is reads.translate
                assert parameters["bodies"] == list(numbered)
            else:
                assert chosen is reads.translate_in_two
                assert parameters["bodies"] == first
                assert parameters["second_bodies"] == [i for i in numbered if i not in first]


def stored(engine: Engine, table: str, row: str, tenant: str) -> list[str]:
    """Return rows of a tenant, as text and sorted."""
    with engine.reader() as connection:
        rows = connection.read(f"SELECT toString({row}) FROM {table} WHERE tenant = '{tenant}'").column(0).to_pylist()
    return sorted(rows)
