"""Remote read: raw samples as Prometheus's messages, read back by the protobuf library."""

import math
import struct
from collections.abc import Sequence
from itertools import accumulate
from typing import Any

import cramjam
import numpy as np
import pytest
from google.protobuf import json_format

from end_to_end.remote_write import V1, snappy
from end_to_end.wire import Messages, message_class
from opstrace.store.backend import Block
from opstrace.store.traits import STALE_BITS
from web.serving import Answer, Server

PATH = "/prometheus/api/v1/read"
TENANT = "remote-read"
MESSAGES: Messages = {
    **V1,
    "ReadRequest": {"queries": (1, "repeated Query"), "accepted_response_types": (2, "repeated int32")},
    "Query": {
        "start_timestamp_ms": (1, "int64"),
        "end_timestamp_ms": (2, "int64"),
        "matchers": (3, "repeated LabelMatcher"),
        "hints": (4, "ReadHints"),
    },
    "ReadHints": {"step_ms": (1, "int64"), "func": (2, "string"), "grouping": (5, "repeated string")},
    "LabelMatcher": {"type": (1, "int32"), "name": (2, "string"), "value": (3, "string")},
    "ReadResponse": {"results": (1, "repeated QueryResult")},
    "QueryResult": {"timeseries": (1, "repeated TimeSeries")},
}
REQUEST, RESPONSE = message_class(MESSAGES, "ReadRequest"), message_class(MESSAGES, "ReadResponse")
EQUAL, NOT_EQUAL, REGEX, NOT_REGEX = range(4)


def matcher(kind: int, name: str, value: str) -> dict[str, Any]:
    return {"type": kind, "name": name, "value": value}


def query(start_ms: int, end_ms: int, *matchers: dict[str, Any]) -> dict[str, Any]:
    return {"start_timestamp_ms": start_ms, "end_timestamp_ms": end_ms, "matchers": list(matchers)}


def ask(server: Server, document: dict[str, Any]) -> Answer:
    body = snappy(bytes(json_format.ParseDict(document, REQUEST()).SerializeToString()))
    return server.ask("POST", PATH, {"DD-API-KEY": TENANT, "Content-Type": "application/x-protobuf"}, body)


def read(server: Server, *queries: dict[str, Any]) -> list[Sequence[Any]]:
    answer = ask(server, {"queries": list(queries)})
    assert (answer.status, answer.headers["content-type"]) == (200, "application/x-protobuf")
    assert answer.headers["content-encoding"] == "snappy"
    message = RESPONSE.FromString(bytes(cramjam.snappy.decompress_raw(answer.body)))
    return [result.timeseries for result in message.results]


def labels(series: Any) -> dict[str, str]:
    return {label.name: label.value for label in series.labels}


@pytest.fixture(scope="module")
def loaded(server: Server) -> Server:
    server.load(
        TENANT,
        """
load 15s
  m{i="b"} 1 NaN Inf -2.5
  m{i="a"} 0 stale
  other{i="a"} 7
  part {{schema:0 sum:1 count:3.5 buckets:[1.5 2]}}
  bounds {{schema:-53 sum:1 count:3 custom_values:[1] buckets:[1 2]}}
  ends {{schema:0 sum:1 count:3 buckets:[1 2]}} stale stale {{schema:0 sum:1 count:3 buckets:[1 2]}} 7
  h{i="a"} {{schema:1 sum:18.5 count:12 z_bucket:2 z_bucket_w:0.001 buckets:[3 3 0 2] n_buckets:[2]}}
""",
    )
    return server


def test_samples(loaded: Server) -> None:
    """Each value is there with all its bits, series sorted by their labels, ends of the range included."""
    (series,) = read(loaded, query(0, 45_000, matcher(EQUAL, "__name__", "m")))
    assert [labels(one) for one in series] == [{"__name__": "m", "i": "a"}, {"__name__": "m", "i": "b"}]
    first, second = ([(s.timestamp, s.value) for s in one.samples] for one in series)
    assert first[0] == (0, 0.0)
    assert struct.unpack("<Q", struct.pack("<d", first[1][1]))[0] == STALE_BITS
    assert [at for at, _ in second] == [0, 15_000, 30_000, 45_000]
    assert (second[0][1], math.isnan(second[1][1]), second[2][1], second[3][1]) == (1.0, True, math.inf, -2.5)


def test_matchers_and_several_queries(loaded: Server) -> None:
    found = read(
        loaded,
        query(0, 0, matcher(REGEX, "__name__", "m|oth.*"), matcher(NOT_EQUAL, "i", "b")),
        query(0, 0, matcher(NOT_REGEX, "__name__", "m|h|x"), matcher(EQUAL, "i", "a")),
        query(50_000, 60_000, matcher(EQUAL, "__name__", "m")),
    )
    assert [[labels(one)["__name__"] for one in series] for series in found] == [["m", "other"], ["other"], []]


