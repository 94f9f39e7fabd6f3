"""The product as its README starts it, driven by software written elsewhere, asked over the Prometheus API.

In the order of a user's first hour: create, send with Datadog's libraries and an Agent's own bodies, ask, crash.
"""

# mypy: allow-untyped-calls

import json
import re
import signal
import ssl
import time
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPException
from itertools import count
from os import kill
from pathlib import Path
from subprocess import DEVNULL, CompletedProcess, Popen
from typing import Any

import datadog
import pytest
import yaml
from datadog.api.http_client import RequestClient
from datadog_api_client import ApiClient, Configuration
from datadog_api_client.exceptions import ForbiddenException
from datadog_api_client.v1.api.authentication_api import AuthenticationApi
from datadog_api_client.v1.api.metrics_api import MetricsApi as MetricsApiV1
from datadog_api_client.v1.api.service_checks_api import ServiceChecksApi
from datadog_api_client.v1.model.metric_content_encoding import MetricContentEncoding as EncodingV1
from datadog_api_client.v1.model.metrics_payload import MetricsPayload
from datadog_api_client.v1.model.point import Point
from datadog_api_client.v1.model.series import Series
from datadog_api_client.v1.model.service_check import ServiceCheck
from datadog_api_client.v1.model.service_check_status import ServiceCheckStatus
from datadog_api_client.v1.model.service_checks import ServiceChecks
from datadog_api_client.v2.api.metrics_api import MetricsApi as MetricsApiV2
from datadog_api_client.v2.model.metric_content_encoding import MetricContentEncoding as EncodingV2
from datadog_api_client.v2.model.metric_intake_type import MetricIntakeType
from datadog_api_client.v2.model.metric_payload import MetricPayload
from datadog_api_client.v2.model.metric_point import MetricPoint
from datadog_api_client.v2.model.metric_resource import MetricResource
from datadog_api_client.v2.model.metric_series import MetricSeries

from end_to_end import translation, wire
from end_to_end.instance import Instance, LabelSet, Samples, free_ports, label_set, wait_until

ROOT = Path(__file__).parents[2]
AGENT_BODIES = ROOT.parent / "shared" / "conformance" / "agent"
NAME = "datadogdemo"
TENANTS = ["default", "staging"]
TWENTY_YEARS = 20 * 365  # days: the captured bodies are of 2017 and 2023
DAY_S = 86400
TYPES = {1: "count", 2: "rate", 3: "gauge"}
TIMESTAMP = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"

needs_agent_bodies = pytest.mark.skipif(
    not AGENT_BODIES.is_dir(), reason="the captured Agent bodies are not beside this checkout (../shared/conformance)"
)


@dataclass
class Walk:
    """The instance, and what the command said when it made it."""

    instance: Instance
    created: CompletedProcess[str]

    @property
    def home(self) -> Path:
        return self.instance.directory / "home" / ".local" / "share" / "opstrace" / NAME

    @property
    def trust_anchor(self) -> Path:
        return self.home / "tls" / "ca.pem"

    @property
    def url(self) -> str:
        return f"https://localhost:{self.instance.https_port}"

    def trusting(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=self.trust_anchor)

    def kill(self) -> None:
        """End the server as a power cut would."""
        pid = int((self.home / "server.pid").read_text())
        kill(pid, signal.SIGKILL)
        wait_until(lambda: not Path(f"/proc/{pid}").exists(), 10, f"end of process {pid}")


@pytest.fixture(scope="module")
def walk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Walk]:
    """Create an instance with the script at the repository's root, in an empty directory with an empty HOME."""
    ports = free_ports()
    config = {"tenants": TENANTS, "metric_retention_days": TWENTY_YEARS, **ports}
    instance = Instance(NAME, tmp_path_factory.mktemp("walk"), config, command=(str(ROOT / "opstrace"),))
    try:
        yield Walk(instance, instance.create())
    finally:
        instance.destroy()


def sent(metric: str, host: str, kind: str, **tags: str) -> LabelSet:
    """Return the labels of a series sent with these tags."""
    return label_set({"__name__": metric, "instance": host, "job": "ddagent", "type": kind, **tags})


