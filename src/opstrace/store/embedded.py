"""The backend that is the embedded engine."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from opstrace.store.backend import Block
from opstrace.store.budget import Budget
from opstrace.store.engine import Engine
from opstrace.store.host_tag_table import HostTagTable
from opstrace.store.recent import RecentReads
from opstrace.store.select import StoreQuerier
from opstrace.store.shared_reads import SharedReads
from opstrace.store.writer import Writer


class StoreAppender:
    """Writes blocks of one tenant, each in a commit of its own: for tools and tests that own the store alone."""

    def __init__(self, writer: Writer, tenant: str) -> None:
        self._writer = writer
        self._tenant = tenant

    def append(self, block: Block) -> None:
        """Make the block durable, then return."""
        self._writer.append([(self._tenant, block)], self._writer.next_commit())


class Store:
    """The backend that is the embedded engine."""

    def __init__(
        self,
        engine: Engine,
        writer: Writer,
        host_tags: HostTagTable | None = None,
        *,
        max_remembered_bytes: int = 256 << 20,
    ) -> None:
        self._engine = engine
        self._writer = writer
        self._host_tags = host_tags
        self.recent = RecentReads(writer.changes, max_remembered_bytes)
        self._shared = SharedReads(max_remembered_bytes)

    def querier(self, tenant: str, budget: Budget) -> StoreQuerier:
        """Return a reader of this tenant's series."""
        return StoreQuerier(self._engine, self.recent, self._shared, tenant, budget, self._host_tags)

    def appender(self, tenant: str) -> StoreAppender:
        """Return a writer of this tenant's series."""
        return StoreAppender(self._writer, tenant)


@contextmanager
def temporary_store() -> Iterator[Store]:
    """Lend a new store that is gone afterwards."""
    directory = Path(tempfile.mkdtemp(prefix="opstrace-"))
    engine = Engine(directory, readers=1)
    try:
        yield Store(engine, Writer(engine))
    finally:
        engine.close()
        shutil.rmtree(directory)
