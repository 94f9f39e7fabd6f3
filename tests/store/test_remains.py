"""A data directory as a full disk left it: what holds no data goes, and the rest is told of."""

import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from opstrace.errors import StoreError
from opstrace.store import engine as engine_module
from opstrace.store import free_space
from opstrace.store.engine import Engine
from opstrace.store.removal import Removal
from opstrace.store.writer import Writer
from store.test_parts import count, samples


class Usage(NamedTuple):
    """What `shutil.disk_usage` returns."""

    total: int
    used: int
    free: int


def filled(tmp_path: Path) -> Path:
    """Return a data directory with ten samples that nobody has open."""
    directory = tmp_path / "data"
    engine = Engine(directory, readers=1)
    writer = Writer(engine)
    writer.append_samples(samples(10), writer.next_commit())
    engine.close()
    return directory


def definition(directory: Path, table: str) -> Path:
    (path,) = directory.glob(f"store/*/*/{table}.sql")
    return path


def still_counts(directory: Path) -> bool:
    engine = Engine(directory, readers=1)
    try:
        Writer(engine)
        return count(engine) == 10
    finally:
        engine.close()


@pytest.mark.parametrize("content", [b"", b"ATTACH TABLE _ UUID '", b"\0" * 100])
@pytest.mark.parametrize("table", ["unseen", "seen", "another"])
def test_tables_in_memory_are_defined_anew(tmp_path: Path, table: str, content: bytes) -> None:
    directory = filled(tmp_path)
    definition(directory, "samples").with_name(f"{table}.sql").write_bytes(content)
    assert still_counts(directory)


@pytest.mark.parametrize("content", [b"", b"ATTACH TABLE _ UUID '"])
def test_the_definition_of_a_table_on_disk_stays_and_is_named(tmp_path: Path, content: bytes) -> None:
    directory = filled(tmp_path)
    path = definition(directory, "samples")
    before = path.read_bytes()
    path.write_bytes(content)
    with pytest.raises(StoreError, match=f"{path} is empty or cut short"):
        Engine(directory)
    assert path.read_bytes() == content
    path.write_bytes(before)
    assert still_counts(directory)


@pytest.mark.parametrize("content", [b"", b"format version: 1\ncreate time: 2026"])
def test_deletions_that_were_not_written_are_forgotten(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, content: bytes
) -> None:
    directory = filled(tmp_path)
    path = next(directory.glob("store/*/*/format_version.txt")).with_name("mutation_7.txt")
    path.write_bytes(content)
    assert still_counts(directory)
    assert f"removed {path}, which the disk did not take" in caplog.text


def test_deletions_that_were_written_go_on(tmp_path: Path) -> None:
    directory = filled(tmp_path)
    engine = Engine(directory, readers=1)
    engine.registrar.execute("SYSTEM STOP MERGES")
    Removal(engine).begin("t")
    engine.close()
    engine = Engine(directory, readers=1)
    removal = Removal(engine)
    while not removal.over("t"):
        pass
    assert count(engine) == 0
    engine.close()


def test_an_engine_that_opens_nothing_says_why(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    directory = filled(tmp_path)
    path = definition(directory, "samples")
    path.write_text("nonsense\nENGINE = MergeTree\n")
    with pytest.raises(StoreError, match=r"cannot be opened: Code: 62\. .*samples\.sql"):
        Engine(directory)
    assert "samples.sql" not in capfd.readouterr().err


def test_what_another_process_has_open_is_left_alone(tmp_path: Path) -> None:
    engine = Engine(tmp_path / "data", readers=1)
    Writer(engine)
    code = "import sys, pathlib, opstrace.store.engine as e; e.Engine(pathlib.Path(sys.argv[1]))"
    command = [sys.executable, "-c", code, tmp_path / "data"]
    other = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert "cannot be opened: it is in use by another process" in other.stderr
    assert definition(tmp_path / "data", "unseen").exists()
    engine.close()


def with_free(monkeypatch: pytest.MonkeyPatch, free_bytes: int) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(1 << 40, 1 << 39, free_bytes))


def test_nothing_is_opened_on_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    directory = filled(tmp_path)
    with_free(monkeypatch, free_space.OPENING_FREE_BYTES - 1)
    monkeypatch.setattr(engine_module.chdb, "connect", None)
    with pytest.raises(StoreError, match=r"only 15 MiB of disk are free for .*, and 16 MiB have to be"):
        Engine(directory)
    monkeypatch.undo()
    assert still_counts(directory)


def test_nothing_is_removed_on_a_disk_with_little_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = Engine(filled(tmp_path), readers=1)
    with_free(monkeypatch, free_space.MIN_FREE_BYTES - 1)
    with pytest.raises(StoreError, match=r"only 255 MiB of disk are free for .*, and 256 MiB have to be"):
        Removal(engine).begin("t")
    monkeypatch.undo()
    assert count(engine) == 10
    engine.close()
