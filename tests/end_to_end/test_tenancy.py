"""Tenants, keys and limits, changed by command and over HTTP, while the server runs and while it does not."""

import http.client
import json
import re
import ssl
import threading
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest
import yaml

from end_to_end import wire
from end_to_end.instance import Answer, Instance, running, wait_until, walked
from opstrace.store.engine import Engine
from opstrace.store.removal import TABLES, Removal

WAIT_S = 60.0
BROWSER = {"sec-fetch-site": "same-origin"}


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[Instance]:
    """A running instance for one test."""
    with running(tmp_path, "demo", {"tenants": ["default", "other"]}) as started:
        yield started


def home(instance: Instance) -> Path:
    return Path(instance.environment()["HOME"], ".local", "share", "opstrace", instance.name)


def stored_config(instance: Instance) -> Any:
    return yaml.safe_load((home(instance) / "config.yaml").read_text())


def posted(instance: Instance, path: str, document: object, key: str) -> int:
    headers = {"DD-API-KEY": key, "Content-Type": "application/json"}
    return instance.send("POST", path, json.dumps(document).encode(), headers).status


def operator(instance: Instance, method: str, path: str, document: object = None) -> Answer:
    body = None if document is None else json.dumps(document).encode()
    return instance.send(method, path, body, {"DD-API-KEY": instance.key("system")})


def validated(instance: Instance, key: str) -> int:
    return instance.send("GET", "/api/v1/validate", headers={"DD-API-KEY": key}).status


def series(name: str, time_s: float, value: float = 1) -> dict[str, Any]:
    return {"series": [{"metric": name, "host": "web-1", "type": "gauge", "points": [[time_s, value]]}]}


def last_line(done: Any) -> str:
    line: str = done.stderr.strip().splitlines()[-1].partition(": ")[2]
    return line


def refused(instance: Instance, *arguments: str) -> str:
    done = instance.run(*arguments, check=False)
    assert done.returncode == 1, done
    return last_line(done)


def send_everything(instance: Instance, key: str, now: int) -> None:
    """Send something for each table, and for each directory of files."""
    headers = {"DD-API-KEY": key}
    assert posted(instance, "/api/v1/series", series("removal.gauge", now), key) == 202
    distribution = {"series": [{"metric": "removal.latency", "points": [[now, [1.0, 2.0]]]}]}
    assert posted(instance, "/api/v1/distribution_points", distribution, key) == 202
    check = [{"check": "removal.up", "host_name": "web-1", "status": 2, "timestamp": now, "message": "down"}]
    assert posted(instance, "/api/v1/check_run", check, key) == 202
    assert posted(instance, "/api/v1/events", {"title": "deployed", "text": "all", "date_happened": now}, key) == 202
    assert posted(instance, "/api/v2/logs", [{"message": "removal log", "hostname": "web-1"}], key) == 202
    tags = {"internalHostname": "web-1", "host-tags": {"system": ["env:x"]}, "meta": {"hostname": "web-1"}}
    assert posted(instance, "/intake/", tags, key) == 202
    assert instance.send("POST", "/api/v2/nobody-knows", b"kept body", headers).status == 202
    dashboard = json.dumps({"title": "Own", "panels": []}).encode()
    assert instance.send("PUT", "/admin/dashboards/own", dashboard, headers).status == 200
    assert instance.send("POST", "/support/flare/1", b"flare", headers).status == 200


def files_of(instance: Instance, tenant: str) -> list[str]:
    return [name for name in ("kept", "flares", "dashboards") if (home(instance) / name / tenant).exists()]


def rows(instance: Instance, tenant: str) -> Mapping[str, int]:
    """Return the rows of a tenant by table, of an instance that does not run."""
    engine = Engine(home(instance) / "data", readers=1)
    try:
        return Removal(engine).stored(tenant)
    finally:
        engine.close()


