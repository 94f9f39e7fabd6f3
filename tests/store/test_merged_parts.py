"""Merges that the disk takes only in part: nothing that was stored is lost by them."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from opstrace.errors import StoreError
from opstrace.store import disk_watch, merged_parts
from opstrace.store.disk_watch import DiskWatch
from opstrace.store.engine import Engine
from opstrace.store.free_space import MERGING_FREE_BYTES, MIN_FREE_BYTES, check_free, merging_bound
from opstrace.store.merged_parts import Part
from opstrace.store.removal import Removal
from opstrace.store.writer import Writer
from store.test_parts import count, files_of_at_most, samples

ROWS = 20_000


@pytest.fixture
def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    """An engine that is looked after when the test says so."""
    monkeypatch.setattr(DiskWatch, "start", lambda _: None)
    engine = Engine(tmp_path / "data", readers=1)
    yield engine
    engine.close()


def store(engine: Engine, commits: int = 3, first: int = 0) -> None:
    writer = Writer(engine)
    for number in range(first, first + commits):
        rows = samples(ROWS)
        series = [value + number * ROWS for value in rows["series"].to_pylist()]
        writer.append_samples(rows.set_column(2, "series", [series]), writer.next_commit())


def tear(engine: Engine, statement: str = "OPTIMIZE TABLE samples FINAL") -> None:
    """Have the engine merge what the disk does not take."""
    with files_of_at_most(100_000):
        engine.registrar.execute(statement)


def parts(engine: Engine) -> list[str]:
    with engine.reader() as connection:
        found = connection.read("SELECT name FROM system.parts WHERE table = 'samples' AND active ORDER BY name")
    return [str(name) for name in found["name"].to_pylist()]


def is_merging(engine: Engine) -> bool:
    try:
        engine.registrar.execute("OPTIMIZE TABLE samples FINAL")
    except StoreError:
        return False
    return True


def test_what_a_torn_part_was_made_of_is_taken_again(engine: Engine, caplog: pytest.LogCaptureFixture) -> None:
    store(engine)
    tear(engine)
    with pytest.raises(StoreError):
        count(engine)
    engine.disk.look()
    assert count(engine) == 3 * ROWS
    assert len(parts(engine)) == 3
    assert "the disk took only a part of 20781_1_3_1 of table samples" in caplog.text
    assert "merges and deletions stop: one is not whole" in caplog.text
    engine.disk.look()
    assert (count(engine), is_merging(engine)) == (3 * ROWS, False)


def test_a_server_that_is_killed_before_takes_them_again_when_it_starts(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Before the torn part was seen, and between each two steps after."""
    code = """
import os, sys, pathlib
from opstrace.store import merged_parts
from opstrace.store.disk_watch import DiskWatch
from opstrace.store.engine import Engine
from store.test_merged_parts import store, tear
DiskWatch.start = lambda _: None
engine = Engine(pathlib.Path(sys.argv[1]), readers=1)
store(engine)
tear(engine)
left = int(sys.argv[2])
def step(what):
    def stepped(*given, **named):
        global left
        if not left:
            os._exit(9)
        left -= 1
        return what(*given, **named)
    return stepped
pathlib.Path.rename = step(pathlib.Path.rename)
connection = engine.disk._parts._connection
connection.execute = step(connection.execute)
engine.disk._govern = lambda: None
engine.disk.look()
os._exit(0)
"""
    path = os.pathsep.join(sys.path)
    for steps in range(8):
        directory = tmp_path / str(steps)
        command = [sys.executable, "-c", code, directory, str(steps)]
        ended = subprocess.run(command, env={**os.environ, "PYTHONPATH": path}, check=False, timeout=60)
        assert ended.returncode == (9 if steps < 7 else 0)
        again = Engine(directory, readers=1)
        assert count(again) == 3 * ROWS
        assert len(parts(again)) == 3
        assert "cannot be taken" not in caplog.text
        again.close()


