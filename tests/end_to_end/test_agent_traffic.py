"""Bodies that the serializers of two generations of Agents wrote, in each protocol: every label and every number.

What was given to them, and what judges the answers: agent_traffic/README.md, translation.py.
"""

import base64
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from end_to_end.instance import Instance, LabelSet, running
from end_to_end.translation import labels

TRAFFIC = Path(__file__).with_name("agent_traffic")
CAPTURES: list[dict[str, Any]] = json.loads((TRAFFIC / "captures.json").read_text())
OF_INTERNAL = "dd.internal.resource:"
AGES_DAYS = 36_500  # the bodies have the times at which they were written
WINDOW_S = 3600

Numbers = dict[int, float]


@pytest.fixture(scope="module")
def old(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Instance]:
    """An instance that takes what is old."""
    config = {"tenants": ["default"], "metric_retention_days": AGES_DAYS}
    with running(tmp_path_factory.mktemp("agents"), "agents", config) as instance:
        yield instance


def given(of: str, mode: str) -> list[dict[str, Any]]:
    """Return the series or sketches that a run began with."""
    text = (TRAFFIC / f"{of}.json").read_text()
    return [dict(one) for one in json.loads(text.replace("MODE", mode))]


def label_set(one: Mapping[str, Any], kind: str, part: str = "") -> LabelSet:
    tags = [tag for tag in one["tags"] if tag and not tag.startswith(OF_INTERNAL)]
    named = [tag.removeprefix(OF_INTERNAL).partition(":") for tag in one["tags"] if tag.startswith(OF_INTERNAL)]
    resources = [(key, value) for key, _, value in named] + [tuple(pair) for pair in one.get("resources", ())]
    device = [("device", one["device"])] if "device" in one else []
    return labels(one["name"] + part, one["host"], kind, tags, [*resources, *device])


def without_resources(one: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return what is left of a series in JSON of version 1: Agents make resources of tags, and leave these out."""
    return {**one, "resources": (), "tags": [tag for tag in one["tags"] if not tag.startswith(OF_INTERNAL)]}


def expected_series(capture: Mapping[str, Any]) -> dict[LabelSet, Numbers]:
    found: dict[LabelSet, Numbers] = {}
    for one in given("series", capture["mode"]):
        if "v1" in capture["path"]:
            one = without_resources(one)
        samples = found.setdefault(label_set(one, one["type"]), {})
        samples |= {capture["start_s"] + int(at): value for at, value in one["points"]}
    return {key: samples for key, samples in found.items() if samples}


def expected_sketches(capture: Mapping[str, Any]) -> dict[LabelSet, Numbers]:
    found: dict[LabelSet, Numbers] = {}
    for one in given("sketches", capture["mode"]):
        for part, member in (("_count", "cnt"), ("_sum", "sum"), ("_min", "min"), ("_max", "max")):
            samples = found.setdefault(label_set(one, "distribution", part), {})
            samples |= {capture["start_s"] + point["at"]: point[member] for point in one["points"]}
    return found


def stored(instance: Instance, names: Sequence[str], at_s: int) -> dict[LabelSet, Numbers]:
    selector = '{__name__=~"' + "|".join(names) + '"}'
    found = instance.samples(selector, at_s, WINDOW_S)
    return {key: {ms // 1000: float(value) for ms, value in some.items()} for key, some in found.items()}


@pytest.mark.parametrize("capture", CAPTURES, ids=[str(one["body"]) for one in CAPTURES])
def test_what_an_agent_was_given_is_there(old: Instance, capture: Mapping[str, Any]) -> None:
    headers = {
        "DD-API-KEY": old.key(),
        "Content-Type": capture["content_type"],
        "Content-Encoding": capture["content_encoding"],
    }
    body = base64.b64decode((TRAFFIC / capture["body"]).read_text())
    assert old.send("POST", capture["path"], body, headers).status == 202
    expected = {"series": expected_series, "sketches": expected_sketches}[capture["of"]](capture)
    assert len(expected) > 100
    names = sorted({dict(key)["__name__"] for key in expected})
    assert stored(old, names, capture["start_s"] + WINDOW_S // 2) == expected
