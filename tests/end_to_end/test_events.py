"""Searches of events, followed from page to page as their answers say."""

import json
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, quote, urlencode, urlsplit

import pytest

from end_to_end.instance import Instance, running

EVENTS = 7
QUERY = 'source:pg page:"é &+#"'


@pytest.fixture(scope="module")
def instance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Instance]:
    with running(tmp_path_factory.mktemp("events"), "events", {"tenants": ["default"]}) as one:
        now = int(time.time())
        send(one, "/api/v1/tags/hosts/paged-1", {"tags": ["page:é &+#"]})
        for i in range(EVENTS):
            # Two of each second: pages part them by their ids.
            event = {"title": f"page {i}", "text": "x", "date_happened": now - 100 + i // 2, "source_type_name": "pg"}
            send(one, "/api/v1/events", event | {"host": "paged-1"})
            send(one, "/api/v1/events", event | {"host": "paged-2"})
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


def titles(document: Any) -> list[str]:
    return [event["attributes"]["attributes"]["title"] for event in document["data"]]


def followed(instance: Instance, document: Any) -> list[list[str]]:
    """Return the titles of a page and of those that its links lead to."""
    pages = [titles(document)]
    while "links" in document:
        assert document["meta"]["page"]["after"]
        url = urlsplit(document["links"]["next"])
        assert (url.path, url.netloc) == ("/api/v2/events", f"127.0.0.1:{instance.http_port}")
        document = get(instance, f"{url.path}?{url.query}")
        pages.append(titles(document))
    return pages


def test_links_lead_through_a_search_in_the_address(instance: Instance) -> None:
    """Each page has the order and the length of the first, and no link names the key."""
    parameters = {"filter[query]": QUERY, "filter[from]": "now-1d", "filter[to]": "now", "sort": "timestamp"}
    first = get(instance, f"/api/v2/events?{urlencode(parameters | {'page[limit]': 3, 'api_key': instance.key()})}")
    pages = followed(instance, first)
    assert [len(page) for page in pages] == [3, 3, 1]
    oldest_first = [title for page in pages for title in page]
    assert sorted(oldest_first) == [f"page {i}" for i in range(EVENTS)]
    assert [title[-1] in "01" for title in oldest_first] == [True, True, *[False] * 5]
    asked = parse_qs(urlsplit(first["links"]["next"]).query)
    assert {name: asked[name] for name in parameters} == {name: [value] for name, value in parameters.items()}
    assert instance.key() not in first["links"]["next"]


def test_links_lead_on_from_a_search_in_a_body(instance: Instance) -> None:
    """They are of the route that is asked by GET, with all that the body said."""
    wanted = {"filter": {"query": QUERY, "from": "now-1d", "to": "now"}, "page": {"limit": 2}, "sort": "-timestamp"}
    pages = followed(instance, send(instance, "/api/v2/events/search", wanted))
    assert [len(page) for page in pages] == [2, 2, 2, 1]
    assert sorted(title for page in pages for title in page) == [f"page {i}" for i in range(EVENTS)]
    assert pages[0][0] == "page 6"


def test_a_search_of_nothing_but_a_time_is_followed_too(instance: Instance) -> None:
    pages = followed(instance, send(instance, "/api/v2/events/search", {}))
    assert [len(page) for page in pages] == [10, 4]


def test_the_end_is_a_page_without_a_link(instance: Instance) -> None:
    document = get(instance, f"/api/v2/events?{urlencode({'filter[query]': QUERY, 'page[limit]': EVENTS})}")
    assert len(document["data"]) == EVENTS
    assert "links" not in document
    assert "page" not in document["meta"]


def test_pages_of_version_1_end(instance: Instance) -> None:
    now = int(time.time())
    path = f"/api/v1/events?start={now - 3600}&end={now}&sources=pg&unaggregated=true&page="
    assert len(get(instance, f"{path}0")["events"]) == 2 * EVENTS
    assert [get(instance, f"{path}{page}")["events"] for page in (1, 1001, 10**9)] == [[], [], []]


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


def test_a_page_goes_on_where_the_last_one_ended(instance: Instance) -> None:
    """Whatever has come meanwhile, and however a client asks for it."""
    wanted = {"filter": {"query": "moving", "from": "now-1h"}, "page": {"limit": 2}}
    now = int(time.time())
    for i in range(4):
        send(instance, "/api/v1/events", {"title": f"moving {i}", "text": "x", "date_happened": now - 100 + i})
    first = send(instance, "/api/v2/events/search", wanted)
    send(instance, "/api/v1/events", {"title": "moving on", "text": "x"})
    assert followed(instance, first) == [["moving 3", "moving 2"], ["moving 1", "moving 0"]]
    cursor = first["meta"]["page"]["after"]
    second = send(instance, "/api/v2/events/search", wanted | {"page": {"limit": 3, "cursor": cursor}})
    assert titles(second) == ["moving 1", "moving 0"]
    assert second["meta"] == {}


@pytest.mark.parametrize("cursor", ["x", "-1", "1-", "1-2-3", "１-２", "9" * 30 + "-1", "1-" + "9" * 30])
def test_a_cursor_of_somebody_else_is_refused(instance: Instance, cursor: str) -> None:
    answer = instance.send(
        "GET", f"/api/v2/events?{urlencode({'page[cursor]': cursor})}", headers={"DD-API-KEY": instance.key()}
    )
    assert (answer.status, answer.json()) == (400, {"errors": ["page cursor is none of this server's"]})


@pytest.mark.parametrize("number", ["1", "0", "-1", "one", "99999999999999999999", "%20", "1.0", "１"])
def test_an_event_that_is_not_there_is_not_found(instance: Instance, number: str) -> None:
    headers = {"DD-API-KEY": instance.key()}
    for version in ("v1", "v2"):
        answer = instance.send("GET", f"/api/{version}/events/{quote(number, safe='%')}", headers=headers)
        assert (answer.status, list(answer.json())) == (404, ["errors"])
