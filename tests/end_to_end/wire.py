"""What senders put on the wire, written by the libraries senders use: protobuf messages and compressed bodies."""

import gzip
import zlib
from collections.abc import Callable, Mapping
from typing import Any

import zstandard
from google.protobuf import descriptor_pb2, descriptor_pool, json_format, message_factory

# A field is (number, type); a type may be the name of another message.
Messages = Mapping[str, Mapping[str, tuple[int, str]]]

# DataDog/agent-payload: proto/metrics/agent_payload.proto and, from `Payload` on, proto/metrics/intake_v3.proto.
# `unheard_of` is ours: what a newer Agent may send and no server knows.
MESSAGES: Messages = {
    "MetricPayload": {"series": (1, "repeated MetricSeries"), "unheard_of": (1000, "string")},
    "MetricSeries": {
        "resources": (1, "repeated Resource"),
        "metric": (2, "string"),
        "tags": (3, "repeated string"),
        "points": (4, "repeated MetricPoint"),
        "type": (5, "int32"),  # an enum on paper; the same varint on the wire
        "unit": (6, "string"),
        "source_type_name": (7, "string"),
        "interval": (8, "int64"),
        "metadata": (9, "Metadata"),
        "unheard_of": (1000, "string"),
    },
    "Resource": {"type": (1, "string"), "name": (2, "string")},
    "MetricPoint": {"value": (1, "double"), "timestamp": (2, "int64"), "unheard_of": (1000, "double")},
    "Metadata": {"origin": (1, "Origin")},
    "Origin": {
        "metric_type": (3, "int32"),
        "origin_product": (4, "uint32"),
        "origin_category": (5, "uint32"),
        "origin_service": (6, "uint32"),
    },
    "SketchPayload": {"sketches": (1, "repeated Sketch"), "unheard_of": (1000, "string")},
    "Sketch": {
        "metric": (1, "string"),
        "host": (2, "string"),
        "tags": (4, "repeated string"),
        "dogsketches": (7, "repeated Dogsketch"),
        "metadata": (8, "Metadata"),
    },
    "Dogsketch": {
        "ts": (1, "int64"),
        "cnt": (2, "int64"),
        "min": (3, "double"),
        "max": (4, "double"),
        "avg": (5, "double"),
        "sum": (6, "double"),
        "k": (7, "repeated sint32"),
        "n": (8, "repeated uint32"),
    },
    "Payload": {
        "metadata": (2, "CommonParts"),
        "metric_data": (3, "MetricData"),
        "unheard_of": (1000, "string"),
    },
    "CommonParts": {"tags": (1, "repeated string"), "resources": (2, "repeated string")},
    "MetricData": {
        "dict_name_str": (1, "bytes"),
        "dict_tag_str": (2, "bytes"),
        "dict_tagsets": (3, "repeated sint64"),
        "dict_resource_str": (4, "bytes"),
        "dict_resource_len": (5, "repeated int64"),
        "dict_resource_type": (6, "repeated sint64"),
        "dict_resource_name": (7, "repeated sint64"),
        "dict_source_type_name": (8, "bytes"),
        "dict_origin_info": (9, "repeated int32"),
        "types": (10, "repeated uint64"),
        "name_refs": (11, "repeated sint64"),
        "tagset_refs": (12, "repeated sint64"),
        "resources_refs": (13, "repeated sint64"),
        "intervals": (14, "repeated uint64"),
        "num_points": (15, "repeated uint64"),
        "timestamps": (16, "repeated sint64"),
        "vals_sint64": (17, "repeated sint64"),
        "vals_float32": (18, "repeated float"),
        "vals_float64": (19, "repeated double"),
        "sketch_num_bins": (20, "repeated uint64"),
        "sketch_bin_keys": (21, "repeated sint32"),
        "sketch_bin_cnts": (22, "repeated uint32"),
        "source_type_name_refs": (23, "repeated sint64"),
        "origin_info_refs": (24, "repeated sint64"),
        "dict_unit_str": (25, "bytes"),
        "unit_refs": (26, "repeated sint64"),
        "unheard_of": (1000, "string"),
    },
}


def message_class(messages: Messages, name: str) -> type[Any]:
    """Declare the messages in a pool of their own and return the class of one."""
    file = descriptor_pb2.FileDescriptorProto(name="payload.proto", package="wire", syntax="proto3")
    for message, fields in messages.items():
        declared = file.message_type.add(name=message)
        for field, (number, kind) in fields.items():
            _declare(declared.field.add(name=field, number=number), kind, messages)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"wire.{name}"))


def _declare(field: descriptor_pb2.FieldDescriptorProto, kind: str, messages: Messages) -> None:
    *repeated, type_name = kind.split()
    field.label = field.LABEL_REPEATED if repeated else field.LABEL_OPTIONAL
    if type_name in messages:
        field.type, field.type_name = field.TYPE_MESSAGE, f".wire.{type_name}"
    else:
        field.type = field.Type.Value(f"TYPE_{type_name.upper()}")


METRIC_PAYLOAD = message_class(MESSAGES, "MetricPayload")


def metric_payload(document: Mapping[str, Any]) -> bytes:
    """Return the protobuf body of a payload written as a document with the schema's field names."""
    return bytes(json_format.ParseDict(dict(document), METRIC_PAYLOAD()).SerializeToString())


SKETCH_PAYLOAD = message_class(MESSAGES, "SketchPayload")
COLUMNAR_PAYLOAD = message_class(MESSAGES, "Payload")


def sketch_payload(document: Mapping[str, Any]) -> bytes:
    """Return the protobuf body of sketches written as a document with the schema's field names."""
    return bytes(json_format.ParseDict(dict(document), SKETCH_PAYLOAD()).SerializeToString())


def parse_metric_payload(body: bytes) -> dict[str, Any]:
    """Return the document a protobuf body stands for; int64 values come as strings."""
    return json_format.MessageToDict(METRIC_PAYLOAD.FromString(body), preserving_proto_field_name=True)


def _pieces(body: bytes) -> list[bytes]:
    """Return the body cut in three, the middle one short."""
    first, second = len(body) // 3, len(body) // 3 + 5
    return [body[:first], body[first:second], body[second:]]


def _raw_deflate(body: bytes) -> bytes:
    compressor = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return compressor.compress(body) + compressor.flush()


def _zstd_stream(body: bytes) -> bytes:
    """Return one frame as a streaming encoder writes it: without the content's size."""
    return zstandard.ZstdCompressor(write_content_size=False).compress(body)


def _to_be_skipped(frame: bytes) -> bytes:
    """Put a frame before another that says how long that is, as pzstd does."""
    return b"\x50\x2a\x4d\x18\x04\x00\x00\x00" + len(frame).to_bytes(4, "little") + frame


ENCODERS: dict[str, Callable[[bytes], bytes]] = {
    "deflate": zlib.compress,
    "raw deflate": _raw_deflate,
    "gzip": gzip.compress,
    "gzip, three members": lambda body: b"".join(map(gzip.compress, _pieces(body))),
    "zstd": zstandard.ZstdCompressor().compress,
    "zstd without content size": _zstd_stream,
    "zstd, in parallel": lambda body: b"".join(map(_to_be_skipped, map(_zstd_stream, _pieces(body)))),
    "zstd, three frames": lambda body: b"".join(map(_zstd_stream, _pieces(body))),
}
