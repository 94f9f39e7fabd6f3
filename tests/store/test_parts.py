"""A disk that takes no more: whatever the engine says of it, nothing is acknowledged that is not there."""

import resource
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from opstrace.errors import StoreError
from opstrace.store.engine import Engine
from opstrace.store.parts import is_whole, listed_sizes
from opstrace.store.writer import Writer

ROWS = 50_000


@contextmanager
def files_of_at_most(size_bytes: int) -> Iterator[None]:
    """Have the system refuse to make a file longer."""
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)


def samples(rows: int) -> pa.Table:
    values = np.random.default_rng(1).random(rows)
    return pa.table(
        {
            "tenant": pa.array(["t"] * rows),
            "metric": np.zeros(rows, dtype=np.uint64),
            "series": np.arange(rows, dtype=np.uint64),
            "timestamp": np.full(rows, 1_795_521_600_000),
            "value": values,
        }
    )


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    engine = Engine(tmp_path / "data", readers=1)
    yield engine
    engine.close()


def count(engine: Engine) -> int:
    with engine.reader() as connection:
        found: int = connection.read("SELECT count() AS n FROM samples WHERE NOT ignore(value)")["n"][0].as_py()
    return found


def test_what_the_disk_did_not_take_is_refused_and_leaves_nothing(engine: Engine) -> None:
    writer = Writer(engine)
    writer.append_samples(samples(10), writer.next_commit())
    with files_of_at_most(100_000), pytest.raises(StoreError, match="samples; is it full"):
        writer.append_samples(samples(ROWS), writer.next_commit())
    assert count(engine) == 10
    writer.append_samples(samples(ROWS), writer.next_commit())
    assert count(engine) == ROWS + 10


def test_a_disk_with_little_room_is_not_written_to(engine: Engine) -> None:
    """The engine itself looks; what it is told to leave free is in table_settings.sql."""
    writer = Writer(engine)
    engine.writer.execute(
        "ALTER TABLE samples MODIFY SETTING min_free_disk_bytes_to_perform_insert = 1000000000000000"
    )
    with pytest.raises(StoreError, match="enough free space"):
        writer.append_samples(samples(10), writer.next_commit())
    assert count(engine) == 0


def test_a_part_is_whole_if_its_files_are_as_long_as_it_says(engine: Engine, tmp_path: Path) -> None:
    writer = Writer(engine)
    writer.append_samples(samples(10), writer.next_commit())
    (part,) = (path.parent for path in tmp_path.glob("data/store/*/*/*_1_1_0/data.bin"))
    assert is_whole(part)
    content = (part / "checksums.txt").read_bytes()
    sizes = listed_sizes(content)
    assert sizes == {name: (part / name).stat().st_size for name in sizes}
    assert {"data.bin", "count.txt"} <= sizes.keys()
    for cut in range(len(content)):
        (part / "checksums.txt").write_bytes(content[:cut])
        assert not is_whole(part)
    (part / "checksums.txt").write_bytes(content)
    for path in part.iterdir():
        content = path.read_bytes()
        path.write_bytes(b"")
        assert not is_whole(part), path.name
        path.write_bytes(content)
        assert is_whole(part)
    (part / "columns.txt").unlink()
    assert not is_whole(part)


def test_parts_that_could_not_be_read_are_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    engine = Engine(tmp_path / "data", readers=1)
    Writer(engine).append_samples(samples(10), 1)
    engine.close()
    (part,) = (path.parent for path in tmp_path.glob("data/store/*/*/*_1_1_0/data.bin"))
    (part / "data.bin").write_bytes(b"")
    Engine(tmp_path / "data", readers=1).close()
    Engine(tmp_path / "data", readers=1).close()
    assert "1 parts of table samples could not be read" in caplog.text
