"""The aggregator against a plain one, which keeps every sample and follows the Agent's description word by word."""

import math
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dogstatsd.heard import HOST, T0, Hearing
from opstrace.dogstatsd.aggregate import MAX_TIMED_SAMPLES, MAX_WAITING_ENTRIES

# A context: name, type and tags.
Key = tuple[str, str, tuple[str, ...]]


@dataclass
class PlainSampler:
    """Buckets of samples, as dogstatsd-and-sketches.md, section 4, has them. Weights are whole numbers here."""

    buckets: dict[int, dict[Key, list[tuple[str, int]]]] = field(default_factory=dict)
    last_seen: dict[Key, float] = field(default_factory=dict)
    cutoff: int = 0
    points: defaultdict[tuple[str, str, tuple[str, ...]], dict[int, float]] = field(
        default_factory=lambda: defaultdict(dict)
    )
    sketches: dict[tuple[str, tuple[str, ...], int], dict[str, Any]] = field(default_factory=dict)

    def sample(self, at: float, key: Key, value: str, weight: int) -> None:
        start = int(at) - int(at) % 10
        self.buckets.setdefault(start, {}).setdefault(key, []).append((value, weight))
        self.last_seen[key] = at

    def flush(self, at: float) -> None:
        cutoff = int(at) - int(at) % 10
        over = {start: bucket for start, bucket in self.buckets.items() if start + 10 <= cutoff}
        self.buckets = {start: bucket for start, bucket in self.buckets.items() if start not in over}
        with_metrics = {start for start, bucket in over.items() if any(kind != "d" for _, kind, _ in bucket)}
        still_open = any(kind != "d" for bucket in self.buckets.values() for _, kind, _ in bucket)
        if not with_metrics and not still_open and self.cutoff + 10 <= cutoff:
            over.setdefault(cutoff - 10, {})
            with_metrics = {cutoff - 10}
        for start in with_metrics:
            for key, seen in self.last_seen.items():
                if key[1] == "c" and seen + 300 > start:
                    over[start].setdefault(key, []).append(("0", 1))
        self.cutoff = cutoff
        for start, bucket in over.items():
            for key, samples in bucket.items():
                self._send(start, key, samples)

    def _send(self, start: int, key: Key, samples: list[tuple[str, int]]) -> None:
        name, kind, tags = key
        if kind == "s":
            self.points[name, "gauge", tags][start] = len({value for value, _ in samples})
            return
        numbers = [(float(value), weight) for value, weight in samples]
        expanded = sorted(value for value, weight in numbers for _ in range(weight))
        count, total = len(expanded), math.fsum(expanded)
        if kind == "c":
            self.points[name, "rate", tags][start] = total / 10
        elif kind == "g":
            self.points[name, "gauge", tags][start] = numbers[-1][0]
        elif kind == "d":
            bins: defaultdict[int, int] = defaultdict(int)
            for value in expanded:
                bins[_key(value)] += 1
            shown = " ".join(f"{k}:{n}" for k, n in sorted(bins.items()))
            self.sketches[name, tags, start] = {"cnt": count, "sum": total, "bins": shown}
        else:
            made = {
                "max": expanded[-1],
                "median": expanded[(count - 1) // 2],
                "avg": total / count,
                "95percentile": expanded[(95 * count - 1) // 100],
            }
            for suffix, value in made.items():
                self.points[f"{name}.{suffix}", "gauge", tags][start] = value
            self.points[f"{name}.count", "rate", tags][start] = count / 10


def _key(value: float) -> int:
    if value < 0:
        return -_key(-value)
    if value < 1.015625 ** (1 - 1338):
        return 0
    return round(math.log(value) / math.log1p(0.015625)) + 1338


SAMPLES = st.tuples(
    st.sampled_from(["a", "b"]),
    st.sampled_from(["c", "g", "h", "ms", "d", "s"]),
    st.sampled_from([(), ("x:1",), ("x:1", "y")]),
    st.sampled_from(["1", "2.5", "-3", "0", "7", "1e3"]),
    st.sampled_from([1, 1, 2, 4, 10]),
)
# Moments between one line and the next, with lines, or a flush where there are none.
STEPS = st.lists(
    st.tuples(st.sampled_from([0.0, 0.25, 3.0, 9.75, 10.0, 95.0, 301.5]), st.lists(SAMPLES, max_size=4)), max_size=30
)


@settings(max_examples=300, deadline=None)
@given(STEPS)
def test_the_aggregator_and_the_plain_one_agree(steps: list[tuple[float, list[Any]]]) -> None:
    """Whatever comes when, and whenever it is flushed, the same is sent."""
    hearing, plain, now = Hearing({}), PlainSampler(), 0.125
    for pause, samples in [*steps, (11.0, [])]:
        now += pause
        for letter, kind, tags, value, weight in samples:
            name = f"{letter}.users" if kind == "s" else letter  # a gauge of the same name would be the same series
            rate = f"|@{1 / weight!r}" if weight != 1 else ""
            tagged = f"|#{','.join(reversed(tags))}" if tags else ""
            hearing.hear(now, f"{name}:{value}|{kind}{rate}{tagged}".encode())
            counted = 1 if kind in "gs" else weight
            plain.sample(T0 + now, (name, {"ms": "h"}.get(kind, kind), tags), value, counted)
        if not samples:
            hearing.flush(now)
            plain.flush(T0 + now)
    found = {(one["metric"], one["type"], tuple(one["tags"])): one["points"] for one in hearing.sent.series}
    assert len(found) == len(hearing.sent.series)
    assert {one["host"] for one in hearing.sent.series} <= {HOST}
    assert found.keys() == plain.points.keys()
    for key, points in found.items():
        assert points == pytest.approx({start - T0: value for start, value in plain.points[key].items()}), key
    sketches = {(one["metric"], tuple(one["tags"]), T0 + one["at"]): one for one in hearing.sent.sketches}
    assert sketches.keys() == plain.sketches.keys()
    for place, expected in plain.sketches.items():
        assert {name: sketches[place][name] for name in expected} == {
            **expected,
            "sum": pytest.approx(expected["sum"]),
        }


def test_a_minute_of_the_walkthrough() -> None:
    """The example's calls at their exact times: exact numbers in each bucket."""
    hearing = Hearing({})
    for number in range(300):
        hearing.hear(number / 5, b"example.latency:%d|h\nexample.requests:2|c" % (1, 2, 2, 3, 3)[number % 5])
    for at in (15, 30, 45, 60):
        hearing.flush(at)
    found = {one["metric"]: one["points"] for one in hearing.sent.series}
    values = {
        "example.requests": 10.0,
        "example.latency.max": 3.0,
        "example.latency.median": 2.0,
        "example.latency.avg": 2.2,
        "example.latency.count": 5.0,
        "example.latency.95percentile": 3.0,
    }
    assert found == {name: dict.fromkeys(range(0, 60, 10), value) for name, value in values.items()}


def test_contexts_are_bounded_and_forgotten() -> None:
    """Beyond the bound lines of new contexts are refused; silence makes room."""
    hearing = Hearing({}, max_contexts=3)
    hearing.hear(1, b"a:1|g\nb:1|g\nc:1|c\nd:1|g\na:2|g")
    hearing.flush(15)
    assert hearing.refused == {"too_many_contexts": 1}
    assert hearing.aggregator.contexts == 3
    hearing.hear(40, b"c:1|c")
    hearing.flush(45)
    assert hearing.aggregator.contexts == 1
    hearing.hear(46, b"d:1|g\na:3|g")
    hearing.flush(60)
    assert hearing.refused == {"too_many_contexts": 1}
    # A counter's is 320 s of silence, counted from the end of its bucket.
    hearing.flush(365)
    assert hearing.aggregator.contexts == 1
    hearing.flush(390)
    assert hearing.aggregator.contexts == 0
    hearing.hear(391, b"a:4|g")
    hearing.flush(405)
    gauges = [one["points"] for one in hearing.sent.series if one["metric"] == "a"]
    assert gauges == [{0: 2.0, 40: 3.0, 390: 4.0}]


def test_samples_are_bounded_until_the_bucket_is_over() -> None:
    """Values beyond the bound are refused, those of counters and gauges are not held and go on."""
    hearing = Hearing({"histogram_aggregates": ["count"], "histogram_percentiles": []}, max_samples=3)
    hearing.hear(1, b"h:1:2|h\ns:x|s\ns:x|s\ns:y|s\nh:3|h\nd:1|d\nc:1|c\ng:1|g")
    hearing.hear(11, b"h:1|h")
    hearing.flush(25)
    assert hearing.refused == {"too_many_samples": 3}
    found = {one["metric"]: one["points"] for one in hearing.sent.series}
    assert found == {"h.count": {0: 0.2, 10: 0.1}, "s": {0: 1.0}, "c": {0: 0.1, 10: 0.0}, "g": {0: 1.0}}


def test_spellings_are_bounded() -> None:
    """Thousands of orders of the same tags are one context, and none is lost when they are learnt anew."""
    hearing = Hearing({}, max_contexts=2)
    for number in range(100):
        hearing.hear(1, b"a:1|c|zz%d|#x,y" % number)
    hearing.flush(10)
    assert [one["points"] for one in hearing.sent.series] == [{0: 10.0}]


def test_a_clock_that_is_set_back_opens_no_old_bucket() -> None:
    hearing = Hearing({})
    hearing.hear(25, b"a:1|c")
    hearing.hear(3, b"a:1|c")
    hearing.hear(26, b"a:1|c")
    hearing.flush(30)
    assert [one["points"] for one in hearing.sent.series] == [{20: 0.3}]


def test_a_clock_that_is_set_back_far_is_followed() -> None:
    hearing = Hearing({})
    hearing.hear(3625, b"a:1|c")
    hearing.hear(3, b"a:1|c")
    hearing.hear(13, b"a:2|c")
    hearing.flush(20)
    assert [one["points"] for one in hearing.sent.series] == [{3620: 0.1, 0: 0.1, 10: 0.2}]


def test_what_was_heard_before_the_clock_was_set_back_far_expires_as_ever() -> None:
    hearing = Hearing({})
    hearing.hear(36_005, b"silent:5|c")
    hearing.hear(36_005, b"gone:5|g")
    for at in range(15, 1000, 10):
        hearing.hear(at, b"a:1|g")
        hearing.flush(at)
    zeros = [at for one in hearing.sent.series if one["metric"] == "silent" for at in one["points"] if at < 30_000]
    assert max(zeros) <= 320
    assert hearing.aggregator.contexts == 1


def test_samples_with_a_time_wait_for_a_pause_or_for_many() -> None:
    hearing = Hearing({})
    hearing.hear(1, b"a:1|g|T%d" % T0)
    hearing.flush(1.5)
    assert hearing.sent.series == []
    hearing.flush(2)
    assert len(hearing.sent.series) == 1
    for number in range(MAX_TIMED_SAMPLES):
        hearing.hear(3, b"b:1|g|T%d" % (T0 + number))
    hearing.flush(3)
    assert sum(len(one["points"]) for one in hearing.sent.series) == 1 + MAX_TIMED_SAMPLES


def test_waiting_events_are_bounded() -> None:
    hearing = Hearing({})
    hearing.hear(1, b"\n".join([b"_e{1,1}:a|b"] * (MAX_WAITING_ENTRIES + 2)))
    hearing.hear(1, b"\n".join([b"_sc|a|0"] * (MAX_WAITING_ENTRIES + 1)))
    hearing.flush(2)
    assert len(hearing.sent.events) == len(hearing.sent.checks) == MAX_WAITING_ENTRIES
    assert hearing.refused == {"too_many_events": 2, "too_many_service_checks": 1}


def test_an_incomplete_bucket_can_be_sent_at_the_end() -> None:
    hearing = Hearing({})
    hearing.hear(1, b"a:1|c")
    hearing.flush(2)
    assert hearing.sent.series == []
    hearing.flush(3, incomplete=True)
    assert [one["points"] for one in hearing.sent.series] == [{0: 0.1}]


def test_a_sum_beyond_all_doubles_is_not_sent() -> None:
    hearing = Hearing({"histogram_aggregates": ["max", "sum", "avg"], "histogram_percentiles": []})
    hearing.hear(1, b"a:1.7e308:1.7e308|c\nh:1.7e308:1.7e308|h\nd:1.7e308:1.7e308|d\nb:1|c")
    hearing.flush(10)
    assert {one["metric"] for one in hearing.sent.series} == {"b", "h.max"}
    assert [one["sum"] for one in hearing.sent.sketches] == [math.inf]


def test_a_count_beyond_32_bits_is_divided_on_the_wire() -> None:
    hearing = Hearing({}, max_samples=100)
    hearing.hear(1, b"\n".join([b"d:1|d|@0.000000004"] * 20))
    hearing.flush(10)
    (sketch,) = hearing.sent.sketches
    bins = [tuple(map(int, one.split(":"))) for one in sketch["bins"].split()]
    assert {key for key, _ in bins} == {1338}
    assert sum(count for _, count in bins) == sketch["cnt"] == 20 * int(1 / 0.000000004)
    assert max(count for _, count in bins) < 2**32
