"""A query that was asked before shows what was acknowledged since: late, replaced, or of a series that is new."""

import json
import time
from collections.abc import Callable

import pytest

from end_to_end.instance import Instance
from end_to_end.remote_write import HEADERS_V1, HEADERS_V2, Document, request, snappy, write_request

Send = Callable[[Instance, str, str, int, float], None]


def by_datadog(instance: Instance, name: str, host: str, at_ms: int, value: float) -> None:
    series = {"metric": name, "points": [[at_ms // 1000, value]], "type": "gauge", "host": host}
    headers = {"DD-API-KEY": instance.key(), "Content-Type": "application/json"}
    answer = instance.send("POST", "/api/v1/series", json.dumps({"series": [series]}).encode(), headers)
    assert answer.status == 202


def by_remote_write(encode: Callable[[Document], bytes], headers: dict[str, str]) -> Send:
    def send(instance: Instance, name: str, host: str, at_ms: int, value: float) -> None:
        labels = {"__name__": name, "instance": host}
        series = {"labels": labels, "samples": [{"timestamp": at_ms, "value": value}]}
        key = {"Authorization": f"Bearer {instance.key()}"}
        body = snappy(encode({"timeseries": [series]}))
        assert instance.send("POST", "/prometheus/api/v1/write", body, {**headers, **key}).status == 204

    return send


WAYS: dict[str, Send] = {
    "datadog": by_datadog,
    "write_1": by_remote_write(write_request, dict(HEADERS_V1)),
    "write_2": by_remote_write(request, dict(HEADERS_V2)),
}


@pytest.mark.parametrize("way", WAYS)
def test_a_query_asked_before_shows_what_came_since(instance: Instance, way: str) -> None:
    send, name, now_ms = WAYS[way], f"fresh_{way}", int(time.time()) * 1000

    def found(selector: str) -> dict[str, dict[int, float]]:
        matrix = instance.ask("query", {"query": f"{selector}[10m]", "time": str(now_ms / 1000)})["result"]
        return {
            row["metric"]["instance"]: {int(at - now_ms // 1000): float(value) for at, value in row["values"]}
            for row in matrix
        }

    def everywhere(expected: dict[str, dict[int, float]]) -> None:
        for selector in (name, f'{{__name__=~"{name}"}}', f'{name}{{instance!=""}}'):
            assert found(selector) == expected

    everywhere({})
    send(instance, name, "a", now_ms - 60_000, 1)
    everywhere({"a": {-60: 1}})
    send(instance, name, "a", now_ms - 30_000, 2)
    everywhere({"a": {-60: 1, -30: 2}})
    send(instance, name, "a", now_ms - 90_000, 3)
    everywhere({"a": {-90: 3, -60: 1, -30: 2}})
    send(instance, name, "b", now_ms - 45_000, 4)
    everywhere({"a": {-90: 3, -60: 1, -30: 2}, "b": {-45: 4}})
    send(instance, name, "a", now_ms - 60_000, 5)
    everywhere({"a": {-90: 3, -60: 5, -30: 2}, "b": {-45: 4}})


def test_a_host_whose_clock_is_ahead_was_seen_now(instance: Instance) -> None:
    by_datadog(instance, "fresh_ahead", "ahead-1", int(time.time() + 500) * 1000, 1)
    asked = instance.send("GET", "/api/v1/hosts?filter=host:ahead-1", headers={"DD-API-KEY": instance.key()})
    [host] = asked.json()["host_list"]
    assert host["last_reported_time"] <= time.time()
    assert host["up"]