def test_a_tenant_that_is_added_sends_and_asks_at_once(instance: Instance) -> None:
    """Its key opens, its names are in the certificate that is served, and whoever looks at tenants sees it."""
    told = instance.run("tenants", "add", "demo", "third").stderr
    assert "write api token for tenant third to file tenant-api-token-third" in told
    assert "opstrace agent-config demo --tenant third" in told
    now = int(time.time())
    assert posted(instance, "/api/v1/series", series("added.gauge", now), instance.key("third")) == 202
    (found,) = instance.vector("added_gauge", now, "third").values()
    assert found == "1"
    trust = ssl.create_default_context(cafile=str(home(instance) / "tls" / "ca.pem"))
    for name in ("dd.third.demo.localhost", "third.demo.localhost", "dd.default.demo.localhost"):
        key = {"DD-API-KEY": instance.key("third" if "third" in name else "default")}
        assert instance.send_tls("GET", "/api/v1/validate", trust, name, key).status == 200
    key = {"DD-API-KEY": instance.key("third")}
    assert instance.send_tls("GET", "/api/v1/validate", trust, "dd.other.demo.localhost", key).status == 403
    with pytest.raises(ssl.SSLCertVerificationError):
        instance.send_tls("GET", "/_health", trust, "dd.fourth.demo.localhost", {})
    status = json.loads(instance.run("status", "local", "demo", "--json").stdout)
    assert status["healthy"]
    assert {row["tenant"] for row in status["endpoints"]} == {"default", "other", "third", "system", None}
    session = operator(instance, "GET", "/ui/session").json()
    assert session["tenants"] == ["default", "other", "third", "system"]
    assert refused(instance, "tenants", "add", "demo", "third") == "demo has a tenant third already"
    assert refused(instance, "tenants", "add", "demo", "system") == "demo has a tenant system already"
    for name in ("Third", "-"):
        told = refused(instance, "tenants", "add", "demo", "--", name)
        assert told.startswith(f"'{name}' cannot be the name of a tenant")
    instance.run("stop", "demo")
    instance.run("start", "demo")
    assert validated(instance, instance.key("third")) == 200


def test_a_tenant_that_is_added_has_no_key_of_another(shared: Instance) -> None:
    path = shared.directory / "tenant-api-token-copied"
    path.write_text(shared.key("other"))
    path.chmod(0o600)
    before = stored_config(shared)
    assert refused(shared, "tenants", "add", "demo", "copied").startswith(
        f"the key of tenant copied in {path} opens tenant other already, and a key opens one tenant only; "
    )
    assert stored_config(shared) == before
    path.unlink()


def test_two_tenants_that_are_added_at_once_are_both_there(instance: Instance) -> None:
    """Neither command undoes what the other has done, to the config, the keys or the certificate."""
    names = [f"team-{number}" for number in range(4)]
    with ThreadPoolExecutor() as pool:
        list(pool.map(lambda name: instance.run("tenants", "add", "demo", name), names))
    assert sorted(stored_config(instance)["tenants"]) == sorted(["default", "other", *names])
    assert [validated(instance, instance.key(name)) for name in names] == [200] * len(names)
    assert json.loads(instance.run("status", "local", "demo", "--json").stdout)["healthy"]


def test_nobody_is_hung_up_on_while_tenants_are_added(instance: Instance) -> None:
    """Each brings a new certificate and key, which are taken between two handshakes."""
    trust = ssl.create_default_context(cafile=str(home(instance) / "tls" / "ca.pem"))
    names = [f"team-{number}" for number in range(10)]
    added = threading.Event()

    def shake_hands() -> int:
        number = 0
        while not added.is_set():
            assert instance.send_tls("GET", "/_health", trust, "demo.localhost", {}).status == 200
            number += 1
        return number

    with ThreadPoolExecutor() as pool:
        shaken = [pool.submit(shake_hands) for _ in range(2)]
        try:
            for name in names:
                assert operator(instance, "POST", "/admin/tenants", {"name": name}).status == 200
        finally:
            added.set()
        assert all(one.result() for one in shaken)


