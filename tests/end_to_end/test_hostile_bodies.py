"""Whatever a client sends: no 500, no hang, and what others send at the same moment is stored."""

import http.client
import json
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from threading import Barrier
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from end_to_end import columnar, wire
from end_to_end.instance import Answer, Instance, label_set
from opstrace.connections import MAX_HEAD_BYTES

V1, V2, CHECKS = "/api/v1/series", "/api/v2/series", "/api/v1/check_run"
V3, SKETCHES, VALUES = "/api/intake/metrics/v3/series", "/api/beta/sketches", "/api/v1/distribution_points"
JSON, PROTOBUF = "application/json", "application/x-protobuf"
ACCEPTED, REFUSED = 202, 400
bounded = settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))

V1_DOCUMENT = {
    "series": [
        {
            "metric": "hostile.first",
            "points": [[1764000000, 1.5], [1764000010.25, -2]],
            "type": "rate",
            "interval": 10,
            "host": "web-1",
            "device": "sda1",
            "tags": ["env:prod", "canary"],
            "source_type_name": "System",
        },
        {"metric": "hostile.second", "points": [[1764000000, 7]], "type": "count", "tags": None},
    ]
}
V2_DOCUMENT = {
    "series": [
        {
            "metric": "hostile.first",
            "points": [{"timestamp": 1764000000, "value": 1.5}, {"timestamp": 1764000010, "value": -2}],
            "type": 2,
            "interval": 10,
            "resources": [{"type": "host", "name": "web-1"}, {"type": "device", "name": "sda1"}],
            "tags": ["env:prod", "canary"],
            "source_type_name": "System",
            "metadata": {"origin": {"origin_product": 10}},
        },
        {"metric": "hostile.second", "points": [{"timestamp": 1764000000, "value": 7}], "type": 1},
    ]
}
CHECKS_DOCUMENT = [
    {"check": "hostile.check", "host_name": "web-1", "timestamp": 1764000000, "status": 0, "tags": ["env:prod"]},
    {"check": "hostile.check", "host_name": "web-2", "timestamp": 1764000000, "status": 2, "message": None},
]

VALUES_DOCUMENT = {
    "series": [
        {
            "metric": "hostile.values",
            "points": [[1764000000, [1, 1.5, -2]], [1764000010, []]],
            "type": "distribution",
            "host": "web-1",
            "device": "sda1",
            "tags": ["env:prod", "canary"],
        }
    ]
}
SKETCH = {"cnt": 3, "min": 1, "max": 2, "sum": 4, "k": [1338, 1383], "n": [2, 1]}
SKETCHES_DOCUMENT = {
    "sketches": [
        {
            "metric": "hostile.sketch",
            "host": "web-1",
            "tags": ["env:prod"],
            "dogsketches": [{"ts": 1764000000, **SKETCH}],
        },
        {"metric": "hostile.sketch", "dogsketches": [{"ts": 1764000000, **SKETCH}, {"ts": 1764000010, **SKETCH}]},
    ]
}
COLUMNAR_DOCUMENT = {
    "series": [
        {"metric": "hostile.column", "type": "gauge", "points": [[1764000000, 1.5]], "tags": ["env:prod", "canary"]},
        {
            "metric": "hostile.column",
            "type": "rate",
            "points": [[1764000000, 7]],
            "tags": ["env:prod"],
            "unit": "byte",
        },
        {
            "metric": "hostile.sketch",
            "type": "sketch",
            "points": [[1764000000, SKETCH]],
            "resources": [["host", "web-1"]],
        },
    ]
}

