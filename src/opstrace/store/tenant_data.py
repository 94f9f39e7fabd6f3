"""All that one tenant has in the store and beside it: how much that is, and its removal."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from opstrace.store.engine import Engine, statement
from opstrace.store.host_tag_table import HostTagTable
from opstrace.store.kept import KeptRequests
from opstrace.store.writer import Writer

_COUNT: Final = "SELECT count() FROM {table} WHERE tenant = {{tenant:String}}"
_REMOVE: Final = "ALTER TABLE {table} DELETE WHERE tenant = {{tenant:String}} SETTINGS mutations_sync = 1"


class TenantData:
    """The rows of tenants in every table that knows them, and their directories."""

    def __init__(
        self, engine: Engine, writer: Writer, kept: KeptRequests, host_tags: HostTagTable, directories: Sequence[Path]
    ) -> None:
        """Know what remembers tenants, and the directories that have one of each tenant's name."""
        self._engine = engine
        self._writer = writer
        self._kept = kept
        self._host_tags = host_tags
        self._directories = directories
        self._tables = statement("opstrace.store", "tenant_tables")

    def rows(self, tenant: str) -> dict[str, int]:
        """Return how many rows a tenant has, by table; tables without any are left out."""
        with self._engine.reader() as connection:
            tables = connection.read(self._tables).column(0).to_pylist()
            counts = {
                table: connection.read(_COUNT.format(table=table), tenant=tenant)[0][0].as_py() for table in tables
            }
        return {table: count for table, count in counts.items() if count}

    def remove(self, tenant: str) -> None:
        """Remove all of a tenant's from disk but what is kept; raises StoreError when the engine cannot.

        May be called again after that.
        """
        with self._engine.reader() as connection:
            for table in connection.read(self._tables).column(0).to_pylist():
                connection.execute(_REMOVE.format(table=table), tenant=tenant)
        for directory in self._directories:
            shutil.rmtree(directory / tenant, ignore_errors=True)

    def forget(self, tenant: str) -> None:
        """Remove what is kept, and what memory holds of a tenant. Needs the writer for itself."""
        self._kept.forget(tenant)
        self._host_tags.forget([tenant])
        self._writer.reload_seen()
