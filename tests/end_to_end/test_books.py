"""The books against a sender who counts what he sends: received = stored + refused + kept + duplicate, always."""

import json
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import count
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from end_to_end import columnar, wire
from end_to_end.instance import Answer, Instance, running
from opstrace.store.books import Entry

VERSIONS = (f"9.{number}.0" for number in count())
FATES = ("stored", "refused", "kept", "duplicate")


def adds_up(entries: Iterable[Entry]) -> bool:
    """Say whether what was received is what became of it, for every sender and unit."""
    left: dict[tuple[str, str, str, str], int] = {}
    for entry in entries:
        key = (entry.tenant, entry.host, entry.version, entry.unit)
        if entry.outcome == "received":
            left[key] = left.get(key, 0) + entry.total
        elif entry.outcome in FATES:
            left[key] = left.get(key, 0) - entry.total
    return not any(left.values())


@pytest.fixture(scope="module")
def instance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Instance]:
    limits = {"max_tags": 3, "max_name_bytes": 40, "max_body_bytes": 20_000, "max_inflated_bytes": 100_000}
    with running(
        tmp_path_factory.mktemp("books"), "books", {"tenants": ["default", "other"], "limits": limits}
    ) as one:
        yield one


def post(instance: Instance, path: str, body: bytes, version: str, **headers: str) -> Answer:
    sent = {"DD-API-KEY": instance.key(), "DD-Agent-Version": version, "Content-Type": "application/json", **headers}
    return instance.send("POST", path, body, sent)


def entries(instance: Instance, tenant: str = "default", version: str | None = None) -> list[Entry]:
    answer = instance.send("GET", "/admin/losses", headers={"DD-API-KEY": instance.key(tenant)})
    assert answer.status == 200, answer
    found = [Entry(**entry) for entry in answer.json()["entries"]]
    return [entry for entry in found if version is None or entry.version == version]


def totals(found: list[Entry]) -> dict[str, Counter[str]]:
    """Return numbers by unit and outcome."""
    units: dict[str, Counter[str]] = {}
    for entry in found:
        units.setdefault(entry.unit, Counter())[entry.outcome] += entry.total
    return units


# What one series, one log, one payload may be; every one of them is countable by its sender.
NUMBERS = st.one_of(st.none(), st.floats(), st.just("x"), st.integers(-5, 5), st.lists(st.integers(), max_size=2))
TIMES = st.one_of(st.none(), st.sampled_from([-90_000_000, -4000, -30, 0, 9000]))
SERIES = st.fixed_dictionaries(
    {
        "metric": st.sampled_from(["books.a", "books.b", "", "n_o_i_n_d_e_x.", "books." + "x" * 50]),
        "points": st.lists(st.tuples(TIMES, NUMBERS), max_size=4),
        "host": st.sampled_from(["", "h1", "h2"]),
        "tags": st.lists(st.sampled_from(["a:1", "b:2", "c:3", "d:4", "e"]), max_size=5),
    }
)
LOGS = st.one_of(
    st.fixed_dictionaries({"message": st.text(max_size=5), "timestamp": st.sampled_from([0, 1, -1, 10**15])}),
    st.integers(),
    st.none(),
    st.text(max_size=5),
)
RAW = st.binary(max_size=60)


@st.composite
def payloads(draw: st.DrawFn) -> tuple[str, Any]:
    """Draw a payload: its kind, and what it is made of."""
    return draw(
        st.one_of(
            st.tuples(st.just("series"), st.lists(SERIES, max_size=5)),
            st.tuples(st.just("logs"), st.lists(LOGS, min_size=1, max_size=5)),
            st.tuples(st.just("unknown"), RAW),
            st.tuples(st.just("broken"), RAW),
            st.tuples(st.just("too large"), st.integers(0, 1)),
            st.tuples(st.just("again"), st.none()),
        )
    )


def with_times(series: list[dict[str, Any]], now: int) -> list[dict[str, Any]]:
    return [
        {**one, "points": [[None if at is None else now + at, value] for at, value in one["points"]]}
        for one in series
    ]


def sent_body(kind: str, said: Any, now: int) -> tuple[str, bytes]:
    match kind:
        case "series":
            return "/api/v1/series", json.dumps({"series": with_times(said, now)}).encode()
        case "logs":
            logs = [
                {**one, "timestamp": now * 1000 + one["timestamp"]} if isinstance(one, dict) else one for one in said
            ]
            return "/api/v2/logs", json.dumps(logs).encode()
        case "unknown":
            return "/api/v2/nobody-knows", said
        case "broken":
            return "/api/v1/series", b"{" + said
    return "/api/v1/series", b" " * (200_000 if said else 30_000)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(payloads(), min_size=1, max_size=6))
