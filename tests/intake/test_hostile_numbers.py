"""Numbers and times that no integer holds, everywhere a payload has one: they fail nobody's commit."""

import json
import time
from dataclasses import replace
from typing import Any

import pytest

from end_to_end import wire
from opstrace.intake.payload import Body, Family, Verdict
from opstrace.intake.translator import Translator
from opstrace.store.engine import Engine

NOW = int(time.time())
HOSTILE = [
    *(
        "NaN",
        "nan",
        "inf",
        "-Infinity",
        "1e400",
        "1e308",
        "-1e308",
        "9" * 400,
        "",
        " ",
        "0x10",
        "1/Jan/0000:00:00:00",
    ),
    *(
        "-9223372036854775808",
        "18446744073709551616",
        "9999-12-31",
        "0000-00-00",
        "999999999-01-01",
        "-",
        "1e",
        "+",
        ",",
    ),
    *(1e308, -1e308, 1e19, -1e19, 2**63, -(2**63), 2**64, 10**30, float("nan"), float("inf"), -float("inf")),
    *(None, True, [], {}, [1e308], {"a": "NaN"}),
]


def point(hostile: Any) -> list[Any]:
    return [[hostile, 1], [NOW - 9, 1], [NOW - 8, hostile]]


def documents(x: Any) -> dict[Family, Any]:
    """Return a payload of each family in JSON that has a value wherever a number belongs."""
    series = {"metric": "hostile.m", "points": point(x), "interval": x, "type": "rate", "host": "h"}
    check = {"check": "hostile.c", "timestamp": x, "status": x, "host_name": "h", "message": "m"}
    good_check = {**check, "timestamp": NOW, "status": 1}
    event = {"msg_title": "t", "timestamp": x, "host": "h"}
    return {
        Family.LOGS: [
            {"message": "m", key: x} for key in ("timestamp", "@timestamp", "_timestamp", "date", "status")
        ],
        Family.SERIES_V1: {"series": [series, {**series, "points": point(x)[::-1]}]},
        Family.SERIES_V2_JSON: {
            "series": [
                {
                    "metric": "hostile.m2",
                    "type": x,
                    "interval": x,
                    "points": [{"timestamp": x, "value": 1}, {"timestamp": NOW - 9, "value": x}],
                    "resources": [{"type": "host", "name": "h"}],
                }
            ]
        },
        Family.CHECK_RUN: [check, good_check, {**good_check, "status": x}, {**good_check, "timestamp": x}],
        Family.DISTRIBUTION_POINTS: {
            "series": [{"metric": "hostile.d", "points": [[x, [1]], [NOW - 9, [x, 1]], [NOW - 8, x]]}]
        },
        Family.EVENT_V1: {"title": "t", "date_happened": x, "related_event_id": x},
        Family.EVENT_V2: {
            "data": {"attributes": {"title": "t", "category": "alert", "timestamp": x, "attributes": {"n": x}}}
        },
        Family.INTAKE: {
            "internalHostname": "h",
            "collection_timestamp": x,
            "cpuUser": x,
            "memPhysTotal": x,
            "system.load.1": x,
            "ioStats": {"sda": {"await": x}},
            "metrics": [["hostile.i", x, x, {"hostname": "h"}], ["hostile.i", NOW - 9, 1, {"hostname": "h"}]],
            "service_checks": [check, good_check],
            "events": {"api": [event, {**event, "timestamp": NOW}]},
            "systemStats": {"cpuCores": x},
            "meta": {"n": x},
            "host-tags": {"system": ["a:b"]},
        },
        Family.INVENTORY: {"hostname": "h", "timestamp": x, "host_metadata": {"memory_total_kb": x}},
    }


FAMILIES = [*documents(0)]


def bodies(family: Family) -> list[Body]:
    return [Body(family, "t", json.dumps(documents(hostile)[family]).encode()) for hostile in HOSTILE]


@pytest.mark.parametrize("family", FAMILIES)
def test_numbers_in_json_that_no_integer_holds(translator: Translator, family: Family) -> None:
    good = [
        Body(Family.LOGS, "u", json.dumps([{"message": "neighbour", "timestamp": NOW}]).encode()),
        Body(Family.SERIES_V1, "u", json.dumps({"series": [{"metric": "n", "points": [[NOW, 1]]}]}).encode()),
    ]
    logs, series, *_ = translator.commit([*good, *bodies(family)])[0]
    assert logs.logs == {"stored": 1}
    assert series.points == {"stored": 1}


def test_of_logs_with_such_times_none_is_lost(translator: Translator, engine: Engine) -> None:
    verdicts = translator.commit([replace(body, tenant="v") for body in bodies(Family.LOGS)])[0]
    assert {sum(verdict.logs.values()) for verdict in verdicts} == {5}
    with engine.reader() as connection:
        found = connection.read("SELECT count() FROM logs FINAL WHERE tenant = 'v'")[0][0].as_py()
    assert found == sum(verdict.logs.get("stored", 0) for verdict in verdicts)


@pytest.mark.parametrize("family", [Family.EVENT_V1, Family.EVENT_V2])
def test_an_event_that_is_said_to_be_stored_is_told(translator: Translator, family: Family) -> None:
    for verdict in translator.commit(bodies(family))[0]:
        assert (verdict.events.get("stored", 0) == 1) == (verdict.told is not None)
        assert bool(verdict.told) != bool(verdict.fault)


@pytest.mark.parametrize("at", [0, 1, -1, 2**62, 2**63 - 1, -(2**63), 253402300800, -62135596801])
def test_times_in_protobuf_that_no_date_holds(translator: Translator, at: int) -> None:
    points = [{"timestamp": at, "value": 1.0}, {"timestamp": NOW, "value": "NaN"}]
    series = wire.metric_payload({"series": [{"metric": "hostile.p", "type": 3, "points": points}]})
    sketch = {"ts": at, "cnt": 1, "min": 1, "max": 1, "sum": 1, "k": [1338], "n": [1]}
    sketches = wire.sketch_payload({"sketches": [{"metric": "hostile.s", "dogsketches": [sketch]}]})
    bodies = [Body(Family.SERIES_V2_PROTOBUF, "t", series), Body(Family.SKETCHES, "t", sketches)]
    verdicts: list[Verdict] = translator.commit(bodies)[0]
    assert [verdict.fault for verdict in verdicts] == ["", ""]
    assert [sum(verdict.points.values()) for verdict in verdicts] == [2, 1]
