"""What is not understood: answered as its sender needs it, kept as it came, replayed once it is understood."""

import io
import json
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote

import pytest

from end_to_end import wire
from end_to_end.instance import Instance, running
from opstrace.config import Limits
from opstrace.store.kept import Kept, KeptRequests, Record, read_records

COLLECTOR_STATUS = bytes.fromhex("030017000000000000000000000000001a021002")
# Encoding 2 is zstd of before its first version, which nothing here can read.
LEGACY_FRAME = bytes.fromhex("03020c00" + "00" * 12 + "25b52ffd") + b"\x99" * 50


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[Instance]:
    limits = {"max_kept_bytes": 200_000, "max_flares": 2, "max_flare_bytes": 300_000}
    with running(tmp_path, "kept", {"tenants": ["default", "other"], "limits": limits}) as one:
        yield one


def home(instance: Instance) -> Path:
    return Path(instance.environment()["HOME"], ".local", "share", "opstrace", instance.name)


def kept(instance: Instance, tenant: str = "default") -> list[Record]:
    store = KeptRequests(home(instance) / "kept", lambda _tenant: Limits(max_kept_bytes=1 << 30))
    return [record for segment in store.segments(tenant) for record in read_records(segment)]


def losses(instance: Instance, tenant: str = "default") -> Any:
    return instance.send("GET", "/admin/losses", headers={"DD-API-KEY": instance.key(tenant)}).json()


def test_a_path_does_nothing_to_the_terminal_it_is_shown_on(instance: Instance) -> None:
    path = "/api/v9/" + quote("\x1b[31mred\nFAKE LINE")
    assert instance.send("POST", path, b"x", {"DD-API-KEY": instance.key()}).status == 202
    replayed = instance.run("replay", instance.name).stdout
    assert "/api/v9/?[31mred?FAKE LINE" in replayed
    lost = instance.run("losses", instance.name, "--hours", "0").stdout
    assert all(line.isprintable() for line in (replayed + lost).splitlines())


def test_a_request_is_kept_as_it_came_without_its_keys(instance: Instance) -> None:
    body = wire.ENCODERS["zstd without content size"](b"profile" * 100)
    answer = instance.send(
        "POST",
        f"//api/v2/profile/?api_key={instance.key()}&application_key=secret&version=1",
        body,
        {
            "DD-API-KEY": instance.key(),
            "Authorization": "Bearer secret",
            "Content-Encoding": "zstd",
            "User-Agent": "datadog-agent/7.75.3",
            "X-Dd-Hostname": "web-1",
        },
    )
    assert (answer.status, answer.json()) == (202, {})
    instance.run("stop", instance.name)
    (record,) = kept(instance)
    assert record.body == body
    request = record.request
    assert (request.method, request.path, request.query) == ("POST", "/api/v2/profile", "version=1")
    assert (request.version, request.host) == ("7.75.3", "web-1")
    assert request.headers["content-encoding"] == "zstd"
    assert abs(request.time_ms / 1000 - time.time()) < 600
    everything = b"".join(path.read_bytes() for path in (home(instance) / "kept").rglob("*.kept"))
    assert instance.key().encode() not in everything
    assert b"secret" not in everything
    instance.run("start", instance.name)


def test_a_key_is_nowhere_in_what_is_kept_and_said(instance: Instance) -> None:
    key = instance.key()
    names = ("API_KEY", "apikey", "token", "dd_api_key", "X-Auth")
    query = "&".join(f"{name}=hidden" for name in names)
    answer = instance.send(
        "POST",
        f"/prefix/v1/input/{key}?{query}&note=of+{key.upper()}&{key}",
        b"a body",
        {"DD-API-KEY": key, "DD-APP-KEY": "hidden", "X-Honeycomb-Team-Token": "hidden", "Referer": f"/x/{key}"},
    )
    assert answer.status == 202
    instance.run("stop", instance.name)
    (record,) = kept(instance)
    assert (record.request.path, record.request.headers["referer"]) == ("/prefix/v1/input/<key>", "/x/<key>")
    assert parse_qs(record.request.query, keep_blank_values=True) == {"note": ["of <key>"], "<key>": [""]}
    everything = b"".join(path.read_bytes() for path in (home(instance) / "kept").rglob("*.kept"))
    said = (home(instance) / "server.log").read_bytes()
    assert b"keeping payloads of '/prefix/v1/input/<key>'" in said
    for text in (everything.lower(), said.lower()):
        assert key.encode() not in text
        assert b"hidden" not in text
    instance.run("start", instance.name)


@pytest.mark.parametrize(
    "path", ["/api/v1/collector", "/api/v1/container", "/api/v1/discovery", "/api/v1/connections"]
)
def test_process_checks_get_their_status_whatever_they_send(instance: Instance, path: str) -> None:
    for body in (LEGACY_FRAME, b"", b"\x03"):
        answer = instance.send("POST", path, body, {"DD-API-KEY": instance.key()})
        assert (answer.status, answer.media_type, answer.body) == (200, "application/x-protobuf", COLLECTOR_STATUS)
    assert [row["requests"] for row in losses(instance)["kept"]] == [2]


