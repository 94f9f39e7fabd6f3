"""OpenTelemetry's own SDK exports to an instance, as an application would."""

import gzip
import time
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from google.protobuf import json_format
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)
from opentelemetry.sdk.metrics import Counter, MeterProvider
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    InMemoryMetricReader,
    MetricExportResult,
    MetricsData,
)
from opentelemetry.sdk.metrics.view import ExponentialBucketHistogramAggregation, View
from opentelemetry.sdk.resources import Resource

from end_to_end.instance import Answer, Instance, label_set, running
from opstrace.intake.otlp.translation import MAX_BUCKETS

OTLP = "/prometheus/api/v1/otlp/v1/metrics"
LABELS = {"job": "e2e/checkout", "instance": "pod-1", "route": "/buy"}


@pytest.fixture(scope="module")
def instance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Instance]:
    limits = {"max_inflated_bytes": 200_000}
    with running(tmp_path_factory.mktemp("otlp"), "otlp", {"tenants": ["default"], "limits": limits}) as started:
        yield started


@pytest.fixture(scope="module")
def roomy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Instance]:
    """An instance with the limits that it has of itself."""
    with running(tmp_path_factory.mktemp("roomy"), "roomy", {"tenants": ["default"]}) as started:
        yield started


def exporter(instance: Instance, compression: Compression = Compression.NoCompression, key: str = "") -> Any:
    return OTLPMetricExporter(
        f"http://127.0.0.1:{instance.http_port}{OTLP}",
        headers={"Authorization": f"Bearer {key or instance.key()}"},
        compression=compression,
        timeout=10,
    )


def measured(temporality: Mapping[type, AggregationTemporality] | None = None) -> MetricsData:
    """Return what an application's instruments say after one request."""
    resource = Resource(
        {
            "service.namespace": "e2e",
            "service.name": "checkout",
            "service.instance.id": "pod-1",
            "host.name": "web-1",
        }
    )
    reader = InMemoryMetricReader(preferred_temporality=dict(temporality or {}))
    exponential = View(instrument_name="e2e.payload", aggregation=ExponentialBucketHistogramAggregation())
    provider = MeterProvider([reader], resource, views=[exponential], shutdown_on_exit=False)
    meter = provider.get_meter("e2e", "1.0")
    on_route = {"route": "/buy"}
    meter.create_counter("e2e.requests", unit="1", description="Requests answered.").add(3, on_route)
    meter.create_up_down_counter("e2e.active").add(-2, on_route)
    meter.create_gauge("e2e.temperature", unit="Cel").set(21.5, on_route)
    duration = meter.create_histogram("e2e.duration", unit="s", explicit_bucket_boundaries_advisory=[0.1, 1.0])
    payload = meter.create_histogram("e2e.payload", unit="By")
    for value in (0.05, 0.5, 5.0):
        duration.record(value, on_route)
        payload.record(1000 * value, on_route)
    data = reader.get_metrics_data()
    provider.shutdown()
    assert data is not None
    return data


@pytest.mark.parametrize("compression", [Compression.NoCompression, Compression.Gzip, Compression.Deflate])
def test_what_an_application_exports_is_there(instance: Instance, compression: Compression) -> None:
    with_sdk = exporter(instance, compression)
    assert with_sdk.export(measured()) is MetricExportResult.SUCCESS
    with_sdk.shutdown()
    found = instance.vector('{__name__=~"e2e_.*",__name__!~"e2e_payload.*"}', time.time())
    assert found == {
        label_set({"__name__": name, **LABELS, **more}): value
        for name, more, value in [
            ("e2e_requests_total", {}, "3"),
            ("e2e_active", {}, "-2"),
            ("e2e_temperature_celsius", {}, "21.5"),
            ("e2e_duration_seconds_bucket", {"le": "0.1"}, "1"),
            ("e2e_duration_seconds_bucket", {"le": "1"}, "2"),
            ("e2e_duration_seconds_bucket", {"le": "+Inf"}, "3"),
            ("e2e_duration_seconds_count", {}, "3"),
            ("e2e_duration_seconds_sum", {}, "5.55"),
        ]
    }
    now = time.time()
    assert instance.vector("histogram_count(e2e_payload_bytes)", now) == {label_set(LABELS): "3"}
    assert instance.vector("histogram_sum(e2e_payload_bytes)", now) == {label_set(LABELS): "5550"}
    (quantile,) = instance.vector("histogram_quantile(0.5, e2e_payload_bytes)", now).values()
    assert float(quantile) == pytest.approx(500, rel=0.01)
    (info,) = instance.vector("target_info", now)
    told = dict(info)
    assert (told["host_name"], told["job"], told["instance"]) == ("web-1", "e2e/checkout", "pod-1")
    joined = "sum by (host_name) (e2e_active * on (job, instance) group_left (host_name) target_info)"
    assert instance.vector(joined, now) == {label_set({"host_name": "web-1"}): "-2"}