def test_create_says_what_it_did(walk: Walk) -> None:
    lines = walk.created.stderr.splitlines()
    assert all(re.match(f"{TIMESTAMP} (info|warning): ", line) for line in lines), lines
    said = [line.partition(" info: ")[2] for line in lines]
    tokens = [f"write api token for tenant {name} to file tenant-api-token-{name}" for name in (*TENANTS, "system")]
    assert [line for line in said if line.startswith("write api token")] == tokens
    assert said[-2:] == [
        f"cluster creation finished: {NAME} (local)",
        f"Log in here: https://{NAME}.localhost:{walk.instance.https_port}",
    ]


def test_token_files_are_for_their_owner_alone(walk: Walk) -> None:
    for tenant in (*TENANTS, "system"):
        file = walk.instance.directory / f"tenant-api-token-{tenant}"
        assert file.stat().st_mode & 0o777 == 0o600
        assert re.fullmatch("[0-9a-f]{32}", file.read_text())


def test_nothing_is_written_beside_home_and_tokens(walk: Walk) -> None:
    entries = {entry.name for entry in walk.instance.directory.iterdir()}
    assert entries == {"home", *(f"tenant-api-token-{name}" for name in (*TENANTS, "system"))}


def test_status_agrees(walk: Walk) -> None:
    assert walk.instance.run("status", "local", NAME).returncode == 0


def test_create_leaves_a_finished_instance_alone(walk: Walk) -> None:
    key = walk.instance.key()
    again = walk.instance.run("create", "local", NAME, stdin="tenants: [default]", check=False)
    (complaint,) = again.stderr.splitlines()
    assert again.returncode == 1
    assert re.fullmatch(f"{TIMESTAMP} error: .*{NAME} exists already.*", complaint)
    assert walk.instance.key() == key


def test_create_completes_what_was_interrupted(tmp_path: Path) -> None:
    """Ended by force once the keys are written: run again, the same keys open a running instance."""
    config = {"tenants": TENANTS, **free_ports()}
    instance = Instance("interrupted", tmp_path, config, command=(str(ROOT / "opstrace"),))
    document = tmp_path / "config.yaml"
    document.write_text(yaml.safe_dump(config))
    command = [*instance.command, "create", "local", instance.name, "-c", str(document)]
    first = Popen(command, cwd=tmp_path, env=instance.environment(), stdout=DEVNULL, stderr=DEVNULL)
    try:
        wait_until((tmp_path / "tenant-api-token-system").exists, 60, "the last token file")
        first.kill()
        assert first.wait() == -signal.SIGKILL
        key = instance.key()
        again = instance.run("create", "local", instance.name, "-c", str(document))
        assert "cluster creation finished: interrupted (local)" in again.stderr
        assert instance.key() == key
        assert instance.send("GET", "/api/v1/validate", headers={"DD-API-KEY": key}).status == 200
    finally:
        instance.destroy()


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        f"{NAME}.localhost",
        f"default.{NAME}.localhost",
        f"dd.default.{NAME}.localhost",
    ],
)
def test_tls_is_trusted_with_the_anchor_only(walk: Walk, host: str) -> None:
    headers = {"DD-API-KEY": walk.instance.key(), "Host": host}
    answer = walk.instance.send_tls("GET", "/api/v1/validate", walk.trusting(), host, headers)
    assert (answer.status, answer.json()) == (200, {"valid": True})
    with pytest.raises(ssl.SSLCertVerificationError):
        walk.instance.send_tls("GET", "/api/v1/validate", ssl.create_default_context(), host, headers)


def test_a_tenants_host_name_must_agree_with_the_key(walk: Walk) -> None:
    host = f"dd.staging.{NAME}.localhost"
    headers = {"DD-API-KEY": walk.instance.key("default"), "Host": host}
    assert walk.instance.send_tls("GET", "/api/v1/validate", walk.trusting(), host, headers).status == 403
    headers["DD-API-KEY"] = walk.instance.key("staging")
    assert walk.instance.send_tls("GET", "/api/v1/validate", walk.trusting(), host, headers).status == 200