def test_probes_are_not_kept(instance: Instance) -> None:
    for path in ("/api/v2/ndm", "/api/v2/nobody-knows", "/api/v2/orch"):
        for body in (b"", b"{}", b"[]", b" {}\n"):
            assert instance.send("POST", path, body, {"DD-API-KEY": instance.key()}).status == 202
    assert losses(instance)["kept"] == []


def test_a_bound_holds_and_what_goes_is_counted(instance: Instance) -> None:
    for _ in range(30):
        assert instance.send("POST", "/api/v2/loud", b"x" * 10_000, {"DD-API-KEY": instance.key()}).status == 202
    found = losses(instance)
    (row,) = found["kept"]
    assert row["bytes"] <= 200_000
    dropped = [
        entry["total"] for entry in found["entries"] if (entry["unit"], entry["outcome"]) == ("payloads", "dropped")
    ]
    assert dropped == [30 - row["requests"]]
    lost = [entry["total"] for entry in found["entries"] if (entry["unit"], entry["outcome"]) == ("bytes", "dropped")]
    assert lost == [dropped[0] * 10_000]
    assert losses(instance, "other")["kept"] == []


def test_a_version_that_understands_replays_what_was_kept(instance: Instance) -> None:
    """As an upgrade does: requests of routes that are understood now lie among the kept ones."""
    instance.run("stop", instance.name)
    now = int(time.time())
    series = {"series": [{"metric": "kept.once", "host": "web-1", "points": [[now - 60, 4.5]]}]}
    requests = [
        ("/api/v1/series", wire.ENCODERS["zstd"](json.dumps(series).encode()), {"content-encoding": "zstd"}),
        ("/api/v1/series", b"{broken", {}),
        ("/api/v2/nobody-knows", b"still", {}),
        ("/api/v2/logs", b"kept-log line", {"content-type": "text/plain"}),
    ]
    agent = {"dd-agent-version": "7.99.0"}
    records = [
        Record(Kept(time_ms=now * 1000, method="POST", path=path, headers={**agent, **headers}), body).encode()
        for path, body, headers in requests
    ]
    KeptRequests(home(instance) / "kept", lambda _tenant: Limits()).append("default", "other", records)
    instance.run("start", instance.name)
    fates = json.loads(instance.run("replay", instance.name, "--json").stdout)["replayed"]
    assert [(one["route"], one["fate"], one["requests"]) for one in fates] == [
        ("/api/v1/series", "stored", 1),
        ("/api/v1/series", "undecodable", 1),
        ("/api/v2/logs", "stored", 1),
        ("/api/v2/nobody-knows", "not_understood", 1),
    ]
    assert list(instance.samples("kept_once", now, 3600).values()) == [{(now - 60) * 1000: "4.5"}]
    found = losses(instance)
    assert [row["requests"] for row in found["kept"]] == [2]
    booked = {
        (e["unit"], e["outcome"], e["reason"]): e["total"] for e in found["entries"] if e["version"] == "7.99.0"
    }
    assert booked["payloads", "replayed", "stored"] == 2
    assert booked["payloads", "replayed", "undecodable"] == 1
    again = json.loads(instance.run("replay", instance.name, "--json").stdout)["replayed"]
    assert [one["fate"] for one in again] == ["undecodable", "not_understood"]


def test_an_inventory_of_a_cluster_is_kept(instance: Instance) -> None:
    """It is no host's, nobody reads clusters yet, and the books say so."""
    key = {"DD-API-KEY": instance.key(), "User-Agent": "datadog-agent/7.99.1"}
    inventory = {"clustername": "c", "cluster_id": "i", "clustercheck_metadata": {}, "clustercheck_status": {}}
    assert instance.send("POST", "/api/v1/metadata", json.dumps(inventory).encode(), key).status == 202
    booked = {(e["unit"], e["outcome"]): e["total"] for e in losses(instance)["entries"] if e["version"] == "7.99.1"}
    assert booked["payloads", "received"] == booked["payloads", "kept"] == 1
    assert {outcome for _, outcome in booked} == {"received", "kept"}
    fates = json.loads(instance.run("replay", instance.name, "--json").stdout)["replayed"]
    assert ("/api/v1/metadata", "not_understood", 1) in [(e["route"], e["fate"], e["requests"]) for e in fates]