def test_a_tenant_that_is_removed_leaves_nothing(instance: Instance) -> None:
    """Its key opens nothing any more; nobody else loses anything; one of its name begins anew."""
    now, key = int(time.time()), instance.key("other")
    for tenant in ("default", "other"):
        send_everything(instance, instance.key(tenant), now)
    logged_in = instance.send("POST", "/ui/session", headers={**BROWSER, "DD-API-KEY": key})
    browser = {**BROWSER, "cookie": logged_in.headers["set-cookie"].partition(";")[0]}
    assert "other" in operator(instance, "GET", "/metrics").body.decode()

    used = json.loads(instance.run("tenants", "list", "demo", "--usage", "--json").stdout)["tenants"]
    (holdings,) = (row["holdings"] for row in used if row["tenant"] == "other")
    assert {"samples", "sketches", "series", "logs", "events", "checks", "hosts"} <= {
        table for table, number in holdings["rows"].items() if number
    }
    asked = instance.run("tenants", "remove", "demo", "other", stdin="n\n", check=False)
    assert asked.returncode == 1
    for counted in ("1 log", "1 event", "kept bytes", "1 flare", "1 dashboard"):
        assert counted in asked.stderr, counted
    assert validated(instance, key) == 200
    instance.run("tenants", "remove", "demo", "other", "--yes")

    assert validated(instance, key) == 403
    assert posted(instance, "/api/v1/series", series("removal.gauge", now), key) == 403
    assert instance.send("GET", "/ui/session", headers=browser).status == 403
    assert files_of(instance, "other") == []
    assert files_of(instance, "default") == ["kept", "flares", "dashboards"]
    assert 'tenant="other"' not in operator(instance, "GET", "/metrics").body.decode()
    assert (stored_config(instance)["tenants"], json.loads((home(instance) / "removed.json").read_text())) == (
        ["default"],
        [],
    )
    assert instance.key("other") == key  # the file stays where it is

    instance.run("tenants", "add", "demo", "other")
    assert instance.vector("removal_gauge", now, "other") == {}
    assert posted(instance, "/api/v1/series", series("removal.gauge", now, 7), instance.key("other")) == 202
    assert list(instance.vector("removal_gauge", now, "other").values()) == ["7"]
    assert instance.vector('removal_gauge{env="x"}', now, "other") == {}  # tags of a host of the former one
    assert list(instance.vector("removal_gauge", now).values()) == ["1"]
    instance.run("tenants", "remove", "demo", "other", "--yes")
    instance.run("stop", "demo")
    assert {table for table, number in rows(instance, "other").items() if number} == set()
    assert {table for table, number in rows(instance, "default").items() if number} == set(TABLES) - {
        "histograms",
        "metric_metadata",
        "started_samples",
    }


def test_tenants_of_a_stopped_instance(instance: Instance) -> None:
    """The same commands hold for the next start."""
    now = int(time.time())
    send_everything(instance, instance.key("other"), now)
    old = instance.key("other")
    instance.run("stop", "demo")
    instance.run("tenants", "add", "demo", "third")
    usage = {line.split()[0]: line for line in instance.run("tenants", "list", "demo", "--usage").stdout.splitlines()}
    assert "1 flare" in usage["other"]
    assert usage["third"].endswith("nothing")
    asked = instance.run("tenants", "remove", "demo", "other", stdin="n\n", check=False)
    assert "1 flare" in asked.stderr
    instance.run("tenants", "remove", "demo", "other", "--yes")
    assert files_of(instance, "other") == []
    assert not any(rows(instance, "other").values())
    listed = json.loads(instance.run("tenants", "list", "demo", "--json").stdout)
    assert [row["tenant"] for row in listed["tenants"]] == ["default", "third", "system"]
    assert listed["leaving"] == []
    instance.run("start", "demo")
    assert [validated(instance, key) for key in (old, instance.key("third"))] == [403, 200]


