"""The judgement of arrays against one that takes each point by itself, slowly."""

import math
from collections import Counter

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from opstrace.intake.series.judgement import Judgement, Moments
from opstrace.intake.series.sent_series import SentSeries

DAY_S = 86_400
NOW = 20_000 * DAY_S + 40_000.0
MOMENTS = Moments(oldest_s=NOW - 3 * DAY_S, newest_s=NOW + 3600, now_s=NOW)
REFUSED = {1: "no_name", 2: "name_too_long", 3: "too_many_tags", 4: "tag_too_long"}

TIMES = st.one_of(
    st.none(),
    st.sampled_from(
        [NOW, NOW - 60, NOW - 61, NOW - DAY_S, NOW - 4 * DAY_S, NOW + 3600, NOW + 3601, math.nan, math.inf, 0.0]
    ),
)
VALUES = st.one_of(st.none(), st.sampled_from([0.0, -1.5, math.nan, math.inf, -math.inf, 1e308]))
SERIES = st.fixed_dictionaries(
    {
        "body": st.integers(0, 3),
        "host": st.sampled_from([b"", b"a", b"b", b"\xff"]),
        "is_sketch": st.integers(0, 1),
        "refusal": st.sampled_from([0, 0, 0, 1, 2, 3, 4]),
        "tag_bytes": st.just(0),
        "metric": st.integers(0, 3),
        "series": st.integers(0, 5),
        "points": st.lists(st.tuples(TIMES, VALUES), max_size=4),
        "is_known": st.integers(0, 1),
    }
)
SCHEMA = pa.schema(
    {
        "body": pa.uint32(),
        "host": pa.binary(),
        "is_sketch": pa.uint8(),
        "refusal": pa.uint8(),
        "tag_bytes": pa.uint64(),
        "metric": pa.uint64(),
        "series": pa.uint64(),
        "times": pa.list_(pa.float64()),
        "values": pa.list_(pa.float64()),
        "is_known": pa.uint8(),
    }
)

Sent = dict[str, object]


def table(series: list[Sent]) -> pa.Table:
    rows = [
        {**one, "times": [time for time, _ in one["points"]], "values": [value for _, value in one["points"]]}
        for one in series
    ]
    return pa.Table.from_pylist(rows, SCHEMA)


def fate(one: Sent, time: float | None, value: float | None, excess: set[tuple[int, int, int]]) -> str:
    if one["refusal"]:
        return REFUSED[one["refusal"]]
    if time is None:
        return "no_timestamp"
    if value is None:
        return "bad_sketch" if one["is_sketch"] else "no_value"
    if not math.isfinite(time) or not math.isfinite(value):
        return "not_finite"
    if time > MOMENTS.newest_s:
        return "future"
    if time < MOMENTS.oldest_s:
        return "ancient"
    return "too_many_series" if (one["body"] % 2, time // DAY_S, one["series"]) in excess else "stored"


def fate_of_series(one: Sent, fates: list[str]) -> str:
    if "stored" in fates:
        return "stored"
    if fates:
        return fates[0]
    return REFUSED[one["refusal"]] if one["refusal"] else "no_points"


EXCESSIVE = st.sets(st.tuples(st.sampled_from([NOW // DAY_S, NOW // DAY_S - 1]), st.integers(0, 5)), max_size=3)


@given(st.lists(SERIES, min_size=1, max_size=12), st.integers(1, 3), EXCESSIVE)
def test_it_is_the_slow_one(series: list[Sent], pieces: int, excessive: set[tuple[int, int]]) -> None:
    tables = [table(series[piece::pieces]) for piece in range(pieces)]
    series = [one for piece in range(pieces) for one in series[piece::pieces]]
    sent = SentSeries.of(tables)
    assert sent is not None
    judgement = Judgement(sent, MOMENTS)
    # Bodies 0 and 2 are of one tenant, 1 and 3 of another: that one has no room for some of its series on some day.
    for day in {day for day, _ in excessive}:
        judgement.refuse([1, 3], day, [number for own, number in excessive if own == day], "too_many_series")
    excess = {(1, *pair) for pair in excessive}
    fates = [[fate(one, *point, excess) for point in one["points"]] for one in series]
    for body, judged in judgement.judged().items():
        own = [(one, of_one) for one, of_one in zip(series, fates, strict=True) if one["body"] == body]
        stored = [
            time
            for one, of_one in own
            for (time, _), reason in zip(one["points"], of_one, strict=True)
            if reason == "stored"
        ]
        assert judged.points == Counter(reason for _, of_one in own for reason in of_one)
        assert judged.series == Counter(fate_of_series(*pair) for pair in own)
        assert judged.late == sum(time < NOW - 60 for time in stored)
        hosts = Counter(one["host"].decode("utf-8", "replace") for one, _ in own if one["host"])
        of_nobody = not hosts and any(one["is_sketch"] for one, _ in own)
        assert judged.repeatable == (NOW not in stored and not of_nobody)
        assert judged.host in (hosts or [""])
        assert hosts[judged.host] == max(hosts.values(), default=0)
    assert_samples(judgement, series, fates)
    assert judgement.untranslated() == {
        one["body"]
        for one, of_one in zip(series, fates, strict=True)
        for (time, _), reason in zip(one["points"], of_one, strict=True)
        if reason == "stored" and not (one["is_known"] and same_day(one["points"][0][0], time))
    }


def same_day(first: float | None, time: float) -> bool:
    return first is not None and math.isfinite(first) and first // DAY_S == time // DAY_S


def assert_samples(judgement: Judgement, series: list[Sent], fates: list[list[str]]) -> None:
    rows = judgement.samples(["t", "u", "t", "u"]).to_pylist()
    # However they were read, bodies count in their order.
    in_order = sorted(zip(series, fates, strict=True), key=lambda pair: pair[0]["body"])
    assert rows == [
        {
            "tenant": "tu"[one["body"] % 2],
            "metric": one["metric"],
            "series": one["series"],
            "timestamp": round(time * 1000),
            "value": value,
        }
        for one, of_one in in_order
        for (time, value), reason in zip(one["points"], of_one, strict=True)
        if reason == "stored" and not one["is_sketch"]
    ]


def test_many_hosts_are_counted_too() -> None:
    names = [f"host-{number}".encode() for number in range(3000)]
    rows = {
        name: [0] * 3001 for name in ("body", "is_sketch", "refusal", "tag_bytes", "metric", "series", "is_known")
    }
    sent = SentSeries.of(
        [pa.table({**rows, "host": [*names, names[7]], "times": [[]] * 3001, "values": [[]] * 3001}, SCHEMA)]
    )
    assert sent is not None
    assert sent.main_hosts() == {0: "host-7"}
    assert np.array_equal(sent.lengths, np.zeros(3001))