HOST_DOCUMENT = {
    "apiKey": "",
    "agentVersion": "7.75.3",
    "internalHostname": "hostile-host",
    "os": "linux",
    "systemStats": {"cpuCores": 4, "platform": "linux", "nixV": ["debian", "12", ""]},
    "meta": {
        "socket-hostname": "hostile-host",
        "instance-id": "i-hostile",
        "timezones": ["UTC"],
        "host_aliases": ["h"],
    },
    "host-tags": {"system": ["env:hostile", "team:web"]},
    "external_host_tags": [["hostile-vm", {"vsphere": ["cluster:a"]}]],
    "agent_checks": [["ntp", "ntp", "ntp:1", "OK", "", ""]],
    "gohai": '{"memory":{"total":"1024kB"}}',
    "install-method": {"tool": "dpkg", "tool_version": "1", "installer_version": None},
    "events": {"api": [{"msg_title": "hostile", "msg_text": "event", "tags": ["a:b"], "host": "hostile-host"}]},
    "service_checks": [{"check": "hostile.check", "host_name": "hostile-host", "status": 0}],
}
INVENTORY_DOCUMENT = {
    "hostname": "hostile-host",
    "timestamp": 1700000000123456789,
    "host_metadata": {"cpu_logical_processors": 8, "memory_total_kb": 2048, "os": "linux", "agent_version": "7.75.3"},
    "agent_metadata": {"agent_version": "7.75.3", "flavor": "agent"},
}
TAGS_DOCUMENT = {"tags": ["env:hostile", "team:web"]}

# Every kind of JSON value, among them those a decoder trips over: huge numbers, lone surrogates, odd names.
foreign = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from([2**63, -(2**63) - 1, 2**64, 10**400, -1, 0])
    | st.floats()
    | st.text(alphabet=st.characters(), max_size=20)
    | st.sampled_from(
        ["", "\ud800", "\udfff\ud800", "\0", "NaN", "1e999", "-", ":", "a:", ":a", "\u202e", "💥" * 50]
    ),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=8,
)


