import json
import re
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from opstrace.errors import BadQuery, BudgetExceeded, NotFound, StoreError
from opstrace.promql.engine import Engine
from opstrace.promql.parser import parse
from opstrace.store.backend import Block
from opstrace.store.budget import Budget
from opstrace.telemetry import Telemetry
from opstrace.web import dashboards
from opstrace.web.dashboards import MAX_PANELS, Dashboards, checked
from promql.memory_store import MemoryStore

OWN = {"uid": "ignored", "title": "Mine", "tags": ["a"], "panels": [{"type": "timeseries", "targets": []}]}
BUNDLED = {
    entry.name: json.loads(entry.read_text())
    for entry in (files("opstrace") / "dashboards").iterdir()
    if entry.name.endswith(".json")
}
# What the UI's table of drawings has (ui/src/dashboards/model.ts).
RENDERED = {"timeseries", "stat", "gauge", "bargauge", "table", "heatmap", "piechart", "text", "row"}


@pytest.fixture
def kept(tmp_path: Path) -> Dashboards:
    return Dashboards(tmp_path)


def body(**changes: Any) -> bytes:
    return json.dumps({**OWN, **changes}).encode()


def uids(kept: Dashboards, tenant: str) -> set[str]:
    return {entry.uid for entry in kept.entries(tenant)}


def test_a_tenant_sees_what_is_for_everybody_and_system_what_is_about_the_server(kept: Dashboards) -> None:
    assert uids(kept, "default") == {"opstrace-hosts", "opstrace-host", "opstrace-dogstatsd"}
    assert uids(kept, "system") == {document["uid"] for document in BUNDLED.values()}
    with pytest.raises(NotFound):
        kept.read("default", "opstrace-dd-api-overview")


def test_what_a_tenant_keeps_is_its_own(kept: Dashboards) -> None:
    entry = kept.keep("one", "mine", body())
    assert (entry.uid, entry.title, entry.tags, entry.bundled) == ("mine", "Mine", ["a"], False)
    assert kept.read("one", "mine") == {**OWN, "uid": "mine"}
    assert "mine" not in uids(kept, "two")
    with pytest.raises(NotFound):
        kept.read("two", "mine")
    assert Dashboards(kept._directory).read("one", "mine")["title"] == "Mine"
    kept.remove("one", "mine")
    with pytest.raises(NotFound):
        kept.remove("one", "mine")


def test_a_bundled_one_can_be_changed_and_is_as_it_was_when_that_is_removed(kept: Dashboards) -> None:
    before = kept.read("one", "opstrace-hosts")
    kept.keep("one", "opstrace-hosts", body(title="Changed"))
    assert kept.read("one", "opstrace-hosts")["title"] == "Changed"
    assert kept.read("two", "opstrace-hosts") == before
    kept.remove("one", "opstrace-hosts")
    assert kept.read("one", "opstrace-hosts") == before
    with pytest.raises(BadQuery, match="comes with opstrace"):
        kept.remove("one", "opstrace-hosts")


@pytest.mark.parametrize(
    "content", [b"{", b"[]", b'"text"', b'{"title":"t","panels":[],"tags":7}', b'{"title":"\xff"}']
)
def test_one_that_somebody_broke_hides_no_other(kept: Dashboards, content: bytes) -> None:
    kept.keep("one", "mine", body())
    kept.keep("one", "broken", body())
    (kept._directory / "one" / "broken.json").write_bytes(content)
    listed = {entry.uid: entry for entry in kept.entries("one")}
    assert listed["mine"].title == "Mine"
    assert listed["broken"].description == "This file cannot be read."
    with pytest.raises(StoreError):
        kept.read("one", "broken")
    kept.remove("one", "broken")
    assert "broken" not in uids(kept, "one")


def test_a_list_follows_what_is_kept(kept: Dashboards) -> None:
    for title in ("first", "second", "third"):
        kept.keep("one", "mine", body(title=title))
        assert {entry.title for entry in kept.entries("one") if entry.uid == "mine"} == {title}


def test_favourites_come_first(kept: Dashboards) -> None:
    kept.keep("one", "zzz", body(title="Zzz"))
    kept.star("one", "zzz", True)
    kept.star("one", "opstrace-hosts", True)
    assert [(entry.uid, entry.starred) for entry in kept.entries("one")][:2] == [
        ("opstrace-hosts", True),
        ("zzz", True),
    ]
    kept.star("one", "zzz", False)
    assert not any(entry.starred for entry in kept.entries("two"))
    assert [entry.uid for entry in kept.entries("one") if entry.starred] == ["opstrace-hosts"]
    with pytest.raises(NotFound):
        kept.star("one", "absent", True)


@pytest.mark.parametrize(
    ("document", "says"),
    [
        (b"{", "this is not JSON"),
        (b"\xff", "this is not JSON"),
        (b"[" * 100_000, "this is not JSON"),
        (b"[]", "a JSON object"),
        (b"{}", "needs a `title`"),
        (body(title=" "), "needs a `title`"),
        (body(title=1), "needs a `title`"),
        (body(panels=None), "`panels` must be a list"),
        (body(panels={}), "`panels` must be a list"),
        (body(panels=[1]), r"`panels\[0\]` must be an object"),
        (body(panels=[{"title": "no type"}]), r"`panels\[0\]` must be an object with a `type`"),
        (body(panels=[{"type": "stat", "targets": {}}]), r"`panels\[0\].targets` must be a list"),
        (body(panels=[{"type": "row", "panels": [{}]}]), r"`panels\[0\].panels\[0\]` must be an object"),
        (body(panels=[{"type": "stat"}] * (MAX_PANELS + 1)), "201 panels; 200 are allowed"),
        (body(tags="x"), "`tags` must be a list"),
        (body(templating=[]), "`templating` must be an object"),
    ],
)
def test_a_malformed_one_is_refused_with_a_sentence(kept: Dashboards, document: bytes, says: str) -> None:
    with pytest.raises(BadQuery, match=says):
        kept.keep("one", "mine", document)
    assert "mine" not in uids(kept, "one")


