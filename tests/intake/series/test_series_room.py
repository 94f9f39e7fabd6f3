import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from end_to_end.remote_write import write_request
from opstrace.config import Config, Limits
from opstrace.errors import StoreError
from opstrace.intake.payload import Body, Family, Verdict
from opstrace.intake.series.series_room import Added, Room
from opstrace.intake.translator import Translator
from opstrace.store.engine import Engine
from opstrace.store.host_tag_table import HostTagTable
from opstrace.store.host_writer import HostWriter
from opstrace.store.hosts import Hosts
from opstrace.store.kept import KeptRequests
from opstrace.store.writer import Writer

DAY_S = 86_400
NOTHING_TO_READ = "SELECT * FROM what_is_not_there"


def test_room_on_a_day_is_what_is_not_taken() -> None:
    room = Room(lambda _tenant: Limits(max_series=10, max_new_series_per_minute=100))
    room.take(Added("t", "2026-01-01", 7, 7), 0.0)
    assert room.on_day("t", "2026-01-01") == 3
    assert room.on_day("t", "2026-01-02") == room.on_day("u", "2026-01-01") == 10
    assert not room.exceeded([Added("t", "2026-01-01", 3, 0)], 0.0)
    assert room.exceeded([Added("t", "2026-01-01", 4, 0)], 0.0)


def test_room_is_each_tenants_own_and_is_all_there_again_once_it_is_forgotten() -> None:
    most = {"t": 10, "u": 20}
    room = Room(lambda tenant: Limits(max_series=most[tenant], max_new_series_per_minute=most[tenant]))
    for tenant in most:
        room.take(Added(tenant, "2026-01-01", 4, 4), 0.0)
    assert [room.on_day(tenant, "2026-01-01") for tenant in most] == [6, 16]
    assert [room.for_new(tenant, 1.0) for tenant in most] == [6, 16]
    most["t"] = 3
    assert [room.on_day("t", "2026-01-01"), room.for_new("t", 1.0)] == [0, 0]
    room.forget("t")
    assert [room.on_day(tenant, "2026-01-01") for tenant in most] == [3, 16]
    assert [room.for_new(tenant, 1.0) for tenant in most] == [3, 16]


def test_room_for_new_series_comes_back_after_a_minute() -> None:
    room = Room(lambda _tenant: Limits(max_series=1000, max_new_series_per_minute=10))
    room.take(Added("t", "2026-01-01", 8, 8), 100.0)
    assert room.for_new("t", 159.0) == 2
    assert room.for_new("t", 160.0) == room.for_new("u", 159.0) == 10
    # Both days of one commit count.
    days = [Added("t", "2026-01-01", 1, 1), Added("t", "2026-01-02", 2, 2)]
    assert room.exceeded(days, 159.0)
    assert not room.exceeded(days, 160.0)


@contextmanager
def translator(directory: Path, **limits: int) -> Iterator[Translator]:
    engine = Engine(directory / "data", readers=1)
    writer = Writer(engine)
    limits_of = Config(tenants=("t",), limits=Limits(**limits)).limits_of
    kept = KeptRequests(directory / "kept", limits_of)
    try:
        yield Translator(
            engine,
            writer,
            kept,
            HostWriter(engine, writer, HostTagTable(engine)),
            Limits(**limits),
            limits_of,
            retention_days=lambda: 30,
            log_retention_days=lambda: 7,
            tag_label_prefix="",
        )
    finally:
        engine.close()


def payload(names: Sequence[str], time_s: float, tenant: str = "t", **more: Any) -> Body:
    series = [{"metric": name, "points": [[time_s, 1], [time_s - 1, 2]], **more} for name in names]
    return Body(Family.SERIES_V1, tenant, json.dumps({"series": series}).encode())


def committed(target: Translator, *bodies: Body) -> list[Verdict]:
    return target.commit(list(bodies))[0]


def test_series_beyond_the_limit_are_refused_one_by_one_and_known_ones_go_on(tmp_path: Path) -> None:
    now = time.time() // DAY_S * DAY_S - DAY_S / 2
    with translator(tmp_path, max_series=3) as target:
        first, other = committed(target, payload(["a", "b"], now), payload(["x", "y", "z"], now, "u"))
        assert first.series == {"stored": 2}
        assert other.series == {"stored": 3}
        (second,) = committed(target, payload(["a", "b", "c", "d", "e"], now))
        assert second.series == {"stored": 3, "too_many_series": 2}
        assert second.points == {"stored": 6, "too_many_series": 4}
        (third,) = committed(target, payload(["a", "b"], now), payload([], now))[:1]
        assert third.series == {"stored": 2}
    # The rows on disk are counted again after a restart.
    with translator(tmp_path, max_series=3) as target:
        (fourth,) = committed(target, payload(["f"], now))
        assert fourth.series == {"too_many_series": 1}