def test_native_histograms(loaded: Server) -> None:
    ((series,),) = read(loaded, query(0, 0, matcher(EQUAL, "__name__", "h")))
    (histogram,) = series.histograms
    assert (histogram.count_int, histogram.sum, histogram.schema, histogram.timestamp) == (12, 18.5, 1, 0)
    assert (histogram.zero_count_int, histogram.zero_threshold) == (2, 0.001)
    assert [(span.offset, span.length) for span in histogram.positive_spans] == [(0, 2), (1, 1)] or [
        (span.offset, span.length) for span in histogram.positive_spans
    ] == [(0, 4)]
    assert sum(accumulate(histogram.positive_deltas)) == 8
    assert list(histogram.negative_deltas) == [2]
    assert not [*histogram.positive_counts, *histogram.negative_counts]


def test_histograms_that_are_not_whole_or_have_bounds_of_their_own_are_of_floats(loaded: Server) -> None:
    for name, counts in (("part", [1.5, 2]), ("bounds", [1, 2])):
        ((series,),) = read(loaded, query(0, 0, matcher(EQUAL, "__name__", name)))
        (histogram,) = series.histograms
        assert (histogram.count_float, list(histogram.positive_counts)) == (sum(counts), counts)


def test_a_series_of_histograms_ends_as_one(loaded: Server) -> None:
    ((series,),) = read(loaded, query(0, 60_000, matcher(EQUAL, "__name__", "ends")))
    assert [(one.timestamp, one.count_int) for one in series.histograms] == [
        (0, 3),
        (15_000, 0),
        (30_000, 0),
        (45_000, 3),
    ]
    assert struct.pack("<d", series.histograms[1].sum) == struct.pack("<Q", STALE_BITS)
    assert [one.timestamp for one in series.samples] == [60_000]


def test_times_of_any_century(server: Server) -> None:
    """Today's are written as one array, others one by one, and both are read the same."""
    times = np.array([1, 1 << 35, 1_795_000_000_000, (1 << 42) - 1, 1 << 42, 8_000_000_000_000], dtype=np.int64)
    values = np.arange(len(times), dtype=np.float64) + 0.5
    for name, part in (("today", times[1:4]), ("ever", times)):
        offsets = np.array([0, len(part)], dtype=np.int64)
        block = Block([{"__name__": f"times_{name}"}], offsets, part, values[: len(part)])
        server.backend.appender(TENANT).append(block)
        ((series,),) = read(server, query(0, 10**13, matcher(EQUAL, "__name__", f"times_{name}")))
        assert [s.timestamp for s in series.samples] == part.tolist()
        assert [s.value for s in series.samples] == values[: len(part)].tolist()


def test_response_types(loaded: Server) -> None:
    """Samples are what is served; a client that takes nothing else is told."""
    asked = {"queries": [query(0, 0, matcher(EQUAL, "__name__", "other"))]}
    assert ask(loaded, {**asked, "accepted_response_types": [1, 0]}).status == 200
    answer = ask(loaded, {**asked, "accepted_response_types": [1]})
    assert answer.status == 400
    assert "SAMPLES" in answer.json["error"]


@pytest.mark.parametrize(
    "body",
    [
        b"no snappy",
        snappy(b"\x0a\x7f"),
        snappy(b"\x0a\x02\x1a\x50"),
        snappy(b"\x0a\x04\x1a\x02\x08\x63"),
        snappy(b"\x0a\x04\x1a\x02\x12\xff"),
        snappy(b"\x0f"),
        snappy(b"\xff" * 11),
        snappy(b"\x00" * (2 << 20)),
        snappy(b"\x0a\x00" * 2000),
    ],
)
def test_what_is_no_request_is_refused(body: bytes, server: Server) -> None:
    answer = server.ask("POST", PATH, {"DD-API-KEY": TENANT, "Content-Type": "application/x-protobuf"}, body)
    assert (answer.status, answer.json["errorType"]) == (400, "bad_data"), answer


def test_nothing_is_asked(server: Server) -> None:
    assert read(server) == []


@pytest.mark.parametrize("content_type", [{}, {"Content-Type": "application/json"}])
def test_another_content_type_is_no_request(server: Server, content_type: dict[str, str]) -> None:
    """It would be answered as if it asked for nothing."""
    body = snappy(bytes(json_format.ParseDict({"queries": [query(0, 1)]}, REQUEST()).SerializeToString()))
    answer = server.ask("POST", PATH, {"DD-API-KEY": TENANT, **content_type}, body)
    assert answer.status == 400
    assert "with Content-Type application/x-protobuf" in answer.json["error"]


def test_a_matcher_of_no_known_type_is_named(server: Server) -> None:
    answer = ask(server, {"queries": [query(0, 1, matcher(9, "__name__", "up"))]})
    assert answer.status == 400
    assert answer.json["error"].endswith("a matcher has type 9, and there are types 0 to 3")
