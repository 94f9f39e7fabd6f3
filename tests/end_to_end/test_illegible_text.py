"""Text that is no UTF-8, where a protobuf field holds it: stored, shown as what it is, in nobody's way."""

import time
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from end_to_end import columnar, wire
from end_to_end.instance import Instance

PROTOBUF = "application/x-protobuf"
# Stands in documents for four bytes that are no UTF-8.
PLACE, ILLEGIBLE = "~~~~", b"\xff\xfe\x80\xc0"
SKETCH = {"cnt": 3, "min": 1, "max": 2, "sum": 4, "k": [1338, 1383], "n": [2, 1]}
READ = (
    "/prometheus/api/v1/metadata",
    "/prometheus/api/v1/series?match[]={__name__=~%22.%2B%22}",
    "/prometheus/api/v1/labels",
    "/prometheus/api/v1/label/__name__/values",
    "/prometheus/api/v1/label/instance/values",
    "/prometheus/api/v1/query?query={job=%22ddagent%22}",
    "/prometheus/api/v1/status/tsdb",
    "/admin/metrics",
    "/admin/hosts",
    "/admin/losses",
    "/api/v1/hosts",
    "/api/v1/hosts/totals",
    "/api/v1/tags/hosts",
)


def v2(name: str, time_s: int) -> Mapping[str, Any]:
    point = {"timestamp": time_s, "value": 1}
    resources = [{"type": "host", "name": f"h{PLACE}"}, {"type": f"r{PLACE}", "name": PLACE}]
    texts = {"metric": name, "unit": f"u{PLACE}", "source_type_name": PLACE, "tags": [f"k{PLACE}:v{PLACE}", PLACE]}
    return {"series": [{**texts, "resources": resources, "points": [point]}]}


def sketches(name: str, time_s: int) -> Mapping[str, Any]:
    texts = {"metric": name, "host": f"h{PLACE}", "tags": [f"k{PLACE}:v{PLACE}", PLACE]}
    return {"sketches": [{**texts, "dogsketches": [{"ts": time_s, **SKETCH}]}]}


def v3(name: str, time_s: int) -> Mapping[str, Any]:
    resources = [["host", f"h{PLACE}"], [f"r{PLACE}", PLACE]]
    texts = {"metric": name, "unit": f"u{PLACE}", "source_type_name": PLACE, "tags": [f"k{PLACE}:v{PLACE}", PLACE]}
    return {"series": [{**texts, "type": "gauge", "resources": resources, "points": [[time_s, 1]]}]}


@pytest.mark.parametrize(
    ("path", "document", "encode", "ours"),
    [
        ("/api/v2/series", v2, wire.metric_payload, "illegible_v2_"),
        ("/api/beta/sketches", sketches, wire.sketch_payload, "illegible_sketch__count"),
        ("/api/intake/metrics/v3/series", v3, columnar.payload, "illegible_v3_"),
    ],
)
def test_it_is_stored_and_everything_can_be_read(
    path: str,
    document: Callable[[str, int], Mapping[str, Any]],
    encode: Callable[[Mapping[str, Any]], bytes],
    ours: str,
    instance: Instance,
) -> None:
    key = {"DD-API-KEY": instance.key("other")}
    now_s = int(time.time())
    name = f"illegible.{ours.split('_')[1]}{PLACE}"
    body = encode(document(name, now_s)).replace(PLACE.encode(), ILLEGIBLE)
    for _ in range(2):  # the second time it is known
        answer = instance.send("POST", path, body, {**key, "Content-Type": PROTOBUF})
        assert answer.status == 202, answer
    answers = {asked: instance.send("GET", asked, headers=key) for asked in READ}
    assert {asked: answer.status for asked, answer in answers.items()} == dict.fromkeys(READ, 200)
    assert all("\ufffd" in answer.body.decode() for asked, answer in answers.items() if asked in READ[:2])
    known = answers["/prometheus/api/v1/metadata"].json()["data"]
    assert known[ours][0]["unit"].startswith("u\ufffd" if "sketch" not in ours else "")
    # As often as it is sent, it is one series.
    [labels] = instance.series(f'{{__name__="{ours}"}}', now_s - 60, now_s + 60, "other")
    assert dict(labels)["instance"] == "h\ufffd"