def test_a_replay_knows_when_a_request_came_and_what_it_asked_for(instance: Instance) -> None:
    tags = quote("a:b&c,d:e+f=g")
    path = f"/api/v2/unheard?ddtags={tags}&service=my+shop"
    assert instance.send("POST", path, b"came-log", {"DD-API-KEY": instance.key()}).status == 202
    instance.run("stop", instance.name)
    (record,) = kept(instance)
    came_ms = (int(time.time()) - 3 * 3600) * 1000
    check = {"check": "came.check", "status": 1}
    requests = [
        ("/api/v2/logs", record.request.query, b"came-log"),
        ("/api/v2/logs", "", b'[{"message": "came-log json"}]'),
        ("/api/v1/events", "", b'{"title": "came-event"}'),
        ("/intake", "", b'{"events": {"api": [{"msg_title": "came-event too"}]}}'),
        ("/api/v1/check_run", "", json.dumps(check).encode()),
    ]
    records = [
        Record(Kept(time_ms=came_ms, method="POST", path=path, query=query), body).encode()
        for path, query, body in requests
    ]
    KeptRequests(home(instance) / "kept", lambda _tenant: Limits()).append("default", "other", records)
    instance.run("start", instance.name)
    fates = json.loads(instance.run("replay", instance.name, "--json").stdout)["replayed"]
    assert sum(one["requests"] for one in fates if one["fate"] == "stored") == len(requests)
    key = {"DD-API-KEY": instance.key()}
    since = came_ms // 1000 - 60
    logs = instance.send("GET", f"/admin/logs?query=came-log&from={since}", headers=key).json()["logs"]
    assert {log["message"]: log["timestamp_ms"] for log in logs} == {"came-log": came_ms, "came-log json": came_ms}
    (log,) = (log for log in logs if log["message"] == "came-log")
    assert (log["tags"], log["service"]) == (["a:b&c", "d:e+f=g"], "my shop")
    events = instance.send("GET", f"/admin/events?query=came-event&from={since}", headers=key).json()["events"]
    assert [event["time_s"] for event in events] == [came_ms / 1000] * 2
    assert list(instance.samples("came_check", time.time(), 86400).values()) == [{came_ms: "1"}]


def flare(archive: bytes) -> tuple[bytes, dict[str, str]]:
    """Return a form as an Agent sends it (datadog-intake.md, section 18.2)."""
    field = b'--edge\r\nContent-Disposition: form-data; name="%s"\r\n\r\n%s\r\n'
    form = field % (b"email", b"a@example.com") + field.replace(b"%s", b'flare_file"; filename="f.zip', 1) % archive
    return form + b"--edge--\r\n", {"Content-Type": "multipart/form-data; boundary=edge"}


def archive_of(content: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("status.log", content)
    return buffer.getvalue()


def test_flares_become_files_and_the_newest_stay(instance: Instance) -> None:
    key = {"DD-API-KEY": instance.key()}
    assert instance.send("HEAD", "/support/flare", headers=key).status == 200
    for number in range(3):
        form, headers = flare(archive_of(b"flare %d" % number))
        pieces = [form[at : at + 100] for at in range(0, len(form), 100)]
        answer = instance.send("POST", "/support/flare/123", pieces, {**key, **headers})
        assert (answer.status, answer.json()) == (200, {"case_id": 1})
    files = sorted((home(instance) / "flares" / "default").iterdir())
    assert [zipfile.ZipFile(path).read("status.log") for path in files] == [b"flare 1", b"flare 2"]
    assert {path.stat().st_mode & 0o777 for path in files} == {0o600}


def test_a_flare_that_is_too_large_or_no_form_leaves_no_litter(instance: Instance) -> None:
    key = {"DD-API-KEY": instance.key()}
    form, headers = flare(b"x" * 400_000)
    assert instance.send("POST", "/support/flare", [form], {**key, **headers}).status == 413
    assert instance.send("POST", "/support/flare", b"", {**key, **headers}).status == 200
    assert list((home(instance) / "flares" / "default").iterdir()) == []
    assert instance.send("POST", "/support/flare", b"no form", key).status == 200
    (path,) = (home(instance) / "flares" / "default").iterdir()
    assert (path.suffix, path.read_bytes()) == (".form", b"no form")


def test_what_diagnose_asks_is_all_green(instance: Instance) -> None:
    """Every request of `agent diagnose` is answered below 400 (datadog-intake.md, section 18.3)."""
    key = {
        "DD-API-KEY": instance.key(),
        "X-Requested-With": "datadog-agent-diagnose",
        "Content-Type": "application/json",
    }
    tracks = (
        "databasequery",
        "dbmmetrics",
        "dbmactivity",
        "ndm",
        "ndmtraps",
        "ndmflow",
        "netpath",
        "contlcycle",
        "sbom",
    )
    asked = [
        *(("POST", path, b"{}") for path in ("/api/v1/series", "/intake/", "/api/v1/metadata", "/api/v2/series")),
        *(("POST", f"/api/v2/{track}", b"{}") for track in (*tracks, "contimage", "synthetics", "softinv", "logs")),
        ("POST", "/api/v1/check_run", b'[{"check":"test","status":0}]'),
        ("POST", "/api/beta/sketches", b""),
        ("GET", "/api/v1/validate", None),
        ("HEAD", "/support/flare", None),
        ("GET", "/_health", None),
    ]
    answers = {(method, path): instance.send(method, path, body, key).status for method, path, body in asked}
    assert {asked: status for asked, status in answers.items() if status >= 400} == {}