@example([("series", []), ("unknown", b" ")])
def test_the_numbers_add_up(instance: Instance, drawn: list[tuple[str, Any]]) -> None:
    version, now = next(VERSIONS), int(time.time())
    sent: Counter[str] = Counter()
    last: tuple[str, bytes] = ("/api/v1/series", b"{}")
    contents: Counter[str] = Counter()
    last_contents: Counter[str] = Counter()
    for kind, said in drawn:
        if kind != "again":
            last, last_contents = sent_body(kind, said, now), Counter()
            if kind == "series":
                last_contents = Counter(series=len(said), points=sum(len(one["points"]) for one in said))
            if kind == "logs":
                last_contents = Counter(logs=len(said))
        path, body = last
        large = len(body) > 20_000
        encoded = wire.ENCODERS["gzip"](body) if len(body) == 200_000 else body
        headers = {"Content-Encoding": "gzip"} if encoded is not body else {}
        answer = post(instance, path, encoded, version, **headers)
        assert answer.status in (200, 202, 400, 413), answer
        contents.update(last_contents if answer.status < 300 else {})
        sent.update(payloads=1, bytes=0 if large and not headers else len(encoded))
    found = entries(instance, version=version)
    assert adds_up(found)
    units = totals(found)
    for unit, number in (sent + contents).items():
        assert units[unit]["received"] == number, (unit, units)
        assert sum(units[unit][fate] for fate in FATES) == number, (unit, units)
    assert adds_up(entries(instance, "system"))


def test_each_has_its_place(instance: Instance) -> None:
    """One payload of every fate, looked at one by one."""
    version, now = next(VERSIONS), int(time.time())
    good = json.dumps(
        {
            "series": [
                {"metric": "books.fate", "host": "web-1", "points": [[now - 100, 1], [now, 2], [now, None]]},
                {"metric": "", "host": "web-1", "points": [[now, 1]]},
                {"metric": "books.none", "host": "web-1", "points": []},
            ]
        }
    ).encode()
    for body in (good, good):
        assert post(instance, "/api/v1/series", body, version).status == 202
    assert post(instance, "/api/v1/series", b"{", version).status == 400
    assert post(instance, "/api/v2/nobody-knows", b"\0\1", version).status == 202
    found = {
        (entry.host, entry.unit, entry.outcome, entry.reason): entry.total
        for entry in entries(instance, version=version)
        if entry.unit != "bytes"
    }
    assert found == {
        ("web-1", "payloads", "received", ""): 2,
        ("web-1", "payloads", "stored", ""): 1,
        ("web-1", "payloads", "duplicate", ""): 1,
        ("web-1", "series", "received", ""): 6,
        ("web-1", "series", "stored", ""): 1,
        ("web-1", "series", "duplicate", ""): 1,
        ("web-1", "series", "refused", "no_name"): 2,
        ("web-1", "series", "refused", "no_points"): 2,
        ("web-1", "points", "received", ""): 8,
        ("web-1", "points", "stored", ""): 2,
        ("web-1", "points", "duplicate", ""): 2,
        ("web-1", "points", "refused", "no_value"): 2,
        ("web-1", "points", "refused", "no_name"): 2,
        ("web-1", "points", "late", ""): 1,
        ("", "payloads", "received", ""): 2,
        ("", "payloads", "refused", "undecodable"): 1,
        ("", "payloads", "kept", ""): 1,
    }


def test_series_without_points_are_booked_in_whatever_form_they_come(instance: Instance) -> None:
    now = int(time.time())
    sketch = {"cnt": 1, "sum": 1, "min": 1, "max": 1, "k": [1338], "n": [1]}
    series = [
        {"metric": "books.some", "type": "gauge", "points": [[now, 1]]},
        {"metric": "books.none", "type": "gauge", "points": []},
        {"metric": "books.sketch", "type": "sketch", "points": [[now, sketch]]},
        {"metric": "books.no_sketch", "type": "sketch", "points": []},
    ]
    version = next(VERSIONS)
    assert (
        post(instance, "/api/intake/metrics/v3/series", columnar.payload({"series": series}), version).status == 202
    )
    units = totals(entries(instance, version=version))
    assert units["series"] == {"received": 4, "stored": 2, "refused": 2}
    assert units["points"] == {"received": 2, "stored": 2}


def test_what_has_no_time_is_never_a_duplicate(instance: Instance) -> None:
    version = next(VERSIONS)
    check = b'{"check": "books.timeless", "status": 0, "host_name": "h"}'
    for _ in range(2):
        assert post(instance, "/api/v1/check_run", check, version).status == 202
        assert post(instance, "/api/v2/logs", b"hello", version, **{"Content-Type": "text/plain"}).status == 202
    units = totals(entries(instance, version=version))
    assert units["payloads"] == {"received": 4, "stored": 4}
    assert units["logs"] == {"received": 2, "stored": 2}
    assert units["points"] == {"received": 2, "stored": 2}