def test_a_removal_that_was_cut_short_is_completed_at_the_next_start(instance: Instance, tmp_path: Path) -> None:
    now = int(time.time())
    for tenant in ("default", "other"):
        send_everything(instance, instance.key(tenant), now)
    instance.run("stop", "demo")
    # What is on disk at the first moment of a removal.
    (home(instance) / "removed.json").write_text('["other"]')
    document = stored_config(instance)
    (home(instance) / "config.yaml").write_text(yaml.safe_dump({**document, "tenants": ["default"]}))
    listed = json.loads(instance.run("tenants", "list", "demo", "--json").stdout)
    assert listed["leaving"] == ["other"]
    assert "its data is still there" in instance.run("tenants", "list", "demo").stdout
    assert "still being removed" in refused(instance, "tenants", "add", "demo", "other")
    # The document of the creation would be given again by systemd, and brings nothing back; this is another one.
    (tmp_path / "config.yaml").write_text(yaml.safe_dump({**document, "log_retention_days": 6}))
    assert "still being removed" in refused(instance, "start", "demo", "-c", str(tmp_path / "config.yaml"))
    instance.run("start", "demo")
    wait_until(
        lambda: operator(instance, "GET", "/admin/tenants").json()["leaving"] == [], WAIT_S, "the data is gone"
    )
    assert files_of(instance, "other") == []
    instance.run("stop", "demo")
    assert not any(rows(instance, "other").values())
    assert rows(instance, "default")["samples"]
    instance.run("tenants", "add", "demo", "other")


def test_a_removal_that_never_took_effect_is_given_up(instance: Instance) -> None:
    """The first thing that a removal writes is not enough to lose anything, now or later."""
    now = int(time.time())
    send_everything(instance, instance.key("other"), now)
    instance.run("stop", "demo")
    noted = home(instance) / "removed.json"
    noted.write_text('["other"]')
    instance.run("start", "demo")
    wait_until(lambda: json.loads(noted.read_text()) == [], WAIT_S, "the removal is given up")
    assert validated(instance, instance.key("other")) == 200
    assert list(instance.vector("removal_gauge", now, "other").values()) == ["1"]


def test_what_cannot_be_removed(tmp_path: Path) -> None:
    """Each refusal says why; nothing has changed afterwards."""
    socket_path = f"unixgram://{tmp_path}/dsd.socket"
    listeners = [{"url": socket_path, "tenant": "heard"}]
    config = {"tenants": ["first", "heard"], "dogstatsd": {"enabled": True, "listeners": listeners}}
    with running(tmp_path, "fast", config) as instance:
        reasons = {
            "system": "tenant system always exists and cannot be removed",
            "nobody": "fast has no tenant nobody; it has first, heard, system",
            "heard": f"the DogStatsD listener {socket_path} is tenant heard's; "
            "give it another tenant in the config first",
        }
        for tenant, reason in reasons.items():
            assert refused(instance, "tenants", "remove", "fast", tenant, "--yes") == reason
            status = 404 if tenant == "nobody" else 400
            answer = operator(instance, "DELETE", f"/admin/tenants/{tenant}")
            assert (answer.status, answer.json()) == (status, {"errors": [reason]})
        instance.run("tenants", "remove", "fast", "first", "--yes")
        reason = "heard is the only tenant of fast; add another one first"
        assert refused(instance, "tenants", "remove", "fast", "heard", "--yes") == reason
        assert validated(instance, instance.key("heard")) == 200
    with running(tmp_path, "one", {"tenants": ["only"]}) as instance:
        reason = "only is the only tenant of one; add another one first"
        assert refused(instance, "tenants", "remove", "one", "only", "--yes") == reason


