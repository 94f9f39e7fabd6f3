import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from opstrace.config import Config, Limits
from opstrace.intake.payload import Body, Family, Verdict
from opstrace.intake.series_room import Added, Room
from opstrace.intake.translator import Translator
from opstrace.store.engine import Engine
from opstrace.store.host_tag_table import HostTagTable
from opstrace.store.host_writer import HostWriter
from opstrace.store.kept import KeptRequests
from opstrace.store.writer import Writer

DAY_S = 86_400


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