def posted(instance: Instance, body: bytes, **headers: str) -> Answer:
    about = {"Content-Type": "application/x-protobuf", "Authorization": f"Bearer {instance.key()}", **headers}
    return instance.send("POST", OTLP, body, about)


def test_deltas_are_refused_and_the_rest_is_stored(instance: Instance) -> None:
    """The SDK takes that for a success; the answer and the books say what was refused."""
    data = measured({Counter: AggregationTemporality.DELTA})
    answer = posted(instance, encode_metrics(data).SerializeToString(), **{"User-Agent": "delta/1"})
    assert (answer.status, answer.media_type) == (200, "application/x-protobuf")
    told = ExportMetricsServiceResponse.FromString(answer.body).partial_success
    assert told.rejected_data_points == 1
    assert told.error_message == "some of it was not stored: 1 not_cumulative; the rest is stored"
    losses = instance.send("GET", "/admin/losses", headers={"DD-API-KEY": instance.key()}).json()
    points = {
        (entry["outcome"], entry["reason"]): entry["total"]
        for entry in losses["entries"]
        if (entry["version"], entry["unit"]) == ("delta/1", "points")
    }
    assert points == {("received", ""): 10, ("stored", ""): 9, ("refused", "not_cumulative"): 1}
    with_sdk = exporter(instance)
    assert with_sdk.export(data) is MetricExportResult.SUCCESS
    with_sdk.shutdown()


def test_a_wrong_key_is_not_tried_again(instance: Instance) -> None:
    with_sdk = exporter(instance, key="0" * 64)
    assert with_sdk.export(measured()) is MetricExportResult.FAILURE
    with_sdk.shutdown()


def histogram(buckets: int, **attributes: str) -> bytes:
    """Return an export of one histogram with so many bounds."""
    request = ExportMetricsServiceRequest()
    metric = request.resource_metrics.add().scope_metrics.add().metrics.add(name="e2e.wide")
    metric.histogram.aggregation_temporality = 2
    point = metric.histogram.data_points.add(time_unix_nano=time.time_ns(), count=buckets)
    point.explicit_bounds.extend(range(buckets))
    point.bucket_counts.extend([1] * buckets)
    for key, text in attributes.items():
        point.attributes.add(key=key).value.string_value = text
    return request.SerializeToString()


def test_a_few_bytes_do_not_become_many_series(instance: Instance) -> None:
    wide = posted(instance, histogram(MAX_BUCKETS + 1))
    told = ExportMetricsServiceResponse.FromString(wide.body).partial_success
    assert (wide.status, told.rejected_data_points) == (200, 1)
    assert "too_many_buckets" in told.error_message
    long = posted(instance, histogram(MAX_BUCKETS, attribute="x" * 1000))
    assert long.status == 413
    assert b"send it in parts" in long.body
    assert posted(instance, histogram(100)).status == 200
    assert instance.vector("count(e2e_wide_bucket)", time.time()) == {label_set({}): "101"}


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data(), form=st.sampled_from(["application/x-protobuf", "application/json"]))
def test_what_is_damaged_is_refused_or_understood(instance: Instance, data: st.DataObject, form: str) -> None:
    export = encode_metrics(measured())
    whole = json_format.MessageToJson(export).encode() if "json" in form else export.SerializeToString()
    damage = bytearray(whole)
    for place, bit in data.draw(st.lists(st.tuples(st.integers(0, len(whole) - 1), st.integers(0, 7)), max_size=6)):
        damage[place] ^= 1 << bit
    answer = posted(instance, bytes(damage[: data.draw(st.integers(0, len(damage)))]), **{"Content-Type": form})
    assert answer.status in {200, 400, 413}, answer
    assert posted(instance, histogram(3)).status == 200


def test_few_bytes_do_not_become_many_messages(roomy: Instance) -> None:
    """How much is in an export is counted before it is decoded."""
    key = {"Authorization": f"Bearer {roomy.key()}", "Content-Encoding": "gzip"}
    for media_type, body in (
        ("application/x-protobuf", b"\x0a\x00" * (4 << 20)),
        ("application/json", b'{"resourceMetrics":[' + b"{}," * (1 << 20) + b"{}]}"),
    ):
        zipped = gzip.compress(body)
        assert len(zipped) < 50_000
        answer = roomy.send("POST", OTLP, zipped, {**key, "Content-Type": media_type})
        assert (answer.status, answer.media_type) == (413, media_type)
        assert b"send it in parts" in answer.body


@pytest.mark.parametrize("body", [b"[]", b'"abc"', b"null"])
def test_json_that_is_no_object_is_no_export(instance: Instance, body: bytes) -> None:
    answer = posted(instance, body, **{"Content-Type": "application/json"})
    assert (answer.status, answer.json()["code"]) == (400, 3)
    assert "it is no object" in answer.json()["message"]