def test_limits_of_one_tenant_hold_at_once_and_for_it_alone(instance: Instance) -> None:
    now = int(time.time())

    def sent(tenant: str, name: str) -> int:
        return posted(instance, "/api/v1/series", series(name, now), instance.key(tenant))

    def names(tenant: str) -> set[str]:
        found = instance.series('{__name__=~"limited_.*"}', now - 60, now + 60, tenant)
        return {dict(labels)["__name__"] for labels in found}

    instance.run("limits", "set", "demo", "max_series=2", "--tenant", "other")
    for name in ("limited.a", "limited.b", "limited.c"):
        assert sent("default", name) == sent("other", name) == 202
    assert names("default") == {"limited_a", "limited_b", "limited_c"}
    assert names("other") == {"limited_a", "limited_b"}
    instance.run("limits", "set", "demo", "max_series=default", "--tenant", "other")
    assert sent("other", "limited.c") == 202
    assert names("other") == {"limited_a", "limited_b", "limited_c"}

    instance.run("limits", "set", "demo", "max_query_series=2", "max_points_per_s=1", "--tenant", "other")
    query = "/prometheus/api/v1/query?query=count(%7B__name__%3D~%22limited_.%2A%22%7D)"
    statuses = {
        tenant: instance.send("GET", query, headers={"DD-API-KEY": instance.key(tenant)}).status
        for tenant in ("default", "other")
    }
    assert statuses == {"default": 200, "other": 422}
    many = {"series": [{"metric": "limited.a", "points": [[now - n, n] for n in range(40)]}]}
    for tenant, second in (("default", 202), ("other", 429)):
        assert posted(instance, "/api/v1/series", many, instance.key(tenant)) == 202
        assert posted(instance, "/api/v1/series", many, instance.key(tenant)) == second
    assert stored_config(instance)["tenant_limits"] == {"other": {"max_query_series": 2, "max_points_per_s": 1}}
    shown = json.loads(instance.run("limits", "show", "demo", "--tenant", "other", "--json").stdout)
    own = {row["name"]: row["value"] for row in shown if row["of_tenant"]}
    assert own == {"max_query_series": 2, "max_points_per_s": 1}
    instance.run("tenants", "remove", "demo", "other", "--yes")
    assert "tenant_limits" not in stored_config(instance)


def test_retention_and_limits_of_all(instance: Instance) -> None:
    """What a running server looks at holds at once; of the rest the command says that it waits for a start."""
    now = int(time.time())
    key = instance.key()

    def stored(days: float) -> int:
        at = now - int(days * 86_400)
        assert posted(instance, "/api/v1/series", series("aged", at), key) == 202
        return len(instance.vector("count_over_time(aged[1m])", at + 1))

    assert stored(5) == 1
    asked = instance.run("limits", "set", "demo", "metric_retention_days=2", stdin="n\n", check=False)
    assert (asked.returncode, "Remove samples of demo that are older than 2 days?" in asked.stderr) == (1, True)
    assert stored(6) == 1
    instance.run("limits", "set", "demo", "metric_retention_days=2", "log_retention_days=3", "--yes")
    assert stored(7) == 0
    assert stored(1) == 1
    flags = instance.ask("status/flags", {})
    assert (flags["metric_retention_days"], flags["log_retention_days"]) == ("2", "3")

    done = instance.run("limits", "set", "demo", "max_body_bytes=200", "max_query_samples=7")
    assert last_line(done) == "the running server takes these in at its next start: max_body_bytes"
    assert re.search(
        r"^max_body_bytes +200 +in the config +at the next start; the server has the value before$",
        instance.run("limits", "show", "demo").stdout,
        re.MULTILINE,
    )
    told = json.loads(instance.run("limits", "show", "demo", "--json").stdout)
    assert [one["name"] for one in told if one["waiting"]] == ["max_body_bytes"]
    large = series("large", now) | {"padding": "x" * 200}
    assert posted(instance, "/api/v1/series", large, key) == 202
    flags = instance.ask("status/flags", {})
    assert (flags["limits.max_query_samples"], flags["limits.max_body_bytes"]) == ("7", str(8 << 20))
    instance.run("stop", "demo")
    instance.run("start", "demo")
    assert posted(instance, "/api/v1/series", large, key) == 413
    rows = {row.split()[0]: row.split()[1:] for row in instance.run("limits", "show", "demo").stdout.splitlines()}
    assert rows["max_body_bytes"] == ["200", "in", "the", "config", "at", "a", "start"]
    assert rows["max_series"] == ["10000000", "by", "default", "at", "once"]


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (
            ["metric_retention_days=0"],
            "metric_retention_days: 0 is not allowed; metric_retention_days must be a whole",
        ),
        (["max_sries=1"], "max_sries is no limit; the closest one is max_series"),
        (["max_series=few"], "limits.max_series: 'few' is not allowed; "),
        (["max_series=null"], "limits.max_series: 'null' is not allowed; "),
        (["max_series=0"], "limits.max_series: 0 is not allowed; "),
        (["metric_retention_days=1.5"], "metric_retention_days: 1.5 is not allowed; "),
        (["max_series=0", "--tenant", "other"], "tenant_limits.other.max_series: 0 is not allowed; "),
        (["max_tags=5", "--tenant", "other"], "max_tags is the same for all tenants; set it without naming one"),
        (["log_retention_days=5", "--tenant", "other"], "log_retention_days is the same for all tenants; "),
        (["max_series=5", "--tenant", "nobody"], "demo has no tenant nobody; it has default, other, system"),
    ],
)
def test_limits_that_are_refused(arguments: list[str], reason: str, shared: Instance) -> None:
    before = stored_config(shared)
    assert refused(shared, "limits", "set", "demo", *arguments).startswith(reason)
    assert stored_config(shared) == before


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["max_series="], "max_series is given no value; max_series=default is what holds without the setting"),
        (["max_series=5", "max_series=6"], "max_series is given twice; give it one value"),
    ],
)
def test_limits_without_one_value_are_wrong_usage(arguments: list[str], reason: str, shared: Instance) -> None:
    before = stored_config(shared)
    done = shared.run("limits", "set", "demo", *arguments, "--tenant", "other", check=False)
    assert (done.returncode, done.stderr.splitlines()[-1]) == (2, f"Error: {reason}")
    assert stored_config(shared) == before


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Instance]:
    """A running instance whose tenants stay."""
    with running(tmp_path_factory.mktemp("tenancy"), "demo", {"tenants": ["default", "other"]}) as started:
        yield started