def test_a_name_the_certificate_does_not_cover(walk: Walk) -> None:
    with pytest.raises(ssl.SSLCertVerificationError):
        walk.instance.send_tls("GET", "/api/v1/validate", walk.trusting(), "example.com", {})


@contextmanager
def datadog_library(walk: Walk) -> Iterator[Any]:
    """Hand out the API of the `datadog` package, which keeps its settings and its session in globals."""
    datadog.initialize(
        api_key=walk.instance.key(),
        api_host=walk.url,
        host_name="x1carb6",
        cacert=str(walk.trust_anchor),
        mute=False,
        hostname_from_config=False,
    )
    try:
        yield datadog.api
    finally:
        if RequestClient._session is not None:
            RequestClient._session.close()
        RequestClient._session = None


def test_the_datadog_library(walk: Walk) -> None:
    now = int(time.time())
    with datadog_library(walk) as api:
        for compressed in (False, True):
            answer = api.Metric.send(
                metric="system.net.bytes_rcvd",
                points=[(now - 30, 1193.2666), (now - 15, 0.30000000000000004)],
                type="gauge",
                device="enp0s31f6",
                compress_payload=compressed,
            )
            assert answer == {"status": "ok"}
        api.Metric.send(
            metrics=[
                {"metric": "lib.py.requests", "points": [(now, 7)], "type": "count", "tags": ["env:prod", "canary"]},
                {"metric": "lib.py.load", "points": [(now, 0.5)], "host": "other-1"},
            ]
        )
        check = api.ServiceCheck.check(
            check="lib.py.is_ok", host_name="x1carb6", status=1, timestamp=now, message="slow", tags=["env:prod"]
        )
        assert check == {"status": "ok"}
    assert walk.instance.samples('system_net_bytes_rcvd{device="enp0s31f6"}', now + 1, 120) == {
        sent("system_net_bytes_rcvd", "x1carb6", "gauge", device="enp0s31f6"): {
            (now - 30) * 1000: "1193.2666",
            (now - 15) * 1000: "0.30000000000000004",
        }
    }
    assert walk.instance.vector('{__name__=~"lib_py_.+"}', now + 1) == {
        sent("lib_py_requests", "x1carb6", "count", env="prod", canary="true"): "7",
        sent("lib_py_load", "other-1", "gauge"): "0.5",
        sent("lib_py_is_ok", "x1carb6", "service_check", env="prod"): "1",
    }


@contextmanager
def api_client(walk: Walk, key: str) -> Iterator[ApiClient]:
    """Hand out a client of `datadog-api-client` that trusts the anchor."""
    configuration = Configuration(
        host=walk.url, api_key={"apiKeyAuth": key, "appKeyAuth": "unused"}, ssl_ca_cert=str(walk.trust_anchor)
    )
    with ApiClient(configuration) as client:
        yield client
        client.rest_client.pool_manager.clear()


def test_the_api_client_validates(walk: Walk) -> None:
    with api_client(walk, walk.instance.key()) as client:
        assert AuthenticationApi(client).validate().valid is True
    with api_client(walk, "0" * 31 + "1") as client, pytest.raises(ForbiddenException):
        AuthenticationApi(client).validate()


def test_the_api_client_v1(walk: Walk) -> None:
    now = int(time.time())
    with api_client(walk, walk.instance.key()) as client:
        for number, encoding in enumerate((EncodingV1.DEFLATE, EncodingV1.GZIP)):
            series = Series(
                metric="client.v1.requests",
                points=[Point([float(now), 1.25])],
                type="rate",
                interval=10,
                host="web-1",
                tags=[f"encoding:{number}"],
            )
            MetricsApiV1(client).submit_metrics(body=MetricsPayload(series=[series]), content_encoding=encoding)
    assert walk.instance.vector("client_v1_requests", now + 1) == {
        sent("client_v1_requests", "web-1", "rate", encoding=number): "1.25" for number in "01"
    }