def test_series_that_an_old_day_has_are_not_refused_once_it_is_read_anew_what_there_is(tmp_path: Path) -> None:
    then = time.time() // DAY_S * DAY_S - 6.5 * DAY_S
    names = [f"m{number}" for number in range(4)]
    with translator(tmp_path, max_series=5) as target:
        for turn in range(4):
            (verdict,) = committed(target, payload(names, then + turn))
            assert verdict.series == {"stored": 4}
            target.forget("another")  # as when a tenant is removed


def test_a_host_is_heard_of_by_any_of_its_series(tmp_path: Path) -> None:
    now = time.time()
    with translator(tmp_path) as target:
        gone = [f"gone_{number}" for number in range(300)]
        committed(target, payload(gone, now - 1800, host="busy"), payload(["old"], now - 1800, host="silent"))
        committed(target, payload(["alive"], now - 30, host="busy"))
    engine = Engine(tmp_path / "data")
    hosts = Hosts(engine, HostTagTable(engine)).heard_of("t", round(now - 7200) * 1000, round(now * 1000))
    engine.close()
    ago_s = {host.name: round(now - host.seen_ms / 1000) for host in hosts}
    assert ago_s == {"busy": pytest.approx(30, abs=2), "silent": pytest.approx(1800, abs=2)}


def test_what_a_tenant_had_the_day_before_is_not_new(tmp_path: Path) -> None:
    now = time.time() // DAY_S * DAY_S - DAY_S / 2
    with translator(tmp_path, max_new_series_per_minute=2) as target:
        assert committed(target, payload(["a", "b"], now - DAY_S))[0].series == {"stored": 2}
        (verdict,) = committed(target, payload(["a", "b", "c"], now))
        assert verdict.series == {"stored": 2, "too_many_new_series": 1}


def test_a_series_that_is_too_large_is_refused_alone(tmp_path: Path) -> None:
    now = time.time()
    with translator(tmp_path, max_tags=3, max_tag_bytes=10, max_name_bytes=5) as target:
        verdicts = committed(
            target,
            payload(["good"], now, tags=["a:1", "b:2", "c:3", "c:3"]),
            payload(["many"], now, tags=["a:1", "b:2", "c:3", "d:4"]),
            payload(["tag"], now, tags=["a:123456789"]),
            payload(["too.long"], now),
            payload(["n_o_i_n_d_e_x.12345"], now),
        )
    assert [dict(verdict.series) for verdict in verdicts] == [
        {"stored": 1},
        {"too_many_tags": 1},
        {"tag_too_long": 1},
        {"name_too_long": 1},
        {"stored": 1},
    ]


# Noon of yesterday, and of the day before.
NOON = time.time() // DAY_S * DAY_S - DAY_S / 2
BEFORE = NOON - DAY_S


def points(tenant: str = "t", **times: Sequence[float]) -> Body:
    """Return a payload of series with points at these times."""
    series = [{"metric": name, "points": [[time_s, 1] for time_s in own]} for name, own in times.items()]
    return Body(Family.SERIES_V1, tenant, json.dumps({"series": series}).encode())


def checks(time_s: float, *names: str) -> Body:
    runs = [{"check": name, "status": 0, "timestamp": time_s, "host_name": "h", "message": "well"} for name in names]
    return Body(Family.CHECK_RUN, "t", json.dumps(runs).encode())


def written(**times: Sequence[float]) -> Body:
    """Return a remote write of series with samples, and a native histogram beside each, at these times."""
    stamps = {name: [round(time_s * 1000) for time_s in own] for name, own in times.items()}
    timeseries = [
        {
            "labels": [{"name": "__name__", "value": name}],
            "samples": [{"value": 1, "timestamp": stamp} for stamp in own],
            "histograms": [{"count_int": 1, "zero_count_int": 1, "sum": 0, "timestamp": stamp} for stamp in own],
        }
        for name, own in stamps.items()
    ]
    return Body(Family.REMOTE_WRITE_V1, "t", write_request({"timeseries": timeseries}))


def stored(target: Translator, table: str, column: str) -> list[Any]:
    """Return what is in a column of a table."""
    return sorted(target._connection.read(f"SELECT {column} FROM {table}").column(0).to_pylist())