def test_keys_over_http(shared: Instance) -> None:
    """A new key is answered once, in no file; one that is named by its digest ends, the last one never."""
    old = shared.key("other")
    (first,) = described(shared, "other")["keys"]
    made = operator(shared, "POST", "/admin/tenants/other/keys")
    assert (made.status, made.headers["cache-control"]) == (200, "no-store")
    key = made.json()["key"]
    assert [validated(shared, one) for one in (old, key)] == [200, 200]
    assert made.json()["keys"][0] == first
    assert shared.key("other") == old
    second = made.json()["keys"][1]
    for wrong in (second[:4], "f" * 12, "0" * 64):
        answer = operator(shared, "DELETE", f"/admin/tenants/other/keys/{wrong}")
        assert (answer.status, "has no key" in answer.json()["errors"][0]) == (400, True)
    assert operator(shared, "DELETE", f"/admin/tenants/other/keys/{second}").json()["keys"] == [first]
    assert [validated(shared, one) for one in (old, key)] == [200, 403]
    last = operator(shared, "DELETE", f"/admin/tenants/other/keys/{first}")
    assert (last.status, last.json()["errors"]) == (
        400,
        ["this is the only key of tenant other; give it another one first"],
    )
    for path in walked(home(shared)):
        with suppress(FileNotFoundError):  # the engine's own go meanwhile
            assert not path.is_file() or key.encode() not in path.read_bytes(), path


def described(instance: Instance, tenant: str) -> Any:
    return operator(instance, "GET", f"/admin/tenants/{tenant}").json()


def test_a_tenant_over_http(shared: Instance) -> None:
    """Added with a key that works, given limits, removed: all in the answer's own time."""
    made = operator(shared, "POST", "/admin/tenants", {"name": "http"})
    assert made.status == 200
    key = made.json()["key"]
    now = int(time.time())
    assert posted(shared, "/api/v1/series", series("over.http", now), key) == 202
    assert not (shared.directory / "tenant-api-token-http").exists()
    assert described(shared, "http")["holdings"]["text"] == "1 sample"
    changed = operator(shared, "PATCH", "/admin/tenants/http/limits", {"max_series": 5, "max_kept_days": 2}).json()
    assert {one["name"] for one in changed["limits"] if one["of_tenant"]} == {"max_series", "max_kept_days"}
    changed = operator(shared, "PATCH", "/admin/tenants/http/limits", {"max_series": None}).json()
    assert {one["name"] for one in changed["limits"] if one["of_tenant"]} == {"max_kept_days"}
    assert operator(shared, "DELETE", "/admin/tenants/http").status == 200
    assert validated(shared, key) == 403
    wait_until(lambda: operator(shared, "GET", "/admin/tenants").json()["leaving"] == [], WAIT_S, "the data is gone")
    assert operator(shared, "GET", "/admin/tenants/http").status == 404


