"""Random series through a real instance, judged by the obvious translation."""

import json
import time
from collections.abc import Iterator
from itertools import count
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from end_to_end import translation, wire
from end_to_end.instance import Instance, LabelSet, running

SAMPLE_S = 60
TYPES = {"count": 1, "rate": 2, "gauge": 3}
bounded = settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))

# Characters of text as it travels: no surrogates, which UTF-8 cannot hold.
characters = st.characters(exclude_categories=["Cs"])
keys = st.text(st.sampled_from("ab.-_:/ 1é日") | characters, min_size=1, max_size=8).filter(lambda key: key[0] != ":")
values = st.text(st.sampled_from('ab,:="\\ \n1é日') | characters, min_size=1, max_size=8)
known_keys = st.sampled_from(["env", "device", "host", "instance", "job", "type", "__name__", "a.b", "a-b", "a_b"])
tags = st.lists(keys | st.builds(lambda key, value: f"{key}:{value}", known_keys | keys, values), max_size=6)
series = st.fixed_dictionaries(
    {
        "name": st.text(st.sampled_from("ab.-_:1é日") | characters, max_size=10),
        "host": values,
        "type": st.sampled_from(sorted(TYPES)),
        "tags": tags,
        "resources": st.lists(
            st.tuples(st.sampled_from(["device", "container", "env", "a.b", "job"]), values), max_size=3
        ),
    }
)

_examples = count()


@pytest.fixture(scope="module")
def instance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Instance]:
    """An instance that nobody else sends to: what other tests tag a host with would be labels of its series here."""
    with running(tmp_path_factory.mktemp("translation"), "translation", {"tenants": ["default"]}) as started:
        yield started


def v2(metric: str, one: dict[str, Any], at_s: int) -> dict[str, Any]:
    """Return one series as v2 documents have it, for JSON and for protobuf."""
    resources = [("host", one["host"]), *one["resources"]]
    return {
        "metric": metric,
        "type": TYPES[one["type"]],
        "tags": one["tags"],
        "resources": [{"type": kind, "name": name} for kind, name in resources],
        "points": [{"timestamp": at_s, "value": 1}],
    }


@bounded
@given(several=st.lists(series, min_size=1, max_size=8))
def test_any_series_is_translated_as_the_rules_say(instance: Instance, several: list[dict[str, Any]]) -> None:
    now, example = int(time.time()), next(_examples)
    metrics = [f"t{example}.{number}.{one['name']}" for number, one in enumerate(several)]
    documents = {
        at_s: {"series": [v2(*named, at_s) for named in zip(metrics, several, strict=True)]}
        for at_s in (now - SAMPLE_S, now)
    }
    headers = {"DD-API-KEY": instance.key(), "Content-Type": "application/json"}
    as_json = json.dumps(documents[now - SAMPLE_S]).encode()
    as_protobuf = wire.metric_payload(documents[now])
    assert instance.send("POST", "/api/v2/series", as_json, headers).status == 202
    headers["Content-Type"] = "application/x-protobuf"
    assert instance.send("POST", "/api/v2/series", as_protobuf, headers).status == 202
    both = {(now - SAMPLE_S) * 1000: "1", now * 1000: "1"}
    expected: dict[LabelSet, dict[int, str]] = {
        translation.labels(metric, one["host"], one["type"], one["tags"], one["resources"]): both
        for metric, one in zip(metrics, several, strict=True)
    }
    assert instance.samples(f'{{__name__=~"t{example}_.*"}}', now + 1, 2 * SAMPLE_S) == expected
