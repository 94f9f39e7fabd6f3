"""Tenants come and go while the server runs, by command and by the page's requests."""

import json
import re
import ssl
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from end_to_end.instance import Answer, Instance, running


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Instance]:
    """An instance whose tenants may change."""
    with running(tmp_path_factory.mktemp("tenants"), "changing", {"tenants": ["default", "other"]}) as started:
        yield started


def ask(instance: Instance, method: str, path: str, document: Any = None, tenant: str = "system") -> Answer:
    body = b"" if document is None else json.dumps(document).encode()
    return instance.send(method, f"/admin{path}", body, {"DD-API-KEY": instance.key(tenant)})


def listed(instance: Instance) -> dict[str, Any]:
    return {one["name"]: one for one in ask(instance, "GET", "/tenants").json()["tenants"]}


def send_point(instance: Instance, key: str) -> Answer:
    series = [{"metric": "tenants.test", "points": [[time.time(), 1]], "host": "h"}]
    headers = {"DD-API-KEY": key, "Content-Type": "application/json"}
    return instance.send("POST", "/api/v1/series", json.dumps({"series": series}).encode(), headers)


def wait_until_forgotten(instance: Instance) -> None:
    deadline = time.monotonic() + 30
    while (home(instance) / "removed-tenants.json").read_text().strip() != "[]":
        assert time.monotonic() < deadline, "the data of a removed tenant stay"
        time.sleep(0.05)


def home(instance: Instance) -> Path:
    return instance.directory / "home" / ".local" / "share" / "opstrace" / instance.name


def validated_over_tls(instance: Instance, tenant: str) -> int:
    """Ask at the tenant's own name, which the certificate must have; return the status."""
    context = ssl.create_default_context(cafile=str(home(instance) / "tls" / "ca.pem"))
    name = f"dd.{tenant}.{instance.name}.localhost"
    return instance.send_tls("GET", "/api/v1/validate", context, name, {"DD-API-KEY": instance.key(tenant)}).status


def test_by_command(own: Instance) -> None:
    anchor = (home(own) / "tls" / "ca.pem").read_bytes()
    own.run("tenants", "add", own.name, "shop")
    key = own.key("shop")
    assert send_point(own, key).status == 202
    assert validated_over_tls(own, "shop") == 200
    assert (home(own) / "tls" / "ca.pem").read_bytes() == anchor
    assert listed(own)["shop"]["rows"] == {"samples": 1, "series": 1}
    assert own.run("tenants", "list", own.name).stdout.splitlines()[-2].split()[:2] == ["shop", "1"]

    own.run("tenants", "remove", own.name, "shop", "--yes")
    assert send_point(own, key).status == 403
    wait_until_forgotten(own)
    assert "shop" not in listed(own)
    # One of the same name is another one: nothing of the first is there, and what it sends is found.
    own.run("tenants", "add", own.name, "shop")
    assert send_point(own, own.key("shop")).status == 202
    assert listed(own)["shop"]["rows"]["samples"] == 1
    assert len(own.vector('{__name__="tenants_test"}', time.time() + 1, "shop")) == 1
    own.run("tenants", "remove", own.name, "shop", "--yes")
    wait_until_forgotten(own)


def test_by_request(own: Instance) -> None:
    made = ask(own, "POST", "/tenants", {"name": "page"}).json()
    assert re.fullmatch("[0-9a-f]{32}", made["key"])
    assert send_point(own, made["key"]).status == 202
    assert len(listed(own)["page"]["keys"]) == 1

    second = ask(own, "POST", "/tenants/page/keys").json()["key"]
    assert [send_point(own, key).status for key in (made["key"], second)] == [202, 202]
    assert ask(own, "DELETE", "/tenants/page/keys").json() == {"revoked": 1}
    assert [send_point(own, key).status for key in (made["key"], second)] == [403, 202]

    limited = ask(own, "PUT", "/tenants/page/limits", {"max_series": 1}).json()
    assert (limited["limits"]["max_series"], limited["own_limits"]) == (1, ["max_series"])
    assert ask(own, "PUT", "/tenants/page/limits", {"max_series": None}).json()["own_limits"] == []

    assert ask(own, "DELETE", "/tenants/page").status == 200
    assert send_point(own, second).status == 403
    wait_until_forgotten(own)


def test_a_limit_holds_at_once_and_for_its_tenant_alone(own: Instance) -> None:
    own.run("tenants", "limit", own.name, "other", "max_series=1")
    series = [{"metric": f"limited.{n}", "points": [[time.time(), 1]]} for n in range(3)]
    for tenant, stored in (("other", 1), ("default", 3)):
        headers = {"DD-API-KEY": own.key(tenant), "Content-Type": "application/json"}
        assert own.send("POST", "/api/v1/series", json.dumps({"series": series}).encode(), headers).status == 202
        assert len(own.vector('{__name__=~"limited_.*"}', time.time() + 1, tenant)) == stored
    own.run("tenants", "limit", own.name, "other", "max_series=default")


@pytest.mark.parametrize(
    ("method", "path", "document", "says"),
    [
        ("POST", "/tenants", {"name": "Shop!"}, "'Shop!' is not allowed"),
        ("POST", "/tenants", {"name": "other"}, "has a tenant other already"),
        ("POST", "/tenants", {"name": "system"}, "has a tenant system already"),
        ("POST", "/tenants", [], "the body must be a tenant's name"),
        ("DELETE", "/tenants/system", None, "stays"),
        ("DELETE", "/tenants/nobody", None, "has no tenant nobody"),
        ("PUT", "/tenants/other/limits", {"max_body_bytes": 1}, "max_body_bytes is not a limit of one tenant"),
        ("PUT", "/tenants/other/limits", {"max_series": 0}, "must be a whole number, 1 or more"),
        ("PUT", "/tenants/other/limits", {"max_series": "many"}, "the body must be limits"),
        ("PUT", "/tenants/nobody/limits", {"max_series": 1}, "has no tenant nobody"),
        ("POST", "/tenants/nobody/keys", None, "there is no tenant nobody"),
    ],
)
def test_what_cannot_be_is_told(own: Instance, method: str, path: str, document: Any, says: str) -> None:
    before = listed(own)
    answer = ask(own, method, path, document)
    assert answer.status == 400
    assert says in answer.json()["errors"][0]
    assert listed(own).keys() == before.keys()


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/tenants"), ("POST", "/tenants"), ("DELETE", "/tenants/other")]
)
def test_it_is_the_operators_alone(own: Instance, method: str, path: str) -> None:
    assert ask(own, method, path, {"name": "mine"}, tenant="default").status == 403


def test_while_the_server_is_stopped(tmp_path: Path) -> None:
    with running(tmp_path, "resting", {"tenants": ["default", "going"]}) as instance:
        assert send_point(instance, instance.key("going")).status == 202
        instance.run("stop", instance.name)
        instance.run("tenants", "remove", instance.name, "going", "--yes")
        instance.run("tenants", "add", instance.name, "coming")
        assert "are not gone yet" in instance.run("tenants", "add", instance.name, "going", check=False).stderr
        instance.run("start", instance.name)
        wait_until_forgotten(instance)
        assert listed(instance).keys() == {"default", "coming", "system"}
        assert send_point(instance, instance.key("coming")).status == 202