def test_the_api_client_v2(walk: Walk) -> None:
    now = int(time.time())
    encodings = {"deflate": EncodingV2.DEFLATE, "gzip": EncodingV2.GZIP, "zstd1": EncodingV2.ZSTD1}
    with api_client(walk, walk.instance.key("staging")) as client:
        for name, encoding in encodings.items():
            series = MetricSeries(
                metric="client.v2.requests",
                type=MetricIntakeType.COUNT,
                interval=10,
                points=[MetricPoint(timestamp=now, value=3.5)],
                resources=[MetricResource(name="web-1", type="host"), MetricResource(name="c1", type="container")],
                tags=[f"encoding:{name}"],
                unit="request",
            )
            answer = MetricsApiV2(client).submit_metrics(
                body=MetricPayload(series=[series]), content_encoding=encoding
            )
            assert answer.errors == []
    assert walk.instance.vector("client_v2_requests", now + 1, "staging") == {
        sent("client_v2_requests", "web-1", "count", container="c1", encoding=name): "3.5" for name in encodings
    }
    assert walk.instance.vector("client_v2_requests", now + 1, "default") == {}


def test_the_api_client_service_checks(walk: Walk) -> None:
    now = int(time.time())
    check = ServiceCheck(
        check="client.is_ok",
        host_name="web-1",
        message="gone",
        status=ServiceCheckStatus.CRITICAL,
        tags=["env:prod"],
        timestamp=now,
    )
    with api_client(walk, walk.instance.key()) as client:
        ServiceChecksApi(client).submit_service_check(body=ServiceChecks([check]))
    assert walk.instance.vector("client_is_ok", now + 1) == {
        sent("client_is_ok", "web-1", "service_check", env="prod"): "2"
    }


def test_the_key_opens_its_own_tenant_only(walk: Walk) -> None:
    assert walk.instance.series('{job="ddagent"}', 0, time.time(), "system") == set()
    assert {
        dict(labels)["__name__"] for labels in walk.instance.series('{job="ddagent"}', 0, time.time(), "staging")
    } == {"client_v2_requests"}


def body_of_agent(file: str) -> bytes:
    return (AGENT_BODIES / file).read_bytes()


def post_as_agent(instance: Instance, path: str, file: str, media_type: str, encoding: str) -> None:
    """Send a captured body with an Agent's headers, byte for byte."""
    headers = {
        "DD-Api-Key": instance.key(),
        "Content-Type": media_type,
        "User-Agent": "datadog-agent/7.60.0",
        "DD-Agent-Version": "7.60.0",
    }
    headers |= {"Content-Encoding": encoding} if encoding else {}
    answer = instance.send("POST", path, body_of_agent(file), headers)
    assert answer.status in {200, 202}, (path, answer)


def host_of(series: dict[str, Any]) -> str:
    return next((entry.get("name", "") for entry in series.get("resources", []) if entry["type"] == "host"), "")


def expected_of_metric_bytes() -> dict[LabelSet, Samples]:
    """Return what the captured v2 body must become, by the obvious translation."""
    expected: dict[LabelSet, Samples] = {}
    for one in wire.parse_metric_payload(zlib.decompress(body_of_agent("metric_bytes")))["series"]:
        others = [(entry["type"], entry["name"]) for entry in one.get("resources", []) if entry["type"] != "host"]
        kind = TYPES.get(one.get("type", 0), "gauge")
        labels = translation.labels(one["metric"], host_of(one), kind, one.get("tags", []), others)
        for point in one["points"]:
            expected.setdefault(labels, {})[int(point["timestamp"]) * 1000] = prometheus_value(
                point.get("value", 0.0)
            )
    return expected


def expected_of_checks(checks: list[dict[str, Any]]) -> dict[LabelSet, Samples]:
    """Return what captured service checks must become."""
    expected: dict[LabelSet, Samples] = {}
    for one in checks:
        labels = translation.labels(one["check"], one["host_name"], "service_check", one["tags"] or [])
        expected.setdefault(labels, {})[round(one["timestamp"] * 1000)] = str(one["status"])
    return expected


