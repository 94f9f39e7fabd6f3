"""Remote write as senders put it on the wire, and remote read's messages, written by the protobuf library."""

import struct
from collections.abc import Mapping, Sequence
from typing import Any

import cramjam
from google.protobuf import json_format

from end_to_end.wire import Messages, message_class

# prometheus/prometheus: prompb/types.proto; members of a oneof are plain fields here.
_SAMPLES: Messages = {
    "Sample": {"value": (1, "double"), "timestamp": (2, "int64")},
    "BucketSpan": {"offset": (1, "sint32"), "length": (2, "uint32")},
    "Histogram": {
        "count_int": (1, "uint64"),
        "count_float": (2, "double"),
        "sum": (3, "double"),
        "schema": (4, "sint32"),
        "zero_threshold": (5, "double"),
        "zero_count_int": (6, "uint64"),
        "zero_count_float": (7, "double"),
        "negative_spans": (8, "repeated BucketSpan"),
        "negative_deltas": (9, "repeated sint64"),
        "negative_counts": (10, "repeated double"),
        "positive_spans": (11, "repeated BucketSpan"),
        "positive_deltas": (12, "repeated sint64"),
        "positive_counts": (13, "repeated double"),
        "reset_hint": (14, "int32"),
        "timestamp": (15, "int64"),
        "custom_values": (16, "repeated double"),
    },
    "Label": {"name": (1, "string"), "value": (2, "string")},
}
V1: Messages = {
    **_SAMPLES,
    "WriteRequest": {"timeseries": (1, "repeated TimeSeries"), "metadata": (3, "repeated MetricMetadata")},
    "TimeSeries": {
        "labels": (1, "repeated Label"),
        "samples": (2, "repeated Sample"),
        "exemplars": (3, "repeated Exemplar"),
        "histograms": (4, "repeated Histogram"),
    },
    "Exemplar": {"labels": (1, "repeated Label"), "value": (2, "double"), "timestamp": (3, "int64")},
    "MetricMetadata": {
        "type": (1, "int32"),
        "metric_family_name": (2, "string"),
        "help": (4, "string"),
        "unit": (5, "string"),
    },
}
V2: Messages = {
    **_SAMPLES,
    "Sample": {**_SAMPLES["Sample"], "start_timestamp": (3, "int64")},
    "Histogram": {**_SAMPLES["Histogram"], "start_timestamp": (17, "int64")},
    "Request": {"symbols": (4, "repeated string"), "timeseries": (5, "repeated TimeSeries")},
    "TimeSeries": {
        "labels_refs": (1, "repeated uint32"),
        "samples": (2, "repeated Sample"),
        "histograms": (3, "repeated Histogram"),
        "exemplars": (4, "repeated Exemplar"),
        "metadata": (5, "Metadata"),
    },
    "Exemplar": {"labels_refs": (1, "repeated uint32"), "value": (2, "double"), "timestamp": (3, "int64")},
    "Metadata": {"type": (1, "int32"), "help_ref": (3, "uint32"), "unit_ref": (4, "uint32")},
}
_WRITE_REQUEST = message_class(V1, "WriteRequest")
_REQUEST = message_class(V2, "Request")

HEADERS_V1 = {"Content-Type": "application/x-protobuf", "Content-Encoding": "snappy"}
HEADERS_V2 = {**HEADERS_V1, "Content-Type": "application/x-protobuf;proto=io.prometheus.write.v2.Request"}

Document = Mapping[str, Any]


def snappy(body: bytes) -> bytes:
    return bytes(cramjam.snappy.compress_raw(body))


def write_request(document: Document) -> bytes:
    """Return a body of version 1.0, not compressed; `labels` of a series may be a mapping."""
    series = [{**one, "labels": _labels(one["labels"])} for one in document.get("timeseries", [])]
    return bytes(json_format.ParseDict({**document, "timeseries": series}, _WRITE_REQUEST()).SerializeToString())


def _labels(labels: Mapping[str, str] | Sequence[Document]) -> Sequence[Document]:
    return (
        [{"name": name, "value": value} for name, value in labels.items()] if isinstance(labels, Mapping) else labels
    )


def request(document: Document) -> bytes:
    """Return the same of version 2.0, not compressed; metadata are a series' own: type, help and unit."""
    symbols: dict[str, int] = {"": 0}

    def ref(text: str) -> int:
        return symbols.setdefault(text, len(symbols))

    series = []
    for one in document.get("timeseries", []):
        refs = [ref(text) for label in _labels(one["labels"]) for text in (label["name"], label["value"])]
        sent = {**{key: value for key, value in one.items() if key != "labels"}, "labels_refs": refs}
        if told := one.get("metadata"):
            sent["metadata"] = {
                "type": told["type"],
                "help_ref": ref(told.get("help", "")),
                "unit_ref": ref(told.get("unit", "")),
            }
        series.append(sent)
    whole = {"symbols": list(symbols), "timeseries": series}
    return bytes(json_format.ParseDict(whole, _REQUEST()).SerializeToString())


def with_marker(body: bytes, stand_in: float) -> bytes:
    """Put the marker of a series' end in the place of a value: JSON has no way to write that one NaN."""
    return body.replace(struct.pack("<d", stand_in), struct.pack("<Q", 0x7FF0000000000002))
