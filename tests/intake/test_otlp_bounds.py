"""How much is in an export is known before it is decoded, and it is no more than the decoder finds."""

import pytest
from google.protobuf.message import Message
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from opstrace.errors import PayloadTooLarge, Undecodable
from opstrace.intake.otlp import bounds
from opstrace.intake.otlp.bounds import MAX_FIELDS, MAX_JSON_VALUES, check_json, check_protobuf


def export(points: int) -> bytes:
    request = ExportMetricsServiceRequest()
    metric = request.resource_metrics.add().scope_metrics.add().metrics.add(name="e2e.many")
    for number in range(points):
        point = metric.gauge.data_points.add(time_unix_nano=number, as_double=1.5)
        point.attributes.add(key="a").value.array_value.values.add().string_value = "x" * 200
    return request.SerializeToString()


def fields_of(message: Message) -> int:
    """Return the number of fields the slow way."""
    total = 0
    for field, value in message.ListFields():
        repeated = value if field.is_repeated else [value]
        total += sum(1 + (fields_of(one) if isinstance(one, Message) else 0) for one in repeated)
    return total


def test_fields_are_counted_as_they_are_decoded() -> None:
    content = export(50)
    assert bounds._fields_in(content) == fields_of(ExportMetricsServiceRequest.FromString(content))


@pytest.mark.parametrize(
    "content",
    [
        b"\x0a\x00" * (2 * MAX_FIELDS),  # resources
        b"\x0a\x04\x12\x02\x12\x00" * MAX_FIELDS,  # each with a scope with a metric
        b"\x98\x06\x00" * (2 * MAX_FIELDS),  # of a number that means nothing
    ],
)
def test_many_fields_are_refused(content: bytes) -> None:
    with pytest.raises(PayloadTooLarge, match=f"more than {MAX_FIELDS} fields"):
        check_protobuf(content)


def test_large_and_few_is_taken() -> None:
    request = ExportMetricsServiceRequest()
    request.resource_metrics.add(schema_url="x" * (3 * MAX_FIELDS))
    check_protobuf(request.SerializeToString())


@pytest.mark.parametrize(
    "end", [b"\x0a", b"\x0a\x05\x0a", b"\x0b\x0f", b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"]
)
def test_what_is_cut_short_is_refused(end: bytes) -> None:
    """The decoder would come to the end before it says so."""
    request = ExportMetricsServiceRequest()
    request.resource_metrics.add(schema_url="x" * (3 * MAX_FIELDS))
    with pytest.raises(Undecodable, match="cut short"):
        check_protobuf(request.SerializeToString() + end)


def test_many_values_of_json_are_refused() -> None:
    check_json(b'{"resourceMetrics":[' + b"{}," * (MAX_JSON_VALUES // 2 - 2) + b"{}]}")
    with pytest.raises(PayloadTooLarge, match=f"more than {MAX_JSON_VALUES} values"):
        check_json(b'{"resourceMetrics":[' + b"{}," * (MAX_JSON_VALUES // 2) + b"{}]}")


@pytest.mark.parametrize("content", [b"[]", b'"abc"', b" null", b"1", b"true"])
def test_json_that_is_no_object_is_refused(content: bytes) -> None:
    with pytest.raises(Undecodable, match="it is no object"):
        check_json(content)