def prometheus_value(value: float) -> str:
    """Return an ordinary value as Prometheus spells it."""
    assert value == 0 or 1e-6 <= abs(value) < 1e16, f"spell {value} out"
    return str(int(value)) if value == int(value) else repr(value)


def everything_between(walk: Walk, expected: dict[LabelSet, Samples], matcher: str) -> dict[LabelSet, Samples]:
    """Return all that is stored in the time of the expected samples, a day around it included."""
    times_s = [timestamp / 1000 for samples in expected.values() for timestamp in samples]
    end_s = max(times_s) + DAY_S
    return walk.instance.samples(f"{{{matcher}}}", end_s, int(end_s - min(times_s) + DAY_S))


@needs_agent_bodies
def test_metrics_an_agent_sent(walk: Walk) -> None:
    post_as_agent(walk.instance, "/api/v2/series", "metric_bytes", "application/x-protobuf", "deflate")
    expected = expected_of_metric_bytes()
    assert len(expected) > 100
    assert everything_between(walk, expected, 'job="ddagent", type!="service_check"') == expected


@needs_agent_bodies
def test_checks_an_agent_sent(walk: Walk) -> None:
    post_as_agent(walk.instance, "/api/v1/check_run", "checkrun_bytes", "application/json", "deflate")
    expected = expected_of_checks(json.loads(zlib.decompress(body_of_agent("checkrun_bytes"))))
    assert any(dict(labels)["instance"].startswith("device:") for labels in expected)
    assert everything_between(walk, expected, 'type="service_check"') == expected


@needs_agent_bodies
def test_checks_an_agent_of_version_5_sent(walk: Walk) -> None:
    post_as_agent(walk.instance, "/api/v1/check_run/", "v5_service_checks.json", "application/json", "")
    expected = expected_of_checks(json.loads(body_of_agent("v5_service_checks.json")))
    assert everything_between(walk, expected, 'type="service_check"') == expected


@needs_agent_bodies
@pytest.mark.parametrize(
    ("path", "file", "media_type", "encoding"),
    [
        ("/api/v1/metadata", "metadata_bytes", "application/json", "deflate"),
        ("/api/v0.2/traces", "trace_bytes", "application/x-protobuf", "gzip"),
        ("/api/v0.2/stats", "apm_stats_bytes", "application/msgpack", "gzip"),
        ("/api/v1/connections", "connections_bytes", "application/x-protobuf", ""),
        ("/api/v2/orch", "orch_bytes", "application/x-protobuf", ""),
        ("/api/v2/contimage", "contimage_bytes", "application/x-protobuf", "gzip"),
        ("/api/v2/apmtelemetry", "servicediscovery_bytes", "application/json", "gzip"),
    ],
)
def test_what_else_an_agent_sends_is_taken(walk: Walk, path: str, file: str, media_type: str, encoding: str) -> None:
    post_as_agent(walk.instance, path, file, media_type, encoding)


def test_the_instance_watches_itself(walk: Walk) -> None:
    """The tenant `system` shows the rate of this test's own posts, by status."""
    headers = {"DD-API-KEY": walk.instance.key()}
    query = 'sum by (status_code) (rate(dd_api_request_duration_seconds_count{route="api_v1_series"}[2m]))'

    def posts_are_seen() -> bool:
        assert walk.instance.send("POST", "/api/v1/series", b"{}", headers).status == 202
        rates = walk.instance.vector(query, time.time(), "system")
        return float(rates.get(label_set({"status_code": "202"}), "0")) > 0

    wait_until(posts_are_seen, 60, "a rate of posts in the tenant system")


