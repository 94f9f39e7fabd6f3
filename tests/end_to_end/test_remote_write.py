"""Remote write against a real instance: series keep their own labels, and each sender is told its verdict."""

import base64
import struct
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest

from end_to_end.instance import Answer, Instance, label_set, running
from end_to_end.remote_write import HEADERS_V1, HEADERS_V2, Document, request, snappy, with_marker, write_request
from opstrace.intake.remote_write.decoder import MAX_BUCKETS

WRITE = "/prometheus/api/v1/write"
Counts = tuple[int, int, int]
MARKER = 12345.678  # stands for the end of a series until it is on the wire
FORMS: dict[str, tuple[Callable[[Document], bytes], Mapping[str, str]]] = {
    "1.0": (write_request, HEADERS_V1),
    "2.0": (request, HEADERS_V2),
}
HISTOGRAM = {
    "count_int": 12,
    "sum": 18.5,
    "schema": 1,
    "zero_threshold": 0.001,
    "zero_count_int": 2,
    "positive_spans": [{"offset": 0, "length": 2}, {"offset": 3, "length": 1}],
    "positive_deltas": [3, 0, -1],
    "negative_spans": [{"offset": -1, "length": 1}],
    "negative_deltas": [2],
}
SHOWN = {
    "count": "12",
    "sum": "18.5",
    "buckets": [
        [1, "-0.7071067811865475", "-0.5", "2"],
        [3, "-0.001", "0.001", "2"],
        [0, "0.7071067811865475", "1", "3"],
        [0, "1", "1.414213562373095", "3"],
        [0, "4", "5.65685424949238", "2"],
    ],
}


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Instance]:
    """An instance with narrow limits."""
    limits = {
        "max_tags": 4,
        "max_tag_bytes": 40,
        "max_name_bytes": 30,
        "max_series": 6,
        "max_inflated_bytes": 100_000,
    }
    with running(tmp_path_factory.mktemp("small"), "small", {"tenants": ["default"], "limits": limits}) as started:
        yield started