def test_a_full_day_refuses_no_points_of_another_day(tmp_path: Path) -> None:
    with translator(tmp_path, max_series=3) as target:
        committed(target, payload(["a", "b", "c"], NOON), payload(["x", "y", "z"], BEFORE))
        first, second, both = committed(
            target, points(a=[NOON + 1]), points(a=[BEFORE + 1]), points(b=[NOON + 2, BEFORE + 2], x=[BEFORE + 3])
        )
        assert (first.points, first.series) == ({"stored": 1}, {"stored": 1})
        assert (second.points, second.series) == ({"too_many_series": 1}, {"too_many_series": 1})
        assert (both.points, both.series) == ({"stored": 2, "too_many_series": 1}, {"stored": 2})
        times = [
            (NOON, 3),
            (NOON - 1, 3),
            (BEFORE, 3),
            (BEFORE - 1, 3),
            (NOON + 1, 1),
            (NOON + 2, 1),
            (BEFORE + 3, 1),
        ]
        assert stored(target, "samples", "toUnixTimestamp64Milli(timestamp)") == sorted(
            round(time_s * 1000) for time_s, times_ in times for _ in range(times_)
        )


def test_a_full_day_refuses_no_checks_of_another_day(tmp_path: Path) -> None:
    with translator(tmp_path, max_series=2) as target:
        committed(target, checks(NOON, "a", "b"), payload(["x", "y"], BEFORE))
        odd = [{"check": "a", "status": 0, "timestamp": time} for time in ("NaN", "inf", "-inf", 1e300, None, "x")]
        first, second, third = committed(
            target,
            checks(NOON + 1, "a"),
            checks(BEFORE, "a", "b"),
            Body(Family.CHECK_RUN, "u", json.dumps([*odd, {"check": "a"}]).encode()),
        )
        assert (first.points, second.points) == ({"stored": 1}, {"too_many_series": 2})
        assert third.points["not_finite"] == 3
        assert stored(target, "checks WHERE tenant = 't'", "DISTINCT toUnixTimestamp(timestamp)") == [NOON, NOON + 1]
        assert stored(target, "check_messages", "toUnixTimestamp(timestamp)") == [NOON, NOON, NOON + 1]


@pytest.mark.parametrize("limit", ["max_series", "max_new_series_per_minute"])
def test_a_full_day_refuses_no_samples_of_another_day(limit: str, tmp_path: Path) -> None:
    """Those of remote write, where a metric and its histogram are two series."""
    full = "too_many_series" if limit == "max_series" else "too_many_new_series"
    with translator(tmp_path, **{limit: 4}) as target:
        committed(target, written(a=[NOON], b=[NOON]))
        if limit == "max_series":
            committed(target, written(x=[BEFORE], y=[BEFORE]))
        first, second = committed(target, written(a=[NOON + 1]), written(a=[NOON + 2, BEFORE], c=[BEFORE]))
        assert first.points == {"stored": 2}
        refused = 4 if limit == "max_series" else 2
        assert second.points == {"stored": 6 - refused, full: refused}
        assert second.series == {"stored": 1, full: 1}
        after = {"max_series": [NOON, NOON, NOON + 1, NOON + 2, BEFORE, BEFORE]}.get(
            limit, [NOON, NOON, NOON + 1, NOON + 2, BEFORE]
        )
        for table in ("samples", "histograms"):
            assert stored(target, table, "toUnixTimestamp(timestamp)") == sorted(after)


def test_a_new_series_counts_once_whatever_its_days(tmp_path: Path) -> None:
    with translator(tmp_path, max_new_series_per_minute=3) as target:
        days = [NOON - day * DAY_S for day in range(6)]
        assert committed(target, points(a=days))[0].points == {"stored": 6}
        assert committed(target, points(a=[NOON - 6 * DAY_S], b=days))[0].points == {"stored": 7}
        # A series that it had lately is not new on another day, before or after.
        assert committed(target, points(a=[NOON - 20 * DAY_S]))[0].points == {"stored": 1}
        (verdict,) = committed(target, points(c=days, d=days, e=[NOON]))
        assert verdict.series == {"stored": 1, "too_many_new_series": 2}
        assert committed(target, points(f=days))[0].points == {"too_many_new_series": 6}
        assert committed(target, points("u", f=days))[0].points == {"stored": 6}


