"""Each file of tests/corpus/ against a real instance: requests over sockets, then what PromQL shows of them."""

import re
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from typing import Any
from urllib.parse import urlencode

import pytest

from end_to_end.case import Case, Moment, expected_samples, load_all
from end_to_end.instance import Instance, running

TENANTS = ["default", "other"]
WRONG_KEY = "0123456789abcdef0123456789abcdef"
HOUR_S = 3600
WINDOW_S = 100 * 24 * HOUR_S  # past every retention a case speaks of
SECOND_MS = 1000

InstanceOf = Callable[[Mapping[str, Any]], Instance]


@pytest.fixture(scope="module")
def instance_of(tmp_path_factory: pytest.TempPathFactory) -> Iterator[InstanceOf]:
    """Hand out one instance for each config the corpus asks for."""
    with ExitStack() as stack:
        started: dict[str, Instance] = {}

        def instance(config: Mapping[str, Any]) -> Instance:
            wanted = repr(sorted(config.items()))
            if wanted not in started:
                directory = tmp_path_factory.mktemp("corpus")
                whole = {"tenants": TENANTS, **config}
                started[wanted] = stack.enter_context(running(directory, f"corpus{len(started)}", whole))
            return started[wanted]

        yield instance


def refusals(instance: Instance) -> dict[str, float]:
    """Return how often each reason was counted so far, over all metrics, tenants and agents."""
    answer = instance.send("GET", "/metrics", headers={"DD-API-KEY": instance.key("system")})
    assert answer.status == 200, answer
    found: dict[str, float] = {}
    for reason, value in re.findall(r'^\w+\{.*?\breason="(\w+)".*?\} (\S+)', answer.body.decode(), re.MULTILINE):
        found[reason] = found.get(reason, 0.0) + float(value)
    return found


@pytest.mark.parametrize("case", load_all(), ids=lambda case: case.name)
def test_corpus(case: Case, instance_of: InstanceOf) -> None:
    instance = instance_of(case.config)
    keys = {tenant: instance.key(tenant) for tenant in TENANTS}
    moment = Moment(int(time.time()), {**keys, "wrong": WRONG_KEY})
    before = refusals(instance) if "counted" in case.said else {}
    started_ms = moment.now_s * SECOND_MS
    for request in case.requests(moment):
        request.judge(request.send(instance))
    answered = range(started_ms, int((time.time() + 1) * SECOND_MS))
    judge_series(case, instance, moment, answered)
    for query, vector in case.asks(moment):
        assert instance.vector(query, moment.now_s, case.tenant) == vector, query
    for query, expected in case.logs(moment):
        judge_logs(instance, case.tenant, query, expected, answered)
    after = refusals(instance) if "counted" in case.said else {}
    for reason, times in case.said.get("counted", {}).items():
        assert after.get(reason, 0.0) - before.get(reason, 0.0) == times, reason


def judge_logs(instance: Instance, tenant: str, query: str, expected: list[dict[str, Any]], answered: range) -> None:
    """Compare every log a query finds; one without a time of its own has that of its arrival."""
    parameters = urlencode({"query": query, "from": answered.start / SECOND_MS - WINDOW_S, "limit": 100})
    answer = instance.send("GET", f"/admin/logs?{parameters}", headers={"DD-API-KEY": instance.key(tenant)})
    assert answer.status == 200, answer
    assert answer.json()["more"] is False
    found = sorted(answer.json()["logs"], key=lambda log: (str(log["message"]), str(log["service"])))
    wanted = sorted(expected, key=lambda log: (str(log["message"]), str(log["service"])))
    for log, like in zip(found, wanted, strict=False):
        if like["timestamp_ms"] is None:
            assert log["timestamp_ms"] in answered
            like["timestamp_ms"] = log["timestamp_ms"]
    assert found == wanted


def judge_series(case: Case, instance: Instance, moment: Moment, answered: range) -> None:
    """Compare every sample of every name the case speaks of, and the series endpoint's list of them."""
    expected, end_s = case.series(moment), moment.now_s + 2 * HOUR_S
    for name in case.names(moment):
        selector = f'{{__name__="{name}"}}'
        found = instance.samples(selector, end_s, WINDOW_S, case.tenant)
        wanted = {labels: written for labels, written in expected.items() if ("__name__", name) in labels}
        assert found.keys() == wanted.keys()
        for labels, written in wanted.items():
            assert found[labels] == expected_samples(written, moment, found[labels], answered), dict(labels)
        assert instance.series(selector, end_s - WINDOW_S, end_s, case.tenant) == wanted.keys()


def test_no_two_cases_look_at_one_metric() -> None:
    moment = Moment(0, {"default": "", "other": "", "wrong": ""})
    names = Counter(name for case in load_all() for name in case.names(moment))
    assert [name for name, cases in names.items() if cases > 1] == []
