"""Tags that several clients give a host at the same time."""

import json
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from end_to_end.instance import Answer, Instance

HOST = "tagged-at-once"
CLIENTS = 8


def sent(instance: Instance, method: str, document: Mapping[str, Any], path: str = "") -> Answer:
    headers = {"DD-API-KEY": instance.key("default"), "Content-Type": "application/json"}
    return instance.send(method, f"/api/v1/{path or f'tags/hosts/{HOST}'}", json.dumps(document).encode(), headers)


def tags(instance: Instance) -> list[str]:
    answer = instance.send("GET", f"/api/v1/tags/hosts/{HOST}", headers={"DD-API-KEY": instance.key("default")})
    found: list[str] = answer.json()["tags"]
    return found


def test_tags_that_are_added_at_the_same_time_are_all_there(instance: Instance) -> None:
    wanted = [f"client:{i}" for i in range(CLIENTS)]
    with ThreadPoolExecutor(CLIENTS) as clients:
        for _ in range(5):
            assert sent(instance, "DELETE", {}).status == 204
            answers = list(clients.map(lambda tag: sent(instance, "POST", {"tags": [tag]}), wanted))
            assert [answer.status for answer in answers] == [201] * CLIENTS
            assert tags(instance) == wanted
            assert max((answer.json()["tags"] for answer in answers), key=len) == wanted


def test_replacing_and_adding_at_the_same_time_keeps_what_was_replaced_with(instance: Instance) -> None:
    with ThreadPoolExecutor(2) as clients:
        for _ in range(5):
            assert sent(instance, "PUT", {"tags": ["old:1"]}).status == 201
            put = clients.submit(sent, instance, "PUT", {"tags": ["put:1"]})
            post = clients.submit(sent, instance, "POST", {"tags": ["post:1"]})
            assert (put.result().status, post.result().status) == (201, 201)
            assert tags(instance) in (["put:1"], ["post:1", "put:1"])


def test_one_of_several_who_mute_a_host_does(instance: Instance) -> None:
    with ThreadPoolExecutor(CLIENTS) as clients:
        path = f"host/{HOST}/mute"
        answers = list(clients.map(lambda _: sent(instance, "POST", {}, path), range(CLIENTS)))
    assert sorted(answer.status for answer in answers) == [200, *[400] * (CLIENTS - 1)]
    assert sent(instance, "POST", {}, f"host/{HOST}/unmute").status == 200
