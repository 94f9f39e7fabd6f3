"""The bodies that are sent: series as Agents have them, in v1 JSON, v2 protobuf and Prometheus's remote write."""

import json
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from end_to_end import wire

# prometheus/prometheus: prompb/remote.proto, prompb/types.proto.
REMOTE_WRITE: wire.Messages = {
    "WriteRequest": {"timeseries": (1, "repeated TimeSeries")},
    "TimeSeries": {"labels": (1, "repeated Label"), "samples": (2, "repeated Sample")},
    "Label": {"name": (1, "string"), "value": (2, "string")},
    "Sample": {"value": (1, "double"), "timestamp": (2, "int64")},
}
WRITE_REQUEST = wire.message_class(REMOTE_WRITE, "WriteRequest")
HOSTS = 100
_SNAPPY_LITERAL = 60_000  # bytes; a literal's length is written in two bytes
_TWO_BYTE_LENGTH = 61 << 2


@dataclass(frozen=True)
class Family:
    """How one wire format is sent: path below the product's API, media type, encoding."""

    path: str
    media_type: str
    encoding: str


V1 = Family("/api/v1/series", "application/json", "deflate")
V2 = Family("/api/v2/series", "application/x-protobuf", "deflate")
V2_ZSTD = Family("/api/v2/series", "application/x-protobuf", "zstd")
V3 = Family("/api/intake/metrics/v3/series", "application/x-protobuf", "deflate")
SKETCHES = Family("/api/beta/sketches", "application/x-protobuf", "deflate")
LOGS = Family("/api/v2/logs", "application/json", "deflate")
WRITE = Family("/write", "application/x-protobuf", "snappy")


@dataclass(frozen=True)
class OneSeries:
    """A series with its points, (seconds, value)."""

    metric: str
    host: str
    tags: Sequence[tuple[str, str]]
    points: Sequence[tuple[int, float]]


def population(count: int, generation: int, points: Sequence[tuple[int, float]]) -> Iterator[OneSeries]:
    """Yield `count` series with 5 tags each; another generation has none in common with this one."""
    for number in range(count):
        tags = [
            ("env", "production"),
            ("region", f"eu-west-{number % 3}"),
            ("service", f"checkout-{number % 20}"),
            ("version", f"2.{number % 7}.{number % 13}"),
            ("pod", f"checkout-{generation}-{number:06d}"),
        ]
        shifted = [(timestamp, value + number / 8) for timestamp, value in points]
        yield OneSeries(f"bench_metric_{number // HOSTS % 50}", f"host-{number % HOSTS:03d}", tags, shifted)


def v1(series: Sequence[OneSeries]) -> bytes:
    """Return a body as Agents up to 7.40 send it."""
    document = [
        {
            "metric": one.metric,
            "points": one.points,
            "tags": [f"{key}:{value}" for key, value in one.tags],
            "host": one.host,
            "type": "gauge",
            "interval": 0,
            "source_type_name": "System",
        }
        for one in series
    ]
    return zlib.compress(json.dumps({"series": document}, separators=(",", ":")).encode(), 6)


def v2(series: Sequence[OneSeries]) -> bytes:
    """Return a body as Agents from 7.41 on send it."""
    return zlib.compress(v2_message(series), 6)


def v2_message(series: Sequence[OneSeries]) -> bytes:
    """Return the same, before it is compressed."""
    payload = wire.METRIC_PAYLOAD()
    for one in series:
        added = payload.series.add(metric=one.metric, type=3, source_type_name="System")
        added.resources.add(type="host", name=one.host)
        added.tags.extend(f"{key}:{value}" for key, value in one.tags)
        for timestamp, value in one.points:
            added.points.add(timestamp=timestamp, value=value)
    return bytes(payload.SerializeToString())


def remote_write(series: Sequence[OneSeries]) -> bytes:
    """Return the same as a Prometheus client sends it, labels included that the Datadog API adds."""
    request = WRITE_REQUEST()
    for one in series:
        added = request.timeseries.add()
        for name, text in sorted(labels(one).items()):
            added.labels.add(name=name, value=text)
        for timestamp, value in one.points:
            added.samples.add(timestamp=timestamp * 1000, value=value)
    return snappy(request.SerializeToString())


def labels(one: OneSeries) -> dict[str, str]:
    """Return the labels the series has in Prometheus."""
    return {"__name__": one.metric, "instance": one.host, "job": "ddagent", "type": "gauge", **dict(one.tags)}


def snappy(data: bytes) -> bytes:
    """Return a Snappy block of literals: cheaper to read for the peer than a compressed one
    (google/snappy: format_description.txt).
    """
    head, size = bytearray(), len(data)
    while size > 0x7F:
        head.append(size & 0x7F | 0x80)
        size >>= 7
    pieces = [bytes([*head, size])]
    for start in range(0, len(data), _SNAPPY_LITERAL):
        literal = data[start : start + _SNAPPY_LITERAL]
        pieces += [bytes([_TWO_BYTE_LENGTH]) + (len(literal) - 1).to_bytes(2, "little"), literal]
    return b"".join(pieces)