def test_what_is_said_of_hosts_is_booked(instance: Instance) -> None:
    version = next(VERSIONS)
    said = {"internalHostname": "books-1", "host-tags": {"system": [f"n:{n}" for n in range(5)]}, "meta": {"a": "b"}}
    assert post(instance, "/intake/", json.dumps(said).encode(), version).status == 202
    assert post(instance, "/intake/", b'{"host-tags": {"system": ["a"]}}', version).status == 202
    refused = {entry.reason for entry in entries(instance, version=version) if entry.outcome == "refused"}
    assert refused == {"too_many_tags", "no_host"}
    facts = totals(entries(instance, version=version))["facts"]
    assert facts["stored"] >= 2
    assert facts["received"] == facts["stored"] + facts["refused"]


def test_documents_of_an_agent_are_booked_under_its_host(instance: Instance) -> None:
    version = next(VERSIONS)
    said = {"internalHostname": "books-2", "events": {"s": [{"msg_title": "books.event", "msg_text": version}]}}
    assert post(instance, "/intake/", json.dumps(said).encode(), version).status == 202
    assert {entry.host for entry in entries(instance, version=version)} == {"books-2"}


def test_metadata_that_says_nothing_is_no_loss(instance: Instance) -> None:
    """Agents of early versions 5 send it again and again, beside metrics of a host that they do name."""
    version = next(VERSIONS)
    said = {"agentVersion": "5.0.5", "host-tags": {}, "external_host_tags": {}}
    assert post(instance, "/intake/metadata", json.dumps(said).encode(), version).status == 202
    assert "facts" not in totals(entries(instance, version=version))


@pytest.mark.parametrize(
    ("host", "shown"),
    [
        ("evil\nhost " + "x" * 300, "evil?host " + "x" * 244 + "…"),
        (
            "gke-pool-1a2b3c4d.europe-west1-b.c." + "long-project" * 10,
            "gke-pool-1a2b3c4d.europe-west1-b.c." + "long-project" * 10,
        ),
    ],
)
def test_a_name_in_the_books_is_short_and_printable(instance: Instance, host: str, shown: str) -> None:
    """Nobody takes it for another host's."""
    version, now = next(VERSIONS), int(time.time())
    series = [{"metric": "books.host", "host": host, "points": [[now, 1]]}]
    assert post(instance, "/api/v1/series", json.dumps({"series": series}).encode(), version).status == 202
    assert {entry.host for entry in entries(instance, version=version)} == {shown}
    lines = [line for line in instance.run("losses", instance.name).stdout.splitlines() if version in line]
    assert {line.split(version)[0].split(maxsplit=1)[1].strip() for line in lines} == {f"{shown[:63]}…"}
    answer = instance.send("GET", "/admin/hosts", headers={"DD-API-KEY": instance.key()}).json()
    assert [one["name"] for one in answer["hosts"] if one["name"][:4] == host[:4]] == [host]


def test_the_same_body_of_another_host_is_no_duplicate(instance: Instance) -> None:
    version, now = next(VERSIONS), int(time.time())
    body = json.dumps([{"message": "books", "timestamp": now * 1000}]).encode()
    for host in ("h1", "h2"):
        assert post(instance, f"/api/v2/logs?hostname={host}", body, version).status == 202
    assert totals(entries(instance, version=version))["logs"] == {"received": 2, "stored": 2}


def test_a_tenant_sees_its_own_books_and_system_all(instance: Instance) -> None:
    version = next(VERSIONS)
    post(instance, "/api/v2/nobody-knows", b"x", version)
    assert entries(instance, version=version)
    assert entries(instance, "system", version)
    assert entries(instance, "other", version) == []
    answer = instance.send("GET", "/admin/losses", headers={"DD-API-KEY": "0" * 32})
    assert answer.status == 403


def test_the_command_shows_the_books(instance: Instance) -> None:
    version = next(VERSIONS)
    post(instance, "/api/v2/nobody-knows", b"x" * 17, version)
    table = instance.run("losses", instance.name).stdout
    assert [line.split()[:5] for line in table.splitlines() if version in line and "bytes" in line] == [
        ["default", "-", version, "bytes", "17"]
    ]
    assert "other" in table.split("ROUTE")[1]
    document = json.loads(instance.run("losses", instance.name, "--json").stdout)
    assert adds_up(Entry(**entry) for entry in document["entries"])


def test_the_books_survive_a_stop(instance: Instance) -> None:
    version = next(VERSIONS)
    post(instance, "/api/v2/nobody-knows", b"x", version)
    instance.run("stop", instance.name)
    instance.run("start", instance.name)
    assert totals(entries(instance, version=version))["payloads"] == {"received": 1, "kept": 1}