@pytest.fixture(params=FORMS)
def form(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def send(instance: Instance, body: bytes, headers: Mapping[str, str], **more: str) -> Answer:
    key = {"Authorization": f"Bearer {instance.key()}"}
    return instance.send("POST", WRITE, snappy(body), {**headers, **key, **more})


def sent(instance: Instance, form: str, *series: Document) -> Answer:
    encode, headers = FORMS[form]
    return send(instance, with_marker(encode({"timeseries": series}), MARKER), headers)


def written(answer: Answer) -> Counts | None:
    """Return how many samples, histograms and exemplars an answer says are written, if it says so."""
    names = [f"x-prometheus-remote-write-{kind}-written" for kind in ("samples", "histograms", "exemplars")]
    if not answer.headers.keys() & set(names):
        return None
    return tuple(int(answer.headers[name]) for name in names)  # type: ignore[return-value]


def said(form: str, counts: Counts) -> Counts | None:
    """Return what an answer to a version says of how much was written: senders of 1.0 expect nothing."""
    return counts if form == "2.0" else None


def complaint(answer: Answer) -> str:
    document = answer.json()
    assert document["status"] == "error", document
    return str(document["error"])


def now_ms() -> int:
    return int(time.time()) * 1000


def test_a_series_keeps_its_own_labels(instance: Instance, form: str) -> None:
    """No label is added, none is renamed, the order does not matter, and a value is what was sent, bit for bit."""
    at_ms, name = now_ms(), f"own_labels_{form[0]}"
    labels = {"zone": "b", "job": "api", "__name__": name, "instance": "h:1", "service.name": "ä", "empty": ""}
    values = [0.1, float("inf"), float("nan"), -0.0]
    samples = [{"timestamp": at_ms - 1000 * n, "value": _json(value)} for n, value in enumerate(values)]
    answer = sent(instance, form, {"labels": labels, "samples": samples})
    assert (answer.status, answer.body, written(answer)) == (204, b"", said(form, (4, 0, 0)))
    found = instance.samples(name, at_ms / 1000, 60)
    kept = label_set({key: value for key, value in labels.items() if value})
    assert found == {kept: {at_ms: "0.1", at_ms - 1000: "+Inf", at_ms - 2000: "NaN", at_ms - 3000: "-0"}}
    assert instance.series(name, at_ms / 1000 - 60, at_ms / 1000) == {kept}


def _json(value: float) -> float | str:
    names = {"inf": "Infinity", "nan": "NaN"}
    return names.get(str(value), value)


def test_a_marker_ends_a_series(instance: Instance, form: str) -> None:
    """Stale markers of numbers and of histograms come through with all their bits."""
    at_ms, name = now_ms(), f"ending_{form[0]}"
    floats = [{"timestamp": at_ms - 9000, "value": 1}, {"timestamp": at_ms - 4000, "value": MARKER}]
    histograms = [{**HISTOGRAM, "timestamp": at_ms - 9000}, {"timestamp": at_ms - 4000, "sum": MARKER}]
    answer = sent(
        instance,
        form,
        {"labels": {"__name__": name, "kind": "float"}, "samples": floats},
        {"labels": {"__name__": name, "kind": "histogram"}, "histograms": histograms},
    )
    assert (answer.status, written(answer)) == (204, said(form, (2, 2, 0)))
    before, after = (
        instance.ask("query", {"query": f"count({name})", "time": str(at_ms / 1000 - ago)}) for ago in (5, 3)
    )
    assert (before["result"][0]["value"][1], after["result"]) == ("2", [])


def test_native_histograms(instance: Instance, form: str) -> None:
    """Exponential and custom buckets, of integers and of floats, are what they were."""
    at_ms, name = now_ms(), f"native_{form[0]}"
    floats = {
        **{key: value for key, value in HISTOGRAM.items() if not key.endswith(("_int", "_deltas"))},
        "count_float": 12,
        "zero_count_float": 2,
        "positive_counts": [3, 3, 2],
        "negative_counts": [2],
        "reset_hint": 3,
    }
    custom = {
        "count_int": 6,
        "sum": 11,
        "schema": -53,
        "custom_values": [1, 2.5, 10],
        "positive_spans": [{"offset": 0, "length": 2}, {"offset": 1, "length": 1}],
        "positive_deltas": [1, 1, 1],
    }
    kinds = {"integers": HISTOGRAM, "floats": floats, "custom": custom}
    series = [
        {"labels": {"__name__": name, "kind": kind}, "histograms": [{**one, "timestamp": at_ms}]}
        for kind, one in kinds.items()
    ]
    answer = sent(instance, form, *series)
    assert (answer.status, written(answer)) == (204, said(form, (0, 3, 0)))
    found = {
        row["metric"]["kind"]: row["histogram"][1]
        for row in instance.ask("query", {"query": name, "time": str(at_ms / 1000)})["result"]
    }
    assert found["integers"] == found["floats"] == SHOWN
    assert found["custom"]["buckets"] == [[3, "-Inf", "1", "1"], [0, "1", "2.5", "2"], [0, "10", "+Inf", "3"]]


def test_a_reset_of_a_native_histogram_is_seen_in_the_data(instance: Instance, form: str) -> None:
    """What the sender took it for is no matter: 1 is a reset, 2 is none."""
    at_ms, name = now_ms(), f"reset_{form[0]}"

    def sample(count: int, ago: int, hint: int) -> dict[str, Any]:
        spans, deltas = [{"offset": 0, "length": 1}], [count]
        timestamp = at_ms - 15_000 * ago
        return {"count_int": count, "positive_spans": spans, "positive_deltas": deltas, "reset_hint": hint,
                "timestamp": timestamp}  # fmt: skip

    series = [
        {
            "labels": {"__name__": name, "hint": str(hint)},
            "histograms": [sample(count, 3 - n, hint) for n, count in enumerate((10, 20, 5, 15))],
        }
        for hint in range(3)
    ]
    assert sent(instance, form, *series).status == 204
    grown = instance.vector(f"histogram_count(increase({name}[45s:15s]))", at_ms / 1000)
    assert len(grown) == 3
    assert len(set(grown.values())) == 1


def test_start_timestamps(instance: Instance) -> None:
    """A counter that says when it began is known from its first sample on; a later body may say nothing."""
    at_ms = now_ms() - 60_000
    began = {"start_timestamp": at_ms - 30_000}
    floats = {"labels": {"__name__": "begun_total"}, "samples": [{"timestamp": at_ms, "value": 60, **began}]}
    native = {"labels": {"__name__": "begun"}, "histograms": [{**HISTOGRAM, "timestamp": at_ms, **began}]}
    assert written(sent(instance, "2.0", floats, native)) == (1, 1, 0)
    later = {"labels": {"__name__": "begun_total"}, "samples": [{"timestamp": at_ms + 10_000, "value": 70}]}
    assert written(sent(instance, "2.0", later)) == (1, 0, 0)

    def asked(query: str, moment_ms: int) -> list[str]:
        return list(instance.vector(query, moment_ms / 1000).values())

    for name in ("begun_total", "begun"):
        assert asked(f"start_timestamp({name})", at_ms) == [f"{(at_ms - 30_000) / 1000:.15g}"]
    assert asked("start_timestamp(begun_total)", at_ms + 10_000) == ["0"]
    assert asked("increase(begun_total[1m])", at_ms) == ["60"]
    assert asked("histogram_count(increase(begun[1m]))", at_ms) == ["12"]
    assert asked("begun_total", at_ms + 10_000) == ["70"]
    assert asked("count(begun_total)", at_ms + 10_000) == ["1"]


def test_late_repeated_and_unsorted_samples(instance: Instance, form: str) -> None:
    """A sample may come late and in any order; one that comes again counts once, the last word holds."""
    at_ms, name = now_ms(), f"late_{form[0]}"
    labels = {"__name__": name}

    def samples(*pairs: tuple[int, float]) -> Document:
        return {"labels": labels, "samples": [{"timestamp": at_ms - ago, "value": value} for ago, value in pairs]}

    for pairs in ([(1000, 3.0), (2000, 2.0)], [(5000, 1.0), (1000, 3.0)], [(2000, 7.0)]):
        assert sent(instance, form, samples(*pairs)).status == 204
    found = instance.samples(name, at_ms / 1000, 60)
    assert found == {label_set(labels): {at_ms - 5000: "1", at_ms - 2000: "7", at_ms - 1000: "3"}}


def test_metadata(instance: Instance, form: str) -> None:
    """What is told of a metric is shown as it was told, and told anew."""
    encode, headers = FORMS[form]
    name = f"told_{form[0]}"
    for help_text in ("Requests so far.", "All requests."):
        told = {"type": 1, "help": help_text, "unit": "requests"}
        document: Document = {"metadata": [{**told, "metric_family_name": name}]}
        if form == "2.0":
            series = {"labels": {"__name__": name}, "samples": [{"timestamp": now_ms(), "value": 1}]}
            document = {"timeseries": [{**series, "metadata": told}]}
        assert send(instance, encode(document), headers).status == 204
        found = instance.ask("metadata", {"metric": name})
        assert found == {name: [{"type": "counter", "help": help_text, "unit": "requests"}]}
    assert (
        sent(instance, "1.0", {"labels": {"__name__": name}, "samples": [{"timestamp": now_ms(), "value": 1}]}).status
        == 204
    )
    catalogue = instance.send("GET", "/admin/metrics", headers={"DD-API-KEY": instance.key()}).json()["metrics"]
    (entry,) = (entry for entry in catalogue if entry["name"] == name)
    assert (entry["type"], entry["unit"]) == ("counter", "requests")


def test_metadata_told_again_are_no_duplicate(instance: Instance) -> None:
    """A Prometheus tells them every minute, in the same bytes: nothing of that came in vain."""
    body = write_request({"metadata": [{"type": 1, "help": "Again.", "metric_family_name": "told_again"}]})
    for _ in range(2):
        assert send(instance, body, HEADERS_V1, **{"User-Agent": "Prometheus/3.6.0"}).status == 204
    answer = instance.send("GET", "/admin/losses", headers={"DD-API-KEY": instance.key()})
    rows = [row for row in answer.json()["entries"] if row["version"] == "Prometheus/3.6.0"]
    shown = {(row["unit"], row["outcome"]): row["total"] for row in rows}
    assert (shown["payloads", "received"], shown["payloads", "stored"]) == (2, 2)


def test_metadata_of_a_classic_histogram_are_its_familys(instance: Instance) -> None:
    labels = {"__name__": "told_family_bucket", "le": "+Inf"}
    series = {"labels": labels, "samples": [{"timestamp": now_ms(), "value": 1}], "metadata": {"type": 3}}
    assert sent(instance, "2.0", series).status == 204
    assert instance.ask("metadata", {"metric": "told_family"})["told_family"][0]["type"] == "histogram"


def test_exemplars_are_counted(instance: Instance, form: str) -> None:
    """They are not kept; senders would take fewer than they sent for a fault, and log it for each request."""
    exemplars = [{"value": 3, "timestamp": now_ms()}] * 2
    series = {"labels": {"__name__": "ex"}, "samples": [{"timestamp": now_ms(), "value": 1}], "exemplars": exemplars}
    before = _counted(instance, 'opstrace_write_refused_total{kind="exemplars",reason="not_kept"')
    answer = sent(instance, form, series)
    assert (answer.status, written(answer)) == (204, said(form, (1, 0, 2)))
    assert _counted(instance, 'opstrace_write_refused_total{kind="exemplars",reason="not_kept"') - before == 2


def test_a_series_of_exemplars_alone_is_no_fault(instance: Instance, form: str) -> None:
    """Prometheus sends exemplars so, beside their series; the books say what they were."""
    series = {"labels": {"__name__": "ex_alone"}, "exemplars": [{"value": 3, "timestamp": now_ms()}]}
    answer = sent(instance, form, series)
    assert (answer.status, written(answer)) == (204, said(form, (0, 0, 1)))
    ledger = instance.send("GET", "/admin/losses", headers={"DD-API-KEY": instance.key()}).json()["entries"]
    assert {one["reason"] for one in ledger if one["unit"] == "series" and one["outcome"] == "refused"} >= {
        "not_kept"
    }


def _counted(instance: Instance, prefix: str) -> float:
    text = instance.send("GET", "/metrics", headers={"DD-API-KEY": instance.key("system")}).body.decode()
    return sum(float(line.rpartition(" ")[2]) for line in text.splitlines() if line.startswith(prefix))


BAD_SERIES: dict[str, tuple[str, Any]] = {
    "no name": ("no_name", {"a": "b"}),
    "an empty name": ("no_name", {"__name__": "", "a": "b"}),
    "a label twice": (
        "bad_labels",
        [{"name": n, "value": v} for n, v in (("__name__", "m"), ("a", "b"), ("a", "c"))],
    ),
    "a label without a name": ("bad_labels", [{"name": "__name__", "value": "m"}, {"name": "", "value": "c"}]),
}


@pytest.mark.parametrize("fault", BAD_SERIES)
def test_the_good_part_of_a_request_is_stored(fault: str, instance: Instance, form: str) -> None:
    """A series that cannot be costs its neighbours nothing, and 400 says so: the sender must not send again."""
    reason, labels = BAD_SERIES[fault]
    at_ms, name = now_ms(), f"good_part_{form[0]}_{fault.replace(' ', '_')}"
    sample = {"timestamp": at_ms, "value": 1}
    answer = sent(
        instance, form, {"labels": labels, "samples": [sample]}, {"labels": {"__name__": name}, "samples": [sample]}
    )
    assert (answer.status, written(answer)) == (400, said(form, (1, 0, 0)))
    assert f"1 {reason}" in complaint(answer)
    assert list(instance.vector(name, at_ms / 1000).values()) == ["1"]


BAD_HISTOGRAMS: dict[str, Document] = {
    "fewer counts than buckets": {"positive_deltas": [3]},
    "a negative count": {"positive_deltas": [3, -4, 1]},
    "less than its buckets": {"count_int": 3},
    "more than its buckets": {"count_int": 13},
    "an unknown schema": {"schema": 9},
    "spans that lie over each other": {"positive_spans": [{"offset": 0, "length": 2}, {"offset": -1, "length": 1}]},
    "an endless span": {"positive_spans": [{"offset": 0, "length": 4294967295}]},
    "buckets beyond all numbers": {"positive_spans": [{"offset": 2147483647, "length": 3}]},
    "bounds that fall": {"schema": -53, "custom_values": [2, 1, 3]},
    "too many buckets": {
        "positive_spans": [{"offset": 0, "length": MAX_BUCKETS + 1}],
        "positive_deltas": [0] * (MAX_BUCKETS + 1),
    },
    "too many bounds": {
        "schema": -53,
        "zero_count_int": 0,
        "negative_spans": [],
        "negative_deltas": [],
        "custom_values": [*range(MAX_BUCKETS + 1)],
    },
}


@pytest.mark.parametrize("fault", BAD_HISTOGRAMS)
def test_a_histogram_that_cannot_be_is_refused(fault: str, instance: Instance, form: str) -> None:
    at_ms = now_ms()
    histograms = [
        {**HISTOGRAM, "timestamp": at_ms},
        {**HISTOGRAM, **BAD_HISTOGRAMS[fault], "timestamp": at_ms - 1000},
    ]
    name = f"bad_histogram_{form[0]}_{fault.replace(' ', '_')}"
    answer = sent(instance, form, {"labels": {"__name__": name}, "histograms": histograms})
    assert (answer.status, written(answer)) == (400, said(form, (0, 1, 0)))
    assert "1 bad_histogram" in complaint(answer)


def test_a_count_that_is_not_of_its_buckets(instance: Instance, form: str) -> None:
    """Values that are NaN are in no bucket, and floats are rounded (float_histogram.go: Validate)."""
    at_ms, name = now_ms(), f"miscounted_{form[0]}"
    spans = {"schema": 0, "zero_threshold": 0.001, "positive_spans": [{"offset": 0, "length": 1}]}
    kinds: dict[str, Document] = {
        "NaN": {**HISTOGRAM, "count_int": 13, "sum": "NaN"},
        "less": {**spans, "count_float": 2, "sum": 1, "zero_count_float": 1, "positive_counts": [1.5]},
        "nothing": {**spans, "count_float": 0, "sum": 0, "positive_counts": [5e-17]},
        "no number": {
            **spans,
            "count_float": "NaN",
            "sum": "NaN",
            "zero_count_float": "NaN",
            "positive_counts": ["NaN"],
        },
        "endless": {**spans, "count_float": "Infinity", "sum": 1, "positive_counts": ["Infinity"]},
    }
    series = [
        {"labels": {"__name__": name, "kind": kind}, "histograms": [{**one, "timestamp": at_ms}]}
        for kind, one in kinds.items()
    ]
    answer = sent(instance, form, *series)
    assert (answer.status, written(answer)) == (204, said(form, (0, 5, 0)))
    found = instance.vector(f"histogram_count({name})", at_ms / 1000)
    assert sorted(found.values()) == ["+Inf", "0", "13", "2", "NaN"]


def test_a_histogram_may_have_many_buckets(instance: Instance, form: str) -> None:
    wide = {"positive_spans": [{"offset": 0, "length": MAX_BUCKETS - 1}], "positive_deltas": [0] * (MAX_BUCKETS - 1)}
    histograms = [{**HISTOGRAM, **wide, "count_int": 4, "timestamp": now_ms()}]
    answer = sent(instance, form, {"labels": {"__name__": f"wide_{form[0]}"}, "histograms": histograms})
    assert (answer.status, written(answer)) == (204, said(form, (0, 1, 0)))


def test_out_of_time(instance: Instance, form: str) -> None:
    """A sample of another age is refused, however far away it is."""
    at_ms, name = now_ms(), f"out_of_time_{form[0]}"
    times = (at_ms, at_ms + 10_000_000, at_ms - 40 * 86_400_000, 2**62, -(2**62), 0)
    samples = [{"timestamp": time_ms, "value": 1} for time_ms in times]
    answer = sent(instance, form, {"labels": {"__name__": name}, "samples": samples})
    assert (answer.status, written(answer)) == (400, said(form, (1, 0, 0)))
    assert "3 ancient, 2 future" in complaint(answer)


LONG: dict[str, tuple[str, dict[str, str]]] = {
    "name": ("name_too_long", {"__name__": "n" * 31}),
    "labels": ("too_many_labels", {"__name__": "m", "a": "1", "b": "1", "c": "1", "d": "1", "e": "1"}),
    "value": ("label_too_long", {"__name__": "m", "a": "v" * 40}),
}


@pytest.mark.parametrize("what", LONG)
def test_limits_of_a_series(what: str, small: Instance, form: str) -> None:
    reason, labels = LONG[what]
    answer = sent(small, form, {"labels": labels, "samples": [{"timestamp": now_ms(), "value": 1}]})
    assert (answer.status, written(answer)) == (400, said(form, (0, 0, 0)))
    assert f"1 {reason}" in complaint(answer)


def test_room_for_series(small: Instance) -> None:
    """Series beyond what a tenant may have are refused one by one; those it has go on."""
    at_ms = now_ms()
    series = [
        {"labels": {"__name__": "room", "n": str(n)}, "samples": [{"timestamp": at_ms, "value": 1}]}
        for n in range(10)
    ]
    for _ in range(2):
        answer = sent(small, "2.0", *series)
        assert (answer.status, written(answer)) == (400, (6, 0, 0))
        assert "4 too_many_series" in complaint(answer)
    assert len(small.vector("room", at_ms / 1000)) == 6


def test_texts_that_are_not_there(instance: Instance) -> None:
    """Version 2.0 refers to texts by number; a number beyond them, or half a pair, is no label."""
    good = {"labels": {"__name__": "refs"}, "samples": [{"timestamp": now_ms(), "value": 1}]}
    body = request({"timeseries": [good]})
    for refs, place in ((b"\x0a\x02\x01\x63", "1 no_name"), (b"\x0a\x03\x01\x02\x01", "1 bad_labels")):
        series = body + b"\x2a" + bytes([len(refs) + 4]) + refs + b"\x12\x02\x10\x01"
        answer = send(instance, series, HEADERS_V2)
        assert (answer.status, written(answer)) == (400, (1, 0, 0))
        assert place in complaint(answer)


UNSUPPORTED = {
    "a media type": {"Content-Type": "application/json"},
    "a message": {"Content-Type": "application/x-protobuf;proto=io.prometheus.write.v3.Request"},
    "an encoding": {"Content-Encoding": "br"},
}


@pytest.mark.parametrize("what", UNSUPPORTED)
def test_what_is_not_supported(what: str, instance: Instance) -> None:
    """415 lets a sender fall back on the version before."""
    answer = send(instance, b"", {**HEADERS_V1, **UNSUPPORTED[what]})
    assert answer.status == 415
    assert len(complaint(answer)) > 10


def test_nothing_is_well(instance: Instance) -> None:
    """No header says 1.0 in Snappy, and an empty message is a message."""
    answer = send(instance, b"", {})
    assert (answer.status, written(answer)) == (204, None)
    answer = send(instance, b"", HEADERS_V2)
    assert (answer.status, written(answer)) == (204, (0, 0, 0))


def test_a_refusal_of_all_says_that_nothing_was_written(instance: Instance) -> None:
    answer = instance.send("POST", WRITE, b"no Snappy", {**HEADERS_V2, "Authorization": f"Bearer {instance.key()}"})
    assert (answer.status, written(answer)) == (400, (0, 0, 0))


@pytest.mark.parametrize("header", ["DD-API-KEY", "Basic", "none", "wrong"])
def test_keys(header: str, instance: Instance) -> None:
    """The key may be where it may be on every other route."""
    key = instance.key()
    headers = {
        "DD-API-KEY": {"DD-API-KEY": key},
        "Basic": {"Authorization": "Basic " + base64.b64encode(f"any:{key}".encode()).decode()},
        "none": {},
        "wrong": {"Authorization": "Bearer " + "0" * 32},
    }[header]
    answer = instance.send("POST", WRITE, snappy(b""), {**HEADERS_V1, **headers})
    assert answer.status == (204 if header in ("DD-API-KEY", "Basic") else 403)


def test_broken_bodies_cost_no_neighbour(instance: Instance, form: str) -> None:
    """Cut at any place a body is refused or read in part, never stored wrongly; the server goes on."""
    at_ms = now_ms()
    encode, headers = FORMS[form]
    labels = {"__name__": f"cut_{form[0]}"}
    body = encode({"timeseries": [{"labels": labels, "samples": [{"timestamp": at_ms, "value": 7}]}]})
    statuses = {size: send(instance, body[:size], headers).status for size in range(1, len(body), 3)}
    assert set(statuses.values()) <= {204, 400}
    assert 400 in statuses.values()
    found = instance.samples(labels["__name__"], at_ms / 1000, 60)
    assert found in ({}, {label_set(labels): {at_ms: "7"}})
    assert send(instance, body, headers).status == 204


BOMBS: dict[str, tuple[int, bytes]] = {
    "says it is larger than it may be": (413, b"\xff\xff\xff\x7f" + b"\x00" * 10),
    "says it is larger than Snappy can be": (400, b"\xff" * 9 + b"\x01" + b"\x00" * 10),
    "says less than it holds": (400, b"\x01" + snappy(b"x" * 1000)[2:]),
    "is no Snappy": (400, b"\x05hello"),
    "inflates beyond the limit": (413, snappy(b"\x00" * 200_000)),
}


@pytest.mark.parametrize("bomb", BOMBS)
def test_snappy_bombs(bomb: str, small: Instance) -> None:
    """A bomb is refused before it is inflated."""
    status, body = BOMBS[bomb]
    key = {"Authorization": f"Bearer {small.key()}"}
    answer = small.send("POST", WRITE, body, {**HEADERS_V1, **key})
    assert answer.status == status
    assert complaint(answer)


def test_a_body_of_empty_messages(instance: Instance) -> None:
    """What takes too much memory once decoded is refused, and the next body is well."""
    answer = send(instance, b"\x0a\x02\x12\x00" * (15 << 20), HEADERS_V1)
    assert answer.status == 400
    assert "memory" in complaint(answer)
    assert sent(instance, "1.0", {"labels": {"__name__": "after_bomb"}, "samples": []}).status == 204


def test_rates(tmp_path: Any) -> None:
    """A tenant that sends too fast is told to come again, and when."""
    config = {"tenants": ["default"], "limits": {"max_payloads_per_s": 1}}
    with running(tmp_path, "slow", config) as instance:
        answers = [send(instance, b"", HEADERS_V1) for _ in range(20)]
    refused = [answer for answer in answers if answer.status != 204]
    assert {answer.status for answer in refused} == {429}
    assert all(int(answer.headers["retry-after"]) >= 1 for answer in refused)


def test_everything_is_booked(instance: Instance) -> None:
    """The books have the sender by its name, and what it sent."""
    at_ms = now_ms()
    body = write_request(
        {
            "timeseries": [
                {"labels": {"__name__": "booked"}, "samples": [{"timestamp": at_ms, "value": 1}] * 2},
                {"labels": {}, "samples": [{"timestamp": at_ms, "value": 1}]},
            ]
        }
    )
    send(instance, body, HEADERS_V1, **{"User-Agent": "Prometheus/3.5.0"})
    send(instance, body, HEADERS_V1, **{"User-Agent": "Prometheus/3.5.0"})
    answer = instance.send("GET", "/admin/losses", headers={"DD-API-KEY": instance.key()})
    rows = [row for row in answer.json()["entries"] if row["version"] == "Prometheus/3.5.0"]
    shown = {(row["unit"], row["outcome"], row["reason"]): row["total"] for row in rows}
    assert (shown["payloads", "received", ""], shown["payloads", "duplicate", ""]) == (2, 1)
    assert (shown["points", "stored", ""], shown["points", "duplicate", ""]) == (2, 2)
    assert shown["points", "refused", "no_name"] == 2


def test_bits_of_other_nans_are_kept(instance: Instance) -> None:
    """A NaN that is not the marker is a value."""
    at_ms = now_ms()
    body = write_request(
        {"timeseries": [{"labels": {"__name__": "other_nan"}, "samples": [{"timestamp": at_ms, "value": MARKER}]}]}
    )
    body = body.replace(struct.pack("<d", MARKER), struct.pack("<Q", 0x7FF0000000000001))
    assert send(instance, body, HEADERS_V1).status == 204
    assert list(instance.vector("other_nan", at_ms / 1000).values()) == ["NaN"]


def shared_symbols(days: int, at_ms: int, name: str, count: int = 10) -> bytes:
    """Return a body of 2.0 whose series share 4 MB of symbols and have a sample on each of some days."""
    labels = {f"{number:04}" + "n" * 8000: "v" * 8000 for number in range(248)}
    samples = [{"timestamp": at_ms - 86_400_000 * day, "value": 1} for day in range(days)]
    series = [{"labels": {"__name__": name, **labels, "own": str(own)}, "samples": samples} for own in range(count)]
    return request({"timeseries": series})


def test_few_symbols_do_not_become_many_labels(instance: Instance) -> None:
    """Labels are stored for each series and each day: what that takes is bounded, whatever a body takes."""
    at_ms = now_ms()
    refused = send(instance, shared_symbols(30, at_ms, "rw_expanded"), HEADERS_V2)
    assert refused.status == 400
    assert "labels take more than 67108864 bytes" in complaint(refused)
    assert instance.series("rw_expanded", at_ms / 1000 - 60, at_ms / 1000) == set()
    assert send(instance, shared_symbols(1, at_ms, "rw_expanded"), HEADERS_V2).status == 204
    assert len(instance.series("rw_expanded", at_ms / 1000 - 60, at_ms / 1000)) == 10


def test_a_marker_after_histograms_of_a_series_with_start_times_is_stored(instance: Instance) -> None:
    """Samples that say when their counting began are stored apart; a marker of histograms beside them is not lost."""
    at_ms, name = now_ms(), "rw_started_marker"
    sample = {"timestamp": at_ms - 30_000, "value": 1, "start_timestamp": at_ms - 60_000}
    histograms = [{**HISTOGRAM, "timestamp": at_ms - 20_000}, {"timestamp": at_ms - 10_000, "sum": MARKER}]
    answer = sent(instance, "2.0", {"labels": {"__name__": name}, "samples": [sample], "histograms": histograms})
    assert (answer.status, written(answer)) == (204, (1, 2, 0))
    assert len(instance.ask("query", {"query": name, "time": f"{at_ms / 1000 - 11:.3f}"})["result"]) == 1
    assert instance.ask("query", {"query": name, "time": f"{at_ms / 1000:.3f}"})["result"] == []