def test_a_torn_part_that_is_not_used_yet_is_looked_at_again(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """The engine gives a part its name before it uses it."""
    store(engine)
    tear(engine)
    with monkeypatch.context() as patched:
        patched.setattr(engine.disk._parts, "_is_active", lambda *_: False)
        engine.disk.look()
    with pytest.raises(StoreError):
        count(engine)
    engine.disk.look()
    assert count(engine) == 3 * ROWS


def test_they_wait_for_room(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are out of reach of the engine's clean-up meanwhile."""
    store(engine)
    engine.registrar.execute("ALTER TABLE samples MODIFY SETTING old_parts_lifetime = 0")
    monkeypatch.setattr(merged_parts, "OPENING_FREE_BYTES", 1 << 60)
    with files_of_at_most(100_000):
        engine.registrar.execute("OPTIMIZE TABLE samples FINAL")
        with pytest.raises(StoreError, match="MiB of disk are free"):
            engine.disk.look()
    time.sleep(3)
    with pytest.raises(StoreError, match="MiB of disk are free"):
        engine.disk.look()
    monkeypatch.undo()
    engine.disk.look()
    assert count(engine) == 3 * ROWS


def test_a_table_that_cannot_be_looked_at_is_in_the_way_of_no_other(engine: Engine, tmp_path: Path) -> None:
    """`books` comes before `samples`."""
    store(engine)
    tear(engine)
    parts = engine.disk._parts
    there = parts._directories
    parts._directories = {**there, "books": tmp_path / "nowhere"}
    with pytest.raises(FileNotFoundError):
        engine.disk.look()
    assert sorted(path.name for path in (there["samples"] / "detached").iterdir()) == [
        f"20781_{number}_{number}_0" for number in (1, 2, 3)
    ]
    assert not is_merging(engine)  # what cannot be looked at is not trusted
    parts._directories = there
    engine.disk.look()
    assert count(engine) == 3 * ROWS


def test_a_part_is_made_of_those_within_it() -> None:
    names = [
        "1_1_9_2_20",
        "1_1_4_1",
        "1_5_9_1",
        "1_1_9_2",
        "1_3_3_0",
        "2_5_5_0",
        "1_9_10_1",
        "tmp_merge_1_1_9_3",
        "broken-on-start_1_1_9_3",
    ]
    found = {name: part for name in names if (part := Part.of(name))}
    covered = [name for name, part in found.items() if found["1_1_9_2_20"].covers(part)]
    assert covered == ["1_1_4_1", "1_5_9_1", "1_1_9_2", "1_3_3_0"]


def test_a_torn_deletion_is_undone_and_asked_for_again(engine: Engine) -> None:
    store(engine)
    engine.registrar.execute("OPTIMIZE TABLE samples FINAL")
    tear(engine, "ALTER TABLE samples DELETE WHERE series % 2 = 0 SETTINGS mutations_sync = 1")
    engine.disk.look()
    assert count(engine) == 3 * ROWS
    removal = Removal(engine)
    with pytest.raises(StoreError, match="for want of free disk"):
        removal.begin("t")
    with pytest.raises(StoreError, match=f"{3 * ROWS} rows of tenant t are left"):
        removal.over("t")


def test_merges_end_before_the_disk_is_full_and_go_on_afterwards(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    bound = 0
    monkeypatch.setattr(disk_watch, "merging_bound", lambda _: bound)
    store(engine)
    engine.disk.look()
    assert is_merging(engine)
    assert not engine.disk.merges_stopped
    bound = 1 << 60
    for _ in range(3):
        engine.disk.look()
    assert not is_merging(engine)
    assert engine.disk.merges_stopped
    store(engine)  # what comes is taken all the same
    bound = 0
    for _ in range(3):
        engine.disk.look()
    assert is_merging(engine)
    assert not engine.disk.merges_stopped
    assert caplog.text.count("merges and deletions stop: only") == 1
    assert caplog.text.count("merges and deletions go on") == 1


def test_who_waits_for_a_deletion_hears_that_it_was_ended(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    store(engine)
    engine.registrar.execute("SYSTEM STOP MERGES")  # it would end before it is looked at
    monkeypatch.setattr(disk_watch, "merging_bound", lambda _: 1 << 60)
    engine.disk._thread = disk_watch.threading.Thread(target=engine.disk._run)
    engine.disk._thread.start()
    with pytest.raises(StoreError, match="was killed"):
        engine.writer.execute("ALTER TABLE samples DELETE WHERE tenant = 't' SETTINGS mutations_sync = 1")
    assert count(engine) == 3 * ROWS


def test_how_much_merges_leave_free() -> None:
    assert merging_bound(1 << 40) == MERGING_FREE_BYTES
    assert merging_bound(5 << 30) == 512 << 20
    assert merging_bound(1 << 30) == MIN_FREE_BYTES


def test_little_room_is_told_with_its_numbers(tmp_path: Path) -> None:
    check_free(tmp_path, 1)
    with pytest.raises(StoreError, match=r"only \d+ MiB of disk are free for .*, and 1048576 MiB have to be"):
        check_free(tmp_path, 1 << 40)


def test_a_watch_looks_by_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disk_watch, "LOOK_S", 0.01)
    engine = Engine(tmp_path / "data", readers=1)
    try:
        store(engine)
        tear(engine)
        deadline = time.monotonic() + 20
        while len(parts(engine)) < 3 and time.monotonic() < deadline:
            time.sleep(0.01)
        assert count(engine) == 3 * ROWS
    finally:
        engine.close()
