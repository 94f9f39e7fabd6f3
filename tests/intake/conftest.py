"""A store that tests of the intake commit to, without a server around it."""

from collections.abc import Iterator

import pytest

from opstrace.config import Limits
from opstrace.intake.translator import Translator
from opstrace.store.engine import Engine
from opstrace.store.host_tag_table import HostTagTable
from opstrace.store.host_writer import HostWriter
from opstrace.store.kept import KeptRequests
from opstrace.store.writer import Writer


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    opened = Engine(tmp_path_factory.mktemp("store"), readers=1)
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def translator(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Translator:
    kept = KeptRequests(tmp_path_factory.mktemp("kept"), lambda _tenant: Limits())
    writer = Writer(engine)
    hosts = HostWriter(engine, writer, HostTagTable(engine))
    return Translator(
        engine,
        writer,
        kept,
        hosts,
        Limits(),
        lambda _tenant: Limits(),
        retention_days=lambda: 30,
        log_retention_days=lambda: 7,
        tag_label_prefix="",
    )