def test_limits_over_http(shared: Instance) -> None:
    answer = operator(shared, "PATCH", "/admin/limits", {"max_flares": 3, "log_retention_days": 6}).json()
    assert answer["at_restart"] == ["max_flares"]
    values = {one["name"]: one["value"] for one in answer["limits"]}
    assert (values["log_retention_days"], values["max_flares"]) == (6, 3)
    assert operator(shared, "GET", "/admin/limits").json() == answer
    answer = operator(shared, "PATCH", "/admin/limits", {"max_flares": None, "log_retention_days": None}).json()
    assert answer["at_restart"] == []
    assert stored_config(shared).keys() == {"tenants", "https_port", "http_port"}


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "/admin/tenants", None),
        ("GET", "/admin/tenants/other", None),
        ("POST", "/admin/tenants", b'{"name": "x"}'),
        ("DELETE", "/admin/tenants/other", None),
        ("POST", "/admin/tenants/other/keys", None),
        ("DELETE", "/admin/tenants/other/keys/0123456789ab", None),
        ("PATCH", "/admin/tenants/other/limits", b"{}"),
        ("GET", "/admin/limits", None),
        ("PATCH", "/admin/limits", b"{}"),
        ("POST", "/admin/reload", None),
    ],
)
def test_only_the_operator_and_its_own_pages_may(
    method: str, path: str, body: bytes | None, shared: Instance
) -> None:
    before = operator(shared, "GET", "/admin/tenants").json()
    assert shared.send(method, path, body, {"DD-API-KEY": shared.key()}).status == 403
    assert shared.send(method, path, body, {}).status == 403
    login = shared.send("POST", "/ui/session", headers={**BROWSER, "DD-API-KEY": shared.key("system")})
    cookie = login.headers["set-cookie"].partition(";")[0]
    for elsewhere in ({"sec-fetch-site": "same-site"}, {"sec-fetch-site": "cross-site"}, {"origin": "http://x"}):
        assert shared.send(method, path, body, {"cookie": cookie, **elsewhere}).status == 403
    assert operator(shared, "GET", "/admin/tenants").json() == before


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "reason"),
    [
        ("POST", "/admin/tenants", b"{", 400, "this is not what is expected here: "),
        ("POST", "/admin/tenants", b"[]", 400, "this is not what is expected here: "),
        ("POST", "/admin/tenants", b'{"name": ""}', 400, "this is not what is expected here: "),
        ("POST", "/admin/tenants", b'{"name": "other"}', 400, "demo has a tenant other already"),
        ("POST", "/admin/tenants", b'{"name": "../x"}', 400, "'../x' cannot be the name of a tenant; "),
        ("POST", "/admin/tenants", b'{"name": "system"}', 400, "demo has a tenant system already"),
        ("POST", "/admin/tenants", b" " * 70_000, 400, "the body is larger than the 65536 bytes a request may have"),
        ("POST", "/admin/tenants/nobody/keys", None, 404, "demo has no tenant nobody"),
        ("PATCH", "/admin/tenants/nobody/limits", b"{}", 404, "demo has no tenant nobody"),
        ("PATCH", "/admin/tenants/other/limits", b'{"max_series": "5"}', 400, "this is not what is expected here: "),
        ("PATCH", "/admin/tenants/other/limits", b'{"max_series": -1}', 400, "tenant_limits.other.max_series: -1 is"),
        ("PATCH", "/admin/limits", b'{"https_port": 1}', 400, "https_port is no limit; "),
        ("PATCH", "/admin/limits", b'{"max_series": 1e99}', 400, "limits.max_series: 1e+99 is not allowed; "),
    ],
)
def test_what_is_wrong_is_told(
    method: str, path: str, body: bytes | None, status: int, reason: str, shared: Instance
) -> None:
    answer = shared.send(method, path, body, {"DD-API-KEY": shared.key("system")})
    assert answer.status == status
    assert answer.json()["errors"][0].startswith(reason)


