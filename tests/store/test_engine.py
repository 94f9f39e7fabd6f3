import shutil
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest

from opstrace.errors import BadQuery, QueryTimeout, StoreError
from opstrace.store.engine import Engine, script, statement


def test_a_query_after_a_failed_one_has_its_rows(engine: Engine) -> None:
    for broken in ("SELECT throwIf(1)", "SELECT nothing FROM nowhere", "no SQL at all"):
        with pytest.raises(StoreError):
            engine.writer.read(broken)
        assert engine.writer.read("SELECT number FROM numbers(3)")["number"].to_pylist() == [0, 1, 2]


def test_tables_on_disk_have_the_settings_of_all_also_when_they_were_made_before(tmp_path: Path) -> None:
    wanted = "min_rows_to_fsync_after_merge = 1"
    for _ in range(2):
        engine = Engine(tmp_path / "data", readers=1)
        try:
            tables = engine.writer.read(statement("opstrace.store", "tables_with_settings")).to_pylist()
            assert len(tables) > 10
            assert [table["name"] for table in tables if wanted not in table["settings"]] == []
            engine.writer.execute("ALTER TABLE events RESET SETTING min_rows_to_fsync_after_merge")
        finally:
            engine.close()


def test_a_regular_expression_that_does_not_compile_is_the_callers_fault(engine: Engine) -> None:
    with pytest.raises(BadQuery, match="does not compile"):
        engine.writer.read("SELECT match('x', {pattern:String})", pattern="(")


@pytest.mark.parametrize(
    "text", ["", "plain", "it's", 'a "b"', "back\\slash", "a\nb\tc\rd", "nul\0", "{x:String}", "é😀", "\\N", "\b\f"]
)
def test_a_text_parameter_arrives_as_it_was_given(engine: Engine, text: str) -> None:
    assert engine.writer.read("SELECT {text:String} AS text", text=text)["text"].to_pylist() == [text]
    assert engine.writer.read("SELECT {texts:Array(String)} AS t", texts=[text, "x"])["t"].to_pylist() == [
        [text, "x"]
    ]


def test_a_table_is_read_by_its_name_and_a_statement_tells_what_it_wrote(engine: Engine) -> None:
    engine.writer.execute("CREATE TABLE t (n UInt64) ENGINE = Memory")
    rows = pa.table({"n": [1, 2, 3]})
    assert engine.writer.execute("INSERT INTO t SELECT assumeNotNull(n) FROM Python(rows)", rows=rows) == 3
    assert engine.writer.read("SELECT sum(n) AS total FROM t")["total"].to_pylist() == [6]


def test_a_result_outlives_the_query_that_follows(engine: Engine) -> None:
    first = engine.writer.read("SELECT number FROM numbers(100000)")
    for _ in range(5):
        engine.writer.read("SELECT number + 7 AS n FROM numbers(100000)")
    assert first["number"].to_pylist() == list(range(100_000))


def numbers_of(engine: Engine, sql: str, **parameters: int) -> list[int]:
    batches = list(engine.writer.batches(sql, **parameters))
    assert len(batches) != 1
    return [number for batch in batches for number in batch["number"].to_pylist()]


def test_a_result_comes_batch_by_batch(engine: Engine) -> None:
    found = numbers_of(engine, "SELECT number FROM numbers({total:UInt64}) SETTINGS max_threads = 1", total=200_000)
    assert found == list(range(200_000))
    assert numbers_of(engine, "SELECT number FROM numbers(0)") == []
    rows = pa.table({"n": list(range(5))})
    batches = list(engine.writer.batches("SELECT assumeNotNull(n) AS n FROM Python(rows)", rows))
    assert [number for batch in batches for number in batch["n"].to_pylist()] == list(range(5))


def test_batches_that_fail_or_that_nobody_wants_leave_a_connection_that_works(engine: Engine) -> None:
    for broken in ("SELECT throwIf(number = 200000) FROM numbers(1000000)", "SELECT nothing FROM nowhere", "no SQL"):
        with pytest.raises(StoreError):
            list(engine.writer.batches(broken))
        assert engine.writer.read("SELECT number FROM numbers(3)")["number"].to_pylist() == [0, 1, 2]
    with pytest.raises(QueryTimeout):
        list(engine.writer.batches("SELECT sum(number) FROM numbers(1e12) SETTINGS max_execution_time = 0.1"))
    unwanted = engine.writer.batches("SELECT number FROM numbers(10000000)")
    next(unwanted)
    unwanted.close()
    assert numbers_of(engine, "SELECT number FROM numbers(200000) SETTINGS max_threads = 1") == list(range(200_000))


def test_a_directory_is_one_process_at_a_time(engine: Engine, tmp_path: Path) -> None:
    code = "import sys, pathlib, opstrace.store.engine as e; e.Engine(pathlib.Path(sys.argv[1]))"
    command = [sys.executable, "-c", code, tmp_path / "data"]
    other = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert other.returncode == 1
    assert "StoreError" in other.stderr
    assert "in use by another process" in other.stderr


def test_data_of_another_format_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "opstrace-format-version").write_text("99\n")
    with pytest.raises(StoreError, match="has format 99, this version reads format 2"):
        Engine(tmp_path)


def test_what_was_stored_before_is_there_or_missed(tmp_path: Path) -> None:
    """Nothing is made in the place of what is gone; with what was there it opens, wherever that is now."""
    directory = tmp_path / "data"
    with pytest.raises(StoreError, match="is not there: opstrace-format-version is missing; mount it, or put"):
        Engine(directory, used_before=True)
    assert not directory.exists()
    Engine(directory).close()
    (tmp_path / "elsewhere").mkdir()
    moved = directory.rename(tmp_path / "elsewhere" / "data")
    Engine(moved, used_before=True).close()
    directory.symlink_to(moved)
    Engine(directory, used_before=True).close()


@pytest.mark.parametrize("gone", ["", "opstrace-format-version", "store/*/*"])
def test_a_directory_that_is_removed_is_missed(tmp_path: Path, gone: str) -> None:
    engine = Engine(tmp_path / "data", readers=1)
    engine.check_in_place()
    for path in list((tmp_path / "data").glob(gone)) if gone else [tmp_path / "data"]:
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    with pytest.raises(StoreError, match="is not there any more"):
        engine.check_in_place()
    engine.close()


def test_every_statement_file_can_be_found() -> None:
    assert "FROM samples" in statement("opstrace.store", "select_samples")
    assert all("CREATE TABLE IF NOT EXISTS" in part for part in script("opstrace.store", "schema"))


def test_data_of_format_1_comes_along(tmp_path: Path) -> None:
    """What the tables lack is added, what is in them stays."""
    engine = Engine(tmp_path)
    engine.writer.execute("DROP TABLE started_samples")
    engine.writer.execute("ALTER TABLE histograms DROP COLUMN start")
    engine.writer.execute("INSERT INTO histograms (tenant, series, count) VALUES ('default', 7, 3)")
    engine.close()
    (tmp_path / "opstrace-format-version").write_text("1\n")
    engine = Engine(tmp_path)
    try:
        found = engine.writer.read("SELECT series, count, start FROM histograms").to_pylist()
        assert found == [{"series": 7, "count": 3.0, "start": 0}]
        assert engine.writer.read("SELECT count() AS n FROM started_samples").to_pylist() == [{"n": 0}]
        assert (tmp_path / "opstrace-format-version").read_text() == "2\n"
    finally:
        engine.close()
