"""Events at the addresses that answers name."""

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote, urlsplit

import pytest

from end_to_end.instance import Instance, running


@pytest.fixture(scope="module")
def instance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Instance]:
    with running(tmp_path_factory.mktemp("events"), "events", {"tenants": ["default"]}) as one:
        send(one, "/api/v1/tags/hosts/paged-1", {"tags": ["page:é &+#"]})
        yield one


def send(instance: Instance, path: str, document: Any) -> Any:
    headers = {"DD-API-KEY": instance.key(), "Content-Type": "application/json"}
    answer = instance.send("POST", path, json.dumps(document).encode(), headers)
    assert answer.status in (200, 201, 202), answer
    return answer.json()


def get(instance: Instance, path: str) -> Any:
    answer = instance.send("GET", path, headers={"DD-API-KEY": instance.key()})
    assert answer.status == 200, answer
    return answer.json()


def test_an_event_is_at_the_address_that_its_sender_is_told(instance: Instance) -> None:
    attributes = {"title": "Told", "category": "alert", "host": "paged-1", "attributes": {"priority": "2"}}
    told = send(instance, "/api/v2/events", {"data": {"type": "event", "attributes": attributes}})
    found = get(instance, urlsplit(told["links"]["self"]).path)["data"]
    assert (found["id"], found["type"]) == (told["data"]["id"], "event")
    assert found["attributes"]["tags"] == ["page:é &+#"]
    assert found["attributes"]["attributes"]["priority"] == "2"
    (searched,) = get(instance, "/api/v2/events?filter[query]=title:Told")["data"]
    assert found == searched
    assert get(instance, f"/api/v1/events/{found['id']}")["event"]["tags"] == ["page:é &+#"]


@pytest.mark.parametrize("number", ["1", "0", "-1", "one", "99999999999999999999", "%20", "1.0", "１"])
def test_an_event_that_is_not_there_is_not_found(instance: Instance, number: str) -> None:
    headers = {"DD-API-KEY": instance.key()}
    for version in ("v1", "v2"):
        answer = instance.send("GET", f"/api/{version}/events/{quote(number, safe='%')}", headers=headers)
        assert (answer.status, list(answer.json())) == (404, ["errors"])