@pytest.mark.parametrize("uid", ["", "a" * 41, "../../etc/passwd", "a/b", "a.b", "ü", "stars"])
def test_a_uid_is_no_path(kept: Dashboards, uid: str) -> None:
    for call in (
        lambda: kept.read("one", uid),
        lambda: kept.keep("one", uid, body()),
        lambda: kept.remove("one", uid),
    ):
        with pytest.raises(BadQuery, match="uid"):
            call()


def test_what_grafanas_api_answers_is_taken_too() -> None:
    assert checked(json.dumps({"dashboard": OWN, "meta": {}}).encode()) == OWN


def test_a_tenant_keeps_so_many(kept: Dashboards, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dashboards, "MAX_DASHBOARDS", 2)
    kept.keep("one", "a", body())
    kept.keep("one", "b", body())
    with pytest.raises(BudgetExceeded, match="remove one first"):
        kept.keep("one", "c", body())
    kept.keep("one", "b", body(title="again"))
    kept.keep("two", "c", body())


def panels(document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for panel in document["panels"]:
        yield panel
        yield from panel.get("panels", [])


def queries(document: dict[str, Any]) -> Iterator[str]:
    """Yield the queries of a dashboard as they are with its variables filled in."""
    names = [variable["name"] for variable in document["templating"]["list"]]
    for panel in panels(document):
        for target in panel.get("targets", []):
            expr = target["expr"]
            for name in ("__rate_interval", "__interval", "__range", "window"):
                expr = expr.replace(f"${name}", "5m")
            for name in names:
                expr = expr.replace(f"${name}", "any")
            assert "$" not in expr, f"{panel['title']}: {expr}"
            yield expr


@pytest.mark.parametrize("name", BUNDLED)
def test_a_bundled_one_is_rendered_whole(name: str) -> None:
    document = BUNDLED[name]
    assert checked(json.dumps(document).encode()) == document
    assert document["uid"] == f"opstrace-{name.removesuffix('.json')}"
    assert {panel["type"] for panel in panels(document)} <= RENDERED
    ids = [panel["id"] for panel in panels(document)]
    assert len(set(ids)) == len(ids)
    for expr in queries(document):
        parse(expr)


def test_what_system_asks_of_the_server_is_what_the_server_says() -> None:
    telemetry = Telemetry()
    known = set()
    for family in telemetry.registry.collect():
        parts = {"counter": ("_total",), "histogram": ("_bucket", "_count", "_sum")}.get(family.type, ("",))
        known |= {family.name + part for part in parts}
    for document in BUNDLED.values():
        if "tenant:system" in document["tags"]:
            for expr in queries(document):
                named = set(re.findall(r"\b(?:dd_api|opstrace|process)_\w+", expr))
                assert named, expr
                assert named <= known, expr


def all_of(variable: dict[str, Any], listed: list[str]) -> str:
    """Return what Grafana, and our own UI, write for a variable of which everything is chosen."""
    return variable.get("allValue") or "(" + "|".join(listed) + ")"


def observed(telemetry: Telemetry, requests: list[tuple[str, str]]) -> MemoryStore:
    """Return what is stored by three observations while requests, of a status and a tenant, are answered."""
    store = MemoryStore()
    for at_ms in (0, 10_000, 20_000):
        for status, tenant in requests:
            telemetry.request_duration.labels("POST", "api_v2_series", status, tenant).observe(0.01)
        samples = list(telemetry.samples())
        count = len(samples)
        store.appender("system").append(
            Block(
                [{"__name__": name, **labels} for name, labels, _ in samples],
                np.arange(count + 1),
                np.full(count, at_ms, dtype=np.int64),
                np.array([value for _, _, value in samples]),
            )
        )
    return store


def test_all_tenants_are_also_those_who_showed_no_good_key() -> None:
    (variable,) = (one for one in BUNDLED["dd-api-overview.json"]["templating"]["list"] if one["name"] == "tenant")
    title = "Series POSTs per second, by status"
    (panel,) = (one for one in panels(BUNDLED["dd-api-overview.json"]) if one["title"] == title)
    query = panel["targets"][0]["expr"].replace("$window", "1m").replace("$tenant", all_of(variable, ["default"]))
    store, budget = observed(Telemetry(), [("202", "default"), ("403", "")]), Budget()
    found = Engine().instant(store.querier("system", budget), query, 20_000, budget)
    assert {labels["status_code"] for labels in found.labels} == {"202", "403"}


@pytest.mark.parametrize("name", BUNDLED)
def test_all_tenants_are_every_value_in_every_dashboard(name: str) -> None:
    for variable in BUNDLED[name]["templating"]["list"]:
        if variable["name"] == "tenant":
            assert variable["allValue"] == ".*"
