import os
import time
from pathlib import Path

import pytest

from opstrace.errors import StoreError
from opstrace.store import disk_watch
from opstrace.store.budget import Budget
from opstrace.store.embedded import Store
from opstrace.store.engine import Engine
from opstrace.store.host_tag_table import HostTagTable
from opstrace.store.retention import Retention
from opstrace.store.writer import Writer
from store.test_store import block, matcher

DAY_MS = 86_400_000


def test_days_before_the_retention_go_and_the_others_stay(engine: Engine) -> None:
    writer = Writer(engine)
    store = Store(engine, writer)
    now_ms = time.time_ns() // 1_000_000
    days = {
        age: block([({"__name__": "m", "age": str(age)}, [(now_ms - age * DAY_MS, 1.0)])]) for age in (0, 6, 9, 40)
    }
    for made in days.values():
        store.appender("t").append(made)
    Retention(engine, writer, HostTagTable(engine), days=lambda: 7, log_days=lambda: 7).enforce()
    querier = store.querier("t", Budget())
    everything = (0, now_ms + DAY_MS)
    assert querier.select([matcher("__name__=m")], *everything).values.tolist() == [1.0, 1.0]
    assert querier.label_values("age", [], *everything) == ["0", "6"]
    assert {
        row["partition"] for row in engine.writer.read("SELECT partition FROM system.parts WHERE active").to_pylist()
    } == {time.strftime("%Y-%m-%d", time.gmtime(now_ms / 1000 - age * 86_400)) for age in (0, 6)}


def test_a_series_whose_day_was_dropped_is_written_again(engine: Engine) -> None:
    writer = Writer(engine)
    store = Store(engine, writer)
    now_ms = time.time_ns() // 1_000_000
    old = block([({"__name__": "m"}, [(now_ms - 20 * DAY_MS, 1.0)])])
    store.appender("t").append(old)
    Retention(engine, writer, HostTagTable(engine), days=lambda: 7, log_days=lambda: 7).enforce()
    store.appender("t").append(old)
    found = store.querier("t", Budget()).select([matcher("__name__=m")], 0, now_ms)
    assert found.values.tolist() == [1.0]


def test_hosts_are_forgotten_once_nothing_of_them_is_left(engine: Engine) -> None:
    writer = Writer(engine)
    now_ms = time.time_ns() // 1_000_000
    for host, seen_days, tagged_days, series_days in (
        ("gone", 20, 20, None),
        ("heard of", 1, 20, None),
        ("tagged", 20, 1, None),
        ("sampled", 20, 20, 1),
    ):
        engine.writer.execute(
            "INSERT INTO hosts VALUES ('t', {host:String}, 'os', fromUnixTimestamp64Milli({seen:Int64}), '{}', 1)",
            host=host,
            seen=now_ms - seen_days * DAY_MS,
        )
        engine.writer.execute(
            "INSERT INTO host_tags"
            " VALUES ('t', {host:String}, 's', fromUnixTimestamp64Milli({since:Int64}), ['a:1'], 1)",
            host=host,
            since=now_ms - tagged_days * DAY_MS,
        )
        if series_days is not None:
            engine.writer.execute(
                "INSERT INTO series (day, tenant, name, host)"
                " VALUES (toDate32(now() - INTERVAL 1 DAY), 't', 'm', {host:String})",
                host=host,
            )
    known = HostTagTable(engine)
    assert "gone" in known.tagged("t").hosts
    Retention(engine, writer, known, days=lambda: 7, log_days=lambda: 7).enforce()
    for table in ("hosts", "host_tags"):
        left = engine.writer.read(f"SELECT DISTINCT host FROM {table} ORDER BY host").column(0).to_pylist()
        assert left == ["heard of", "sampled", "tagged"]
    assert sorted(known.tagged("t").hosts) == left
    # One that comes back speaks for the first time.
    assert known.record(engine.writer, [], writer.next_commit(), [("t", "gone")]) == 1


def test_hosts_stay_while_nothing_is_deleted_and_days_go_all_the_same(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = Writer(engine)
    store = Store(engine, writer)
    now_ms = time.time_ns() // 1_000_000
    old = block([({"__name__": "m"}, [(now_ms - 20 * DAY_MS, 1.0)])])
    store.appender("t").append(old)
    engine.writer.execute("INSERT INTO hosts VALUES ('t', 'gone', 'os', now() - INTERVAL 20 DAY, '{}', 1)")
    retention = Retention(engine, writer, HostTagTable(engine), days=lambda: 7, log_days=lambda: 7)
    with monkeypatch.context() as patched:
        patched.setattr(disk_watch, "merging_bound", lambda _: 1 << 60)
        engine.disk.look()
        with pytest.raises(StoreError, match="for want of free disk"):
            retention.enforce()
    assert engine.writer.read("SELECT host FROM hosts").num_rows == 1
    assert engine.writer.read("SELECT * FROM samples").num_rows == 0
    store.appender("t").append(old)
    assert store.querier("t", Budget()).select([matcher("__name__=m")], 0, now_ms).values.tolist() == [1.0]


def test_a_clock_that_was_ahead_is_remembered(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The engine dates parts by their directories; merges date them anew."""
    engine = Engine(tmp_path)
    commit = Writer(engine).next_commit()
    engine.writer.execute("CREATE TABLE dated (n UInt8) ENGINE = MergeTree ORDER BY n")
    engine.writer.execute("INSERT INTO dated VALUES (1)")
    engine.close()
    ahead_s = time.time() + 7200
    for part in tmp_path.glob("**/all_1_1_0"):
        os.utime(part, (ahead_s, ahead_s))
    for _ in range(3):
        engine = Engine(tmp_path)
        writer = Writer(engine)
        assert writer.next_commit() > max(commit, (ahead_s - 1) * 1000)
        commit = max(writer.next_commit() for _ in range(50))
        assert "ahead of the clock" in caplog.text
        engine.writer.execute("OPTIMIZE TABLE dated FINAL")
        engine.close()
        caplog.clear()