def test_payloads_under_way_when_their_tenant_goes_are_refused_or_removed(instance: Instance) -> None:
    """A body that is still arriving belongs to nobody once its tenant is gone."""
    now, key = int(time.time()), instance.key("other")
    body = wire.ENCODERS["gzip"](json.dumps(series("late.arrival", now)).encode())

    def slowly() -> Iterator[bytes]:
        yield body[:10]
        instance.run("tenants", "remove", "demo", "other", "--yes")
        yield body[10:]

    headers = {"DD-API-KEY": key, "Content-Encoding": "gzip", "Transfer-Encoding": "chunked"}
    answer = instance.send("POST", "/api/v1/series", slowly(), headers)
    assert answer.status == 403
    instance.run("stop", "demo")
    found = rows(instance, "other")
    assert (found["samples"], found["series"]) == (0, 0)


def half_sent(instance: Instance, method: str, path: str, body: bytes, key: str) -> http.client.HTTPConnection:
    """Send a request without the last byte of its body."""
    connection = http.client.HTTPConnection("127.0.0.1", instance.http_port, timeout=WAIT_S)
    connection.putrequest(method, path)
    form = {"Content-Type": "application/x-www-form-urlencoded"} if body.startswith(b"query=") else {}
    sent = {"DD-API-KEY": key, "Content-Length": str(len(body)), **form}
    for name, value in sent.items():
        connection.putheader(name, value)
    connection.endheaders(body[:-1])
    return connection


def ended(connection: http.client.HTTPConnection, body: bytes) -> int:
    """Send the last byte, and return the status of the answer."""
    with closing(connection):
        connection.send(body[-1:])
        return connection.getresponse().status


def test_a_key_that_is_revoked_while_a_body_arrives_opens_nothing(shared: Instance) -> None:
    """Not even the next tenant of the same name."""
    now = int(time.time())
    bodies = [
        ("POST", "/api/v1/series", json.dumps(series("late.arrival", now)).encode()),
        ("POST", "/support/flare", b"a flare"),
        ("PUT", "/api/v1/tags/hosts/web-1", b'{"tags": ["late:1"]}'),
        ("PUT", "/admin/dashboards/late", b'{"title": "of another owner", "panels": []}'),
        ("POST", "/api/v1/host/web-1/mute", b'{"message": "late"}'),
        ("POST", "/prometheus/api/v1/write", b"\0"),
        ("POST", "/prometheus/api/v1/query", b"query=1"),
    ]
    key = operator(shared, "POST", "/admin/tenants", {"name": "passing"}).json()["key"]
    arriving = [half_sent(shared, method, path, body, key) for method, path, body in bodies]
    wait_until(lambda: validated(shared, key) == 200, WAIT_S, "the key is known")
    assert operator(shared, "DELETE", "/admin/tenants/passing").status == 200
    wait_until(lambda: not operator(shared, "GET", "/admin/tenants").json()["leaving"], WAIT_S, "the removal is over")
    key = operator(shared, "POST", "/admin/tenants", {"name": "passing"}).json()["key"]
    statuses = [ended(one, body) for one, (_, _, body) in zip(arriving, bodies, strict=True)]
    assert statuses == [403] * len(bodies)
    own = shared.send("GET", "/admin/dashboards", headers={"DD-API-KEY": key}).json()["dashboards"]
    assert "of another owner" not in [one["title"] for one in own]
    assert shared.send("GET", "/api/v1/tags/hosts", headers={"DD-API-KEY": key}).json() == {"tags": {}}