def test_a_series_that_comes_in_two_forms_at_once_counts_once(tmp_path: Path) -> None:
    other = {"series": [{"metric": name, "type": 3, "points": [{"timestamp": NOON, "value": 1}]} for name in "ab"]}
    in_another_form = Body(Family.SERIES_V2_JSON, "t", json.dumps(other).encode())
    with translator(tmp_path, max_series=3, max_new_series_per_minute=3) as target:
        first, second = committed(target, payload(["a", "b"], NOON), in_another_form)
        assert first.series == second.series == {"stored": 2}
        assert committed(target, payload(["c"], NOON))[0].series == {"stored": 1}
        assert committed(target, payload(["d"], NOON))[0].series == {"too_many_series": 1}


def test_what_a_day_has_no_room_for_does_not_count_as_new(tmp_path: Path) -> None:
    with translator(tmp_path, max_series=2, max_new_series_per_minute=6) as target:
        committed(target, payload(["a", "b"], NOON))
        for _ in range(2):
            (verdict,) = committed(target, payload(["c", "d", "e", "f", "g"], NOON))
            assert verdict.series == {"too_many_series": 5}
        # Of two days one has room: those are new.
        (verdict,) = committed(target, points(c=[NOON, BEFORE], d=[NOON, BEFORE]))
        assert verdict.points == {"stored": 2, "too_many_series": 2}
        (verdict,) = committed(target, points(**{name: [BEFORE - DAY_S] for name in "hijk"}))
        assert verdict.series == {"stored": 2, "too_many_series": 2}
        (verdict,) = committed(target, points(l=[BEFORE - 9 * DAY_S]))
        assert verdict.series == {"too_many_new_series": 1}


def test_series_it_had_find_room_before_new_ones(tmp_path: Path) -> None:
    names = [f"known{number}" for number in range(5)]
    with translator(tmp_path, max_series=5, max_new_series_per_minute=5) as target:
        committed(target, payload(names, BEFORE))
        new, known = committed(target, payload([f"new{number}" for number in range(20)], NOON), payload(names, NOON))
        assert known.series == {"stored": 5}
        assert new.series == {"too_many_series": 20}


@pytest.mark.parametrize("family", [Family.SERIES_V1, Family.REMOTE_WRITE_V1])
def test_a_commit_that_fails_takes_no_room(family: Family, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its payloads are sent again: as on a full disk, for as long as that lasts."""
    now = round(time.time())
    bodies = {
        Family.SERIES_V1: payload(["a", "b"], now),
        Family.REMOTE_WRITE_V1: Body(
            Family.REMOTE_WRITE_V1,
            "t",
            write_request(
                {
                    "timeseries": [
                        {"labels": {"__name__": name}, "samples": [{"timestamp": now * 1000, "value": 1}]}
                        for name in ("a", "b")
                    ]
                }
            ),
        ),
    }

    with translator(tmp_path, max_series=3, max_new_series_per_minute=3) as target:
        with monkeypatch.context() as failing:
            failing.setattr(target._writer, "_register_series", f"INSERT INTO series {NOTHING_TO_READ}")
            for _ in range(3):
                with pytest.raises(StoreError):
                    committed(target, bodies[family])
        (verdict,) = committed(target, bodies[family])
        assert verdict.series == {"stored": 2}


def test_a_commit_whose_samples_fail_registers_nothing_that_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its series are on disk by then; they are new once more when the sender comes again."""
    now = time.time()
    with translator(tmp_path, max_series=3, max_new_series_per_minute=3) as target:
        with monkeypatch.context() as failing:
            failing.setitem(target._writer._append_rows, "samples", f"INSERT INTO samples {NOTHING_TO_READ}")
            for _ in range(3):
                with pytest.raises(StoreError):
                    committed(target, payload(["a", "b"], now))
        (other,) = committed(target, payload([], now))
        assert other.series == {}
        (verdict,) = committed(target, payload(["a", "b"], now))
        assert verdict.series == {"stored": 2}
        (full,) = committed(target, payload(["a", "b", "c", "d"], now))
        assert full.series == {"stored": 3, "too_many_series": 1}


def test_what_surely_has_room_is_not_counted_first() -> None:
    room = Room(lambda _tenant: Limits(max_series=10, max_new_series_per_minute=8))
    room.take(Added("t", "2026-01-01", 4, 4), 0.0)
    room.take(Added("t", "2026-01-02", 6, 0), 0.0)
    assert room.surely_has("t", 4, 1.0)
    assert not room.surely_has("t", 5, 1.0)  # where they are of the fuller day, or all new
    assert not room.surely_has("t", 5, 61.0)  # where they are of the fuller day
    assert room.surely_has("u", 8, 1.0)
    assert not room.surely_has("u", 9, 1.0)
