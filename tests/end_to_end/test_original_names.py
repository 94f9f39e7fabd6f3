"""The name a metric has at Datadog finds, in quotes, the series of the name it has in PromQL."""

import json
import time
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from end_to_end.instance import Instance, label_set
from end_to_end.remote_write import HEADERS_V1, snappy, write_request

ORIGINAL, OURS = "names.net.bytes_rcvd", "names_net_bytes_rcvd"
TWIN = "names.net_bytes.rcvd"  # becomes the same name, and is another metric


@pytest.fixture(scope="module")
def now_s(instance: Instance) -> int:
    """The moment at which both metrics have a sample, the original's on two hosts; a third came by remote write."""
    at_s = int(time.time()) - 5
    hosts = ((ORIGINAL, "a", 1), (ORIGINAL, "b", 2), (TWIN, "c", 3))
    series = [
        {"metric": metric, "points": [[at_s, value]], "host": host, "type": "gauge", "tags": ["env:prod"]}
        for metric, host, value in hosts
    ]
    key = {"DD-API-KEY": instance.key()}
    body = json.dumps({"series": series}).encode()
    assert instance.send("POST", "/api/v1/series", body, {**key, "Content-Type": "application/json"}).status == 202
    sample = {"timestamp": at_s * 1000, "value": 4}
    remote = write_request({"timeseries": [{"labels": {"__name__": ORIGINAL, "host": "d"}, "samples": [sample]}]})
    answer = instance.send("POST", "/prometheus/api/v1/write", snappy(remote), {**HEADERS_V1, **key})
    assert answer.status == 204
    return at_s


def labels(host: str, name: str = OURS) -> frozenset[tuple[str, str]]:
    return label_set({"__name__": name, "instance": host, "env": "prod", "job": "ddagent", "type": "gauge"})


BY_DATADOG = {labels("a"): "1", labels("b"): "2"}
BY_REMOTE_WRITE = {label_set({"__name__": ORIGINAL, "host": "d"}): "4"}


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        (f'{{"{ORIGINAL}"}}', {**BY_DATADOG, **BY_REMOTE_WRITE}),
        (f'{{__name__="{ORIGINAL}"}}', {**BY_DATADOG, **BY_REMOTE_WRITE}),
        (f'{{"{ORIGINAL}", env="prod"}}', BY_DATADOG),
        (f'{{"{ORIGINAL}", instance=~"a|c"}}', {labels("a"): "1"}),
        (f'{{"{ORIGINAL}", host="d"}}', BY_REMOTE_WRITE),
        (f'{{"{TWIN}"}}', {labels("c"): "3"}),
        (OURS, {**BY_DATADOG, labels("c"): "3"}),
        (f'{{"{OURS}"}}', {**BY_DATADOG, labels("c"): "3"}),
        ('{"names.net.bytes.rcvd"}', {}),
    ],
)
def test_queries(query: str, expected: Mapping[Any, str], instance: Instance, now_s: int) -> None:
    assert instance.vector(query, now_s) == expected


def test_arithmetic_and_ranges(instance: Instance, now_s: int) -> None:
    assert instance.vector(f'sum({{"{ORIGINAL}", job="ddagent"}}) + count({OURS})', now_s) == {label_set({}): "6"}
    found = instance.samples(f'{{"{TWIN}"}}', now_s, 60)
    assert found == {labels("c"): {now_s * 1000: "3"}}


def listed(instance: Instance, endpoint: str, now_s: int, *selectors: str) -> Sequence[Any]:
    bounds = {"start": str(now_s - 60), "end": str(now_s)}
    found: Sequence[Any] = instance.ask(endpoint, {"match[]": selectors, **bounds})
    return found


def test_series_labels_and_values(instance: Instance, now_s: int) -> None:
    """The listings know the original name as queries do."""
    assert instance.series(f'{{"{TWIN}"}}', now_s - 60, now_s) == {labels("c")}
    assert listed(instance, "label/instance/values", now_s, f'{{"{ORIGINAL}"}}') == ["a", "b"]
    assert listed(instance, "label/__name__/values", now_s, f'{{"{ORIGINAL}"}}') == sorted([ORIGINAL, OURS])
    assert listed(instance, "label/__name__/values", now_s, f'{{__name__="{TWIN}"}}') == [OURS]
    assert listed(instance, "labels", now_s, f'{{"{TWIN}"}}') == ["__name__", "env", "instance", "job", "type"]
