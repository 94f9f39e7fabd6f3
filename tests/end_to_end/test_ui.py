"""The web UI's own addresses, spoken to as a browser does: the page, its files, the session, what pages ask."""

import json
import re
import time
from urllib.parse import urlsplit

import pytest

from end_to_end.instance import Answer, Instance
from opstrace.web.dashboards import MAX_DASHBOARD_BYTES

BROWSER = {"sec-fetch-site": "same-origin", "accept-encoding": "gzip"}


def log_in(instance: Instance, tenant: str = "default") -> dict[str, str]:
    """Log in and return the headers a page's requests have from then on."""
    answer = instance.send("POST", "/ui/session", headers={**BROWSER, "DD-API-KEY": instance.key(tenant)})
    assert answer.status == 200, answer
    assert answer.json()["tenant"] == tenant
    return {**BROWSER, "cookie": answer.headers["set-cookie"].partition(";")[0]}


def errors(answer: Answer) -> str:
    return " ".join(answer.json()["errors"])


@pytest.mark.parametrize("path", ["/", "/ui", "/ui/", "/ui/explore", "/ui/dashboards/any"])
def test_the_page_loads_from_here_alone(instance: Instance, path: str) -> None:
    first, second = (instance.send("GET", path, headers={"accept": "text/html"}) for _ in range(2))
    assert (first.status, first.media_type) == (200, "text/html")
    policy = first.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert not re.search(rb"""(?:src|href)=["'](?!/ui/assets/)""", first.body)
    nonces = [re.findall(rb'nonce="([^"]+)"', answer.body)[0].decode() for answer in (first, second)]
    assert nonces[0] != nonces[1]
    assert f"'nonce-{nonces[0]}'" in policy
    assert first.headers["cache-control"] == "no-store"


def test_files_are_named_by_their_content_and_kept_for_ever(instance: Instance) -> None:
    page = instance.send("GET", "/").body.decode()
    names = re.findall(r"/ui/assets/[\w.-]+", page)
    assert any(name.endswith(".js") for name in names)
    for name in names:
        answer = instance.send("GET", name, headers=BROWSER)
        assert answer.status == 200, name
        assert "immutable" in answer.headers["cache-control"]
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert len(answer.body) < len(instance.send("GET", name).body)
    for absent in ("absent.js", "..%2Findex.html", ".hidden", "%2e%2e%2fmade-from"):
        assert instance.send("GET", f"/ui/assets/{absent}").status in (200, 404)
        assert b"made-from" not in instance.send("GET", f"/ui/assets/{absent}").body


def test_datadogs_api_keeps_its_addresses(instance: Instance) -> None:
    """What is no page of ours is answered as before: an Agent's unknown POST is kept, its GET finds nothing.

    Nobody sends to our own pages.
    """
    key = {"DD-API-KEY": instance.key()}
    assert instance.send("POST", "/", b"{}", key).status == 202
    assert instance.send("POST", "/uid/anything", b"{}", key).status == 202
    for method, path in (("POST", "/ui/anything"), ("PUT", "/admin/limits"), ("PATCH", "/metrics")):
        assert instance.send(method, path, b"{}", key).status == 404
    assert instance.send("GET", "/api/v9/unknown", headers={**key, "accept": "text/html"}).status == 404
    assert instance.send("GET", "/api/v1/validate", headers=key).json() == {"valid": True}


def test_a_session_opens_the_query_api_and_admin(instance: Instance) -> None:
    browser = log_in(instance, "other")
    assert instance.send("GET", "/ui/session", headers=browser).json() == {
        "tenant": "other",
        "operator": False,
        "tenants": ["other"],
        "instance": "shared",
        "version": instance.send("GET", "/ui/session", headers=browser).json()["version"],
    }
    form = {**browser, "content-type": "application/x-www-form-urlencoded"}
    assert instance.send("POST", "/prometheus/api/v1/query", b"query=1", form).status == 200
    assert instance.send("GET", "/admin/losses", headers=browser).status == 200
    assert instance.send("DELETE", "/ui/session", headers=browser).status == 204
    assert instance.send("GET", "/admin/losses", headers=browser).status == 403
    assert instance.send("GET", "/ui/session", headers=browser).status == 403


