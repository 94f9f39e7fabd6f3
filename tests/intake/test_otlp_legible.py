from typing import Any

import pytest
from google.protobuf.message import DecodeError
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from opstrace.errors import Undecodable
from opstrace.intake.otlp.legible import legible_protobuf
from opstrace.intake.otlp.route import _translated
from opstrace.intake.repair import MAX_REPAIR_BYTES

MARK = "XYZZY"


def export(text: str) -> Any:
    request = ExportMetricsServiceRequest()
    of_resource = request.resource_metrics.add()
    of_resource.resource.attributes.add(key="service.name").value.string_value = f"cart {text}"
    metric = of_resource.scope_metrics.add().metrics.add(name="m", description=text, unit="s")
    point = metric.gauge.data_points.add(time_unix_nano=1_700_000_000_000_000_000, as_double=1.5)
    values = point.attributes.add(key="list").value.array_value.values
    values.add().string_value = text
    values.add().bytes_value = b"\xff\xfe"
    return request


@given(st.binary(min_size=4, max_size=20))
def test_text_that_is_not_utf_8_is_replaced_wherever_it_is(junk: bytes) -> None:
    # Of one length, so that all that is around it stays as it is.
    sent = export("x" * len(junk)).SerializeToString().replace(b"x" * len(junk), junk)
    assert sent.count(junk) >= 3
    found = ExportMetricsServiceRequest.FromString(legible_protobuf(sent))
    assert found == export(junk.decode("utf-8", "replace"))


def test_an_export_with_such_text_is_taken() -> None:
    sent = export(MARK).SerializeToString().replace(MARK.encode(), b"a\xffb\xc3c")
    with pytest.raises(DecodeError):
        ExportMetricsServiceRequest.FromString(sent)
    found = _translated(sent, "application/x-protobuf", 1 << 20, 1 << 50)
    assert found.points == 1
    assert "a\ufffdb\ufffdc".encode() in found.message


def test_what_is_no_export_stays_none_and_a_large_one_is_not_mended() -> None:
    for content in (b"\x0a\xff", b"\x0b", export(MARK).SerializeToString()[:-3]):
        with pytest.raises(Undecodable, match="no ExportMetricsServiceRequest"):
            _translated(content, "application/x-protobuf", 1 << 20, 1 << 50)
    with pytest.raises(Undecodable, match="not UTF-8"):
        legible_protobuf(bytes(MAX_REPAIR_BYTES + 1))