@dataclass
class Traffic:
    """Numbered payloads of several senders, and which of them were acknowledged."""

    walk: Walk
    base_s: int
    stopped: bool = False
    sent: set[tuple[int, int]] = field(default_factory=set)
    acknowledged: set[tuple[int, int]] = field(default_factory=set)
    numbers: list[Iterator[int]] = field(default_factory=lambda: [count() for _ in range(4)])

    def payload(self, sender: int, number: int) -> bytes:
        """Return a payload of 20 series, among them a count, at a second of its own."""
        series = [
            {"metric": "crash.traffic", "points": [[self.base_s + number, number]], "type": "count"}
            | {"host": f"web-{host}", "tags": [f"sender:{sender}"]}
            for host in range(20)
        ]
        return json.dumps({"series": series}).encode()

    def post(self, sender: int, number: int) -> bool:
        headers = {"DD-API-KEY": self.walk.instance.key(), "Content-Type": "application/json"}
        self.sent.add((sender, number))
        try:
            taken = self.walk.instance.send("POST", "/api/v1/series", self.payload(sender, number), headers).status
        except (OSError, HTTPException):
            return False
        if taken == 202:
            self.acknowledged.add((sender, number))
        return taken == 202

    def run(self, sender: int) -> None:
        """Send one payload after another until something goes wrong or somebody says stop."""
        while not self.stopped and self.post(sender, next(self.numbers[sender])):
            pass

    def stored(self) -> dict[LabelSet, Samples]:
        return self.walk.instance.samples("crash_traffic", self.base_s + DAY_S, 2 * DAY_S)

    def expected(self, of: set[tuple[int, int]]) -> dict[LabelSet, Samples]:
        found: dict[LabelSet, Samples] = {}
        for sender, number in of:
            for host in range(20):
                labels = sent("crash_traffic", f"web-{host}", "count", sender=str(sender))
                found.setdefault(labels, {})[(self.base_s + number) * 1000] = str(number)
        return found


def flat(series: dict[LabelSet, Samples]) -> set[tuple[LabelSet, int, str]]:
    return {(labels, *sample) for labels, samples in series.items() for sample in samples.items()}


@contextmanager
def under_way(traffic: Traffic, payloads: int) -> Iterator[None]:
    """Send from four threads; hand over once so many payloads more were acknowledged; wait for the senders' end."""
    enough = len(traffic.acknowledged) + payloads
    with ThreadPoolExecutor(4) as senders:
        running = [senders.submit(traffic.run, sender) for sender in range(4)]
        try:
            wait_until(lambda: len(traffic.acknowledged) >= enough, 60, "payloads acknowledged")
            yield
        except BaseException:
            traffic.stopped = True
            raise
        for sender in running:
            sender.result()


def test_what_was_acknowledged_survives_kill_9_and_is_there_once(walk: Walk) -> None:
    """Three crashes in the middle of traffic; then everything is sent again, as Agents do after a timeout."""
    traffic = Traffic(walk, int(time.time()) - DAY_S)
    for payloads in (40, 50, 60):
        with under_way(traffic, payloads):
            walk.kill()
        walk.instance.run("start", NAME)
        stored = flat(traffic.stored())
        assert flat(traffic.expected(traffic.acknowledged)) <= stored
        assert stored <= flat(traffic.expected(traffic.sent))
    assert traffic.sent - traffic.acknowledged, "no payload was under way at any of the crashes"
    with ThreadPoolExecutor(4) as senders:
        assert all(senders.map(lambda payload: traffic.post(*payload), sorted(traffic.sent)))
    assert traffic.stored() == traffic.expected(traffic.sent)
    counted = walk.instance.vector("sum(count_over_time(crash_traffic[2d]))", traffic.base_s + DAY_S)
    assert counted == {frozenset(): str(20 * len(traffic.sent))}


def test_stop_drains_and_start_finds_everything(walk: Walk) -> None:
    traffic = Traffic(walk, int(time.time()) - 3 * DAY_S)
    with under_way(traffic, 40):
        walk.instance.run("stop", NAME)
    assert walk.instance.run("status", "local", NAME, check=False).returncode == 1
    walk.instance.run("start", NAME)
    stored = walk.instance.samples("crash_traffic", traffic.base_s + DAY_S, 2 * DAY_S - 1)
    assert flat(traffic.expected(traffic.acknowledged)) <= flat(stored)