def test_a_session_is_no_key_for_sending(instance: Instance) -> None:
    assert instance.send("POST", "/api/v1/series", b"{}", log_in(instance)).status == 403


def test_another_origin_cannot_use_a_session(instance: Instance) -> None:
    browser = {**log_in(instance), "sec-fetch-site": "same-site"}
    assert instance.send("GET", "/admin/metrics", headers=browser).status == 403
    assert instance.send("PUT", "/admin/dashboards/x", b"{}", browser).status == 403
    assert instance.send("POST", "/admin/replay", headers=browser).status == 403


def test_a_wrong_key_is_told(instance: Instance) -> None:
    answer = instance.send("POST", "/ui/session", headers={**BROWSER, "DD-API-KEY": "0" * 32})
    assert answer.status == 403
    assert "not one of this server's" in errors(answer)
    assert "set-cookie" not in answer.headers


def test_the_operator_is_told_the_tenants(instance: Instance) -> None:
    session = instance.send("GET", "/ui/session", headers=log_in(instance, "system")).json()
    assert session["operator"]
    assert session["tenants"] == ["default", "other", "system"]


def test_settings_for_agents_are_this_tenants_without_the_key(instance: Instance) -> None:
    answer = instance.send("GET", "/admin/agent-settings", headers=log_in(instance, "other"))
    settings = answer.json()
    assert set(settings["notations"]) == {"env", "docker", "yaml", "conf", "helm"}
    assert all(settings["key_place"] in text for text in settings["notations"].values())
    assert "tenant-api-token-other" in settings["key_place"]
    assert settings["dogstatsd"] == []
    assert instance.key("other").encode() not in answer.body


def series(host: str, tags: list[str], at_s: int) -> dict[str, object]:
    return {
        "metric": "catalogue.requests",
        "type": "count",
        "interval": 10,
        "host": host,
        "tags": tags,
        "points": [[at_s, 1]],
    }


def test_the_catalogue_tells_what_costs(instance: Instance) -> None:
    now_s = int(time.time())
    sent = [series(f"h{i % 3}", [f"user:{i}", "env:prod"], now_s - i) for i in range(12)]
    key = {"DD-API-KEY": instance.key("other")}
    assert instance.send("POST", "/api/v1/series", json.dumps({"series": sent}).encode(), key).status == 202
    metrics = {
        entry["name"]: entry for entry in instance.send("GET", "/admin/metrics", headers=key).json()["metrics"]
    }
    found = metrics["catalogue_requests"]
    assert (found["datadog_name"], found["type"], found["interval_s"]) == ("catalogue.requests", "count", 10)
    assert (found["series"], found["hosts"]) == (12, 3)
    detail = instance.send("GET", "/admin/metrics/catalogue_requests", headers=key).json()
    costs = {label["label"]: (label["values"], label["series"]) for label in detail["labels"]}
    assert costs == {"user": (12, 12), "instance": (3, 12), "env": (1, 12), "job": (1, 12), "type": (1, 12)}
    assert detail["labels"][0]["label"] == "user"
    assert detail["last_seen_s"] == now_s
    same = instance.send("GET", "/admin/metrics/catalogue.requests", headers=key).json()
    assert (same["labels"], same["last_seen_s"]) == (detail["labels"], now_s)
    absent = instance.send("GET", "/admin/metrics/absent", headers=key).json()
    assert (absent["labels"], absent["last_seen_s"]) == ([], None)
    refused = instance.send("GET", "/admin/metrics?days=x", headers=key)
    assert (refused.status, "whole number" in errors(refused)) == (400, True)
    other = instance.send("GET", "/admin/metrics", headers={"DD-API-KEY": instance.key()}).json()
    assert "catalogue_requests" not in {entry["name"] for entry in other["metrics"]}


