"""A real store in a directory of its own."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from opstrace.store.embedded import Store
from opstrace.store.engine import Engine
from opstrace.store.writer import Writer


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    engine = Engine(tmp_path / "data", readers=1)
    yield engine
    engine.close()


@pytest.fixture
def store(engine: Engine) -> Store:
    return Store(engine, Writer(engine))