def paths(document: Any, here: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the way to every value inside the document, and to the document itself."""
    yield here
    kind = type(document)
    items = document.items() if kind is dict else enumerate(document) if kind is list else ()
    for key, value in items:
        yield from paths(value, (*here, key))


def replaced(document: Any, path: tuple[Any, ...], value: Any) -> Any:
    """Return the document with another value at the end of the path."""
    if not path:
        return value
    copy = dict(document) if isinstance(document, dict) else list(document)
    copy[path[0]] = replaced(document[path[0]], path[1:], value)
    return copy


@st.composite
def confused(draw: st.DrawFn, document: Any) -> bytes:
    """Return the JSON of a document in which a few values are of another kind."""
    for _ in range(draw(st.integers(1, 3))):
        document = replaced(document, draw(st.sampled_from(list(paths(document)))), draw(foreign))
    return json.dumps(document).encode()


@st.composite
def damaged(draw: st.DrawFn, body: bytes) -> bytes:
    """Return the body cut, with bits flipped, or with a piece of it repeated elsewhere."""
    damage = bytearray(body)
    for position, bit in draw(st.lists(st.tuples(st.integers(0, len(body) - 1), st.integers(0, 7)), max_size=6)):
        damage[position] ^= 1 << bit
    first, last, where = sorted(draw(st.tuples(*[st.integers(0, len(damage))] * 3)))
    if draw(st.booleans()):
        damage[where:where] = damage[first:last]
    return bytes(damage[: draw(st.integers(0, len(damage)))] if draw(st.booleans()) else damage)


def varint(number: int) -> bytes:
    """Return a number as protobuf writes it."""
    low, rest = number & 0x7F, number >> 7
    return bytes([low | 0x80]) + varint(rest) if rest else bytes([low])


def record(number: int, body: bytes | int) -> bytes:
    """Return one field of a message: a varint, or bytes behind their length."""
    if isinstance(body, int):
        return varint(number << 3) + varint(body)
    return varint(number << 3 | 2) + varint(len(body)) + body


numbers = st.integers(1, 9) | st.sampled_from([15, 16, 1000, 2**29 - 1])
scalar = st.integers(0, 2**64 - 1) | st.binary(max_size=16)
# Messages whose field numbers are ours and whose field types are anybody's.
messages = st.recursive(
    st.lists(st.builds(record, numbers, scalar), max_size=5).map(b"".join),
    lambda inner: st.lists(st.builds(record, numbers, inner | scalar), max_size=5).map(b"".join),
    max_leaves=12,
)

_neighbours = count()


@pytest.fixture(scope="module")
def senders() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(16) as pool:
        yield pool


def post(instance: Instance, path: str, media_type: str, body: bytes) -> Answer:
    return instance.send("POST", path, body, {"DD-API-KEY": instance.key(), "Content-Type": media_type})


def survives(instance: Instance, senders: ThreadPoolExecutor, path: str, media_type: str, body: bytes) -> None:
    """Send the body beside a good one; it is taken or refused in Datadog's shape, and the good one is stored."""
    now, name = int(time.time()), f"hostile.neighbour.{next(_neighbours)}"
    good = json.dumps({"series": [{"metric": name, "points": [[now, 1]], "host": "web-1"}]}).encode()
    hostile = senders.submit(post, instance, path, media_type, body)
    neighbour = senders.submit(post, instance, V1, JSON, good)
    assert neighbour.result().status == ACCEPTED
    answer = hostile.result()
    assert answer.status in {ACCEPTED, REFUSED}, answer
    assert answer.status == ACCEPTED or list(answer.json()) == ["errors"]
    stored = name.replace(".", "_")
    labels = label_set({"__name__": stored, "instance": "web-1", "job": "ddagent", "type": "gauge"})
    assert instance.samples(stored, now + 1, 60) == {labels: {now * 1000: "1"}}


@bounded
@given(body=confused(V1_DOCUMENT))
def test_v1_with_values_of_another_kind(instance: Instance, senders: ThreadPoolExecutor, body: bytes) -> None:
    survives(instance, senders, V1, JSON, body)


@bounded
@given(body=confused(V2_DOCUMENT))
def test_v2_json_with_values_of_another_kind(instance: Instance, senders: ThreadPoolExecutor, body: bytes) -> None:
    survives(instance, senders, V2, JSON, body)


@bounded
@given(body=confused(CHECKS_DOCUMENT))
def test_checks_with_values_of_another_kind(instance: Instance, senders: ThreadPoolExecutor, body: bytes) -> None:
    survives(instance, senders, CHECKS, JSON, body)


@bounded
@given(
    body=confused(HOST_DOCUMENT) | confused(INVENTORY_DOCUMENT),
    path=st.sampled_from(["/intake/", "/api/v1/metadata"]),
)
def test_metadata_with_values_of_another_kind(
    instance: Instance, senders: ThreadPoolExecutor, body: bytes, path: str
) -> None:
    """Whatever hosts say of themselves, their list can be read."""
    survives(instance, senders, path, JSON, body)
    for listed in ("/api/v1/hosts?include_hosts_metadata=true&filter=hostile", "/admin/hosts", "/api/v1/tags/hosts"):
        answer = instance.send("GET", listed, headers={"DD-API-KEY": instance.key()})
        assert answer.status == 200, answer
        answer.json()


@bounded
@given(body=confused(TAGS_DOCUMENT), method=st.sampled_from(["POST", "PUT"]), host=st.text(min_size=1, max_size=20))
def test_tags_by_hand_of_another_kind(instance: Instance, body: bytes, method: str, host: str) -> None:
    path = f"/api/v1/tags/hosts/{quote(host, safe='', errors='replace')}"
    answer = instance.send(method, path, body, {"DD-API-KEY": instance.key(), "Content-Type": JSON})
    assert answer.status in {201, ACCEPTED, REFUSED}, answer


words = st.sampled_from(
    [
        "a",
        "-",
        "!",
        "NOT",
        "AND",
        "OR",
        "(",
        ")",
        '"',
        "\\",
        "key:",
        "key:v",
        "@a.b:*",
        "x:(",
        ":",
        "*",
        "%",
        "_",
        "é",
        "\0",
    ]
)


@bounded
@given(query=st.lists(words, max_size=12).map(" ".join) | st.text(max_size=30))
def test_any_search_is_answered(instance: Instance, query: str) -> None:
    body = json.dumps({"filter": {"query": query, "from": "now-1h"}}).encode()
    answer = instance.send("POST", "/api/v2/events/search", body, {"DD-API-KEY": instance.key()})
    assert answer.status in {200, REFUSED}, answer


@bounded
@given(body=damaged(json.dumps(V1_DOCUMENT).encode()))
def test_v1_damaged(instance: Instance, senders: ThreadPoolExecutor, body: bytes) -> None:
    survives(instance, senders, V1, JSON, body)


@bounded
@given(body=damaged(wire.metric_payload(V2_DOCUMENT)))
def test_v2_protobuf_damaged(instance: Instance, senders: ThreadPoolExecutor, body: bytes) -> None:
    survives(instance, senders, V2, PROTOBUF, body)


@bounded
@given(body=confused(VALUES_DOCUMENT))
def test_distribution_points_of_another_kind(instance: Instance, senders: ThreadPoolExecutor, body: bytes) -> None:
    survives(instance, senders, VALUES, JSON, body)


@bounded
@given(body=damaged(wire.sketch_payload(SKETCHES_DOCUMENT)))
def test_sketches_damaged(instance: Instance, senders: ThreadPoolExecutor, body: bytes) -> None:
    survives(instance, senders, SKETCHES, PROTOBUF, body)


@bounded
@given(body=damaged(columnar.payload(COLUMNAR_DOCUMENT)))
def test_columns_damaged(instance: Instance, senders: ThreadPoolExecutor, body: bytes) -> None:
    survives(instance, senders, V3, PROTOBUF, body)


@bounded
@given(body=messages, path=st.sampled_from([V3, SKETCHES]))
def test_distributions_of_another_schema(
    instance: Instance, senders: ThreadPoolExecutor, body: bytes, path: str
) -> None:
    survives(instance, senders, path, PROTOBUF, body)


@bounded
@given(body=messages)
def test_v2_protobuf_of_another_schema(instance: Instance, senders: ThreadPoolExecutor, body: bytes) -> None:
    survives(instance, senders, V2, PROTOBUF, body)


@bounded
@given(body=damaged(wire.ENCODERS["zstd, three frames"](json.dumps(V1_DOCUMENT).encode())), data=st.data())
def test_compressed_body_damaged(
    instance: Instance, senders: ThreadPoolExecutor, body: bytes, data: st.DataObject
) -> None:
    encoding = data.draw(st.sampled_from(["zstd", "gzip", "deflate", "zstd1"]))
    headers = {"DD-API-KEY": instance.key(), "Content-Type": JSON, "Content-Encoding": encoding}
    assert instance.send("POST", V1, body, headers).status in {ACCEPTED, REFUSED}


BROKEN = [
    (V1, JSON, b'{"series": [{"metric": "hostile.broken", "points": [['),
    (V2, JSON, b'{"series": [{"metric": "hostile.broken"'),
    (V2, PROTOBUF, wire.metric_payload(V2_DOCUMENT)[:-3]),
    (CHECKS, JSON, b'[{"check": "hostile.broken", "status": 0}'),
    (V3, PROTOBUF, columnar.payload(COLUMNAR_DOCUMENT)[:-3]),
    (SKETCHES, PROTOBUF, wire.sketch_payload(SKETCHES_DOCUMENT)[:-3]),
    (VALUES, JSON, b'{"series": [{"metric": "hostile.broken", "points": [['),
]


def test_broken_bodies_are_singled_out_of_a_commit(instance: Instance, senders: ThreadPoolExecutor) -> None:
    """Sixteen bodies at one moment, every second one broken: each gets the verdict it deserves."""
    now, together = int(time.time()), Barrier(16)

    def good(number: int) -> bytes:
        point = {"timestamp": now, "value": 1}
        series = {"metric": "hostile.together", "type": 3, "points": [point], "tags": [f"number:{number}"]}
        return wire.metric_payload({"series": [series]})

    def send(number: int) -> int:
        broken = BROKEN[number // 2 % len(BROKEN)]
        path, media_type, body = (V2, PROTOBUF, good(number)) if number % 2 else broken
        together.wait(timeout=10)
        return post(instance, path, media_type, body).status

    assert list(senders.map(send, range(16))) == [REFUSED, ACCEPTED] * 8
    found = instance.samples("hostile_together", now + 1, 60)
    assert sorted(int(dict(labels)["number"]) for labels in found) == list(range(1, 16, 2))
    assert instance.series("hostile_broken", now - 60, now + 60) == set()


@pytest.mark.parametrize(
    ("path", "start", "end"),
    [
        ("/api/v1/series", b'{"series": [{"metric": "hostile.large", "tags": ["\xff', b'"]}]}'),
        ("/api/v2/series", b'{"series": [{"metric": "hostile.large", "tags": ["\xff', b'"]}]}'),
        ("/api/v1/check_run", b'[{"check": "hostile.large", "status": 0, "message": "\xff', b'"}]'),
        ("/intake/", b'{"internalHostname": "large", "events": {"a": [{"msg_title": "\xff', b'"}]}}'),
        ("/api/v1/series", b'[{"metric": "hostile.large", "tags": ["', b'"]}]'),
        ("/api/v1/series", b'{"series": {"a": "', b'"}}'),
    ],
)
def test_a_body_too_large_to_mend_is_refused(instance: Instance, path: str, start: bytes, end: bytes) -> None:
    """What nothing can be read of is not said to be stored."""
    body = wire.ENCODERS["gzip"](start + b"x" * (9 << 20) + end)
    headers = {"DD-API-KEY": instance.key(), "Content-Type": "application/json", "Content-Encoding": "gzip"}
    assert instance.send("POST", path, body, headers).status == 400


def test_a_sender_of_too_much_reads_why_and_goes_on(instance: Instance) -> None:
    """Most clients read no answer before all is sent; one whose connection is reset meanwhile sends for ever."""
    connection = http.client.HTTPConnection(instance.host, instance.http_port, timeout=30)
    headers = {"DD-API-KEY": instance.key(), "Content-Type": "application/json"}
    for body in (bytes(12 << 20), iter([bytes(1 << 20)] * 12)):
        connection.request("POST", "/api/v2/logs", body, headers)
        answer = connection.getresponse()
        assert (answer.status, json.loads(answer.read())) == (413, {"errors": ["payload too large"]})
    connection.request("GET", "/_health")
    assert connection.getresponse().status == 200
    connection.close()


def test_a_body_that_is_held_back_ends_its_connection(instance: Instance) -> None:
    """A sender who waits to be asked for its body, and is refused first, may never send it (RFC 9110, 10.1.1)."""
    request = (
        b"POST /api/v1/series HTTP/1.1\r\nHost: a\r\nDD-API-KEY: wrong\r\nContent-Type: application/json\r\n"
        b"Content-Length: 100\r\nExpect: 100-continue\r\n\r\n"
    )
    with socket.create_connection((instance.host, instance.http_port), timeout=30) as connection:
        connection.sendall(request)
        answer = b""
        while piece := connection.recv(65536):
            answer += piece
    assert answer.startswith(b"HTTP/1.1 403")
    assert b"connection: close" in answer.lower()


def test_a_large_head_is_refused(instance: Instance) -> None:
    """A header that comes in pieces is put together again with each: nobody else is answered meanwhile."""
    with socket.create_connection((instance.host, instance.http_port), timeout=30) as connection:
        connection.sendall(b"GET /_health HTTP/1.1\r\nHost: a\r\nX: ")
        connection.sendall(b"a" * (MAX_HEAD_BYTES))
        assert connection.recv(65536).startswith(b"HTTP/1.1 431 ")
    assert instance.send("GET", "/_health").status == 200