def test_the_address_of_an_event_leads_to_it(instance: Instance) -> None:
    key = {"DD-API-KEY": instance.key()}
    sent = {"title": "ui.led", "text": "x"}
    made = instance.send(
        "POST", "/api/v1/events", json.dumps(sent).encode(), {**key, "Content-Type": "application/json"}
    )
    address = urlsplit(made.json()["event"]["url"])
    answer = instance.send("GET", f"{address.path}?{address.query}")
    assert (answer.status, answer.headers["location"]) == (
        303,
        f"/ui/events?query=id:{made.json()['event']['id']}&from=now-10y",
    )
    assert instance.send("GET", f"{address.path}?id=x").status == 404


def test_a_distribution_is_in_the_catalogue_too(instance: Instance) -> None:
    """By each of the names it has in PromQL, all of them last seen when its values came."""
    now_s = int(time.time())
    sent = [{"metric": "catalogue.latency", "host": "h1", "points": [[now_s, [1, 2, 3]]]}]
    key = {"DD-API-KEY": instance.key("other")}
    body = json.dumps({"series": sent}).encode()
    assert instance.send("POST", "/api/v1/distribution_points", body, key).status == 202
    listed = {entry["name"]: entry for entry in instance.send("GET", "/admin/metrics", headers=key).json()["metrics"]}
    parts = {"catalogue_latency", *(f"catalogue_latency_{part}" for part in ("count", "sum", "min", "max", "avg"))}
    assert parts <= listed.keys()
    for name in parts:
        assert listed[name]["datadog_name"].startswith("catalogue.latency"), name
        detail = instance.send("GET", f"/admin/metrics/{name}", headers=key).json()
        assert detail["last_seen_s"] == pytest.approx(now_s, abs=10), name


def test_a_dashboard_is_kept_shown_starred_and_removed(instance: Instance) -> None:
    browser = log_in(instance)
    document = {"title": "Mine", "panels": [{"type": "stat", "targets": [{"expr": "up"}]}]}
    assert instance.send("PUT", "/admin/dashboards/mine", json.dumps(document).encode(), browser).status == 200
    assert instance.send("GET", "/admin/dashboards/mine", headers=browser).json() == {**document, "uid": "mine"}
    assert instance.send("PUT", "/admin/dashboards/mine/star", headers=browser).status == 200
    first = instance.send("GET", "/admin/dashboards", headers=browser).json()["dashboards"][0]
    assert (first["uid"], first["starred"], first["bundled"]) == ("mine", True, False)
    assert instance.send("GET", "/admin/dashboards/mine", headers=log_in(instance, "other")).status == 404
    assert instance.send("DELETE", "/admin/dashboards/mine", headers=browser).status == 200
    assert instance.send("GET", "/admin/dashboards/mine", headers=browser).status == 404


@pytest.mark.parametrize(
    ("uid", "body", "says"),
    [
        ("bad", b"{", "not JSON"),
        ("bad", b'{"title": "no panels"}', "`panels` must be a list"),
        ("b.d", b'{"title": "x", "panels": []}', "uid"),
        ("bad", b" " * (MAX_DASHBOARD_BYTES + 1), f"larger than the {MAX_DASHBOARD_BYTES} bytes"),
    ],
)
def test_a_malformed_dashboard_is_told(instance: Instance, uid: str, body: bytes, says: str) -> None:
    answer = instance.send("PUT", f"/admin/dashboards/{uid}", body, log_in(instance))
    assert answer.status == 400
    assert says in errors(answer)


def test_files_are_read_again_for_the_operator_alone(instance: Instance) -> None:
    assert instance.send("POST", "/admin/reload", headers={"DD-API-KEY": instance.key()}).status == 403
    answer = instance.send("POST", "/admin/reload", headers={"DD-API-KEY": instance.key("system")})
    assert (answer.status, answer.json()) == (200, {"at_restart": []})
    assert instance.send("GET", "/api/v1/validate", headers={"DD-API-KEY": instance.key()}).status == 200
