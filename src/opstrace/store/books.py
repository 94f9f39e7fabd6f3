"""The books on disk: what each sender sent, and what became of it, hour by hour."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

import pyarrow as pa

from opstrace.store.engine import Connection, Engine, statement

_COLUMNS: Final = ("tenant", "host", "version", "unit", "outcome", "reason")


@dataclass(frozen=True, slots=True)
class Entry:
    """One number of the books."""

    tenant: str
    host: str
    version: str
    unit: str
    outcome: str
    reason: str
    total: int


class Books:
    """The table of entries; a number of an hour is the sum of what was written for it."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._append = statement("opstrace.store", "append_books")
        self._select = statement("opstrace.store", "select_books")

    def append(self, entries: Iterable[Entry], now_s: float) -> None:
        """Make entries durable; on the writer's thread. Raises StoreError."""
        rows = list(entries)
        if rows:
            columns: dict[str, Any] = {name: [getattr(row, name) for row in rows] for name in _COLUMNS}
            table = pa.table({**columns, "total": pa.array([row.total for row in rows], pa.uint64())})
            self._writer.execute(self._append, rows=table, now_s=int(now_s))

    def totals(self, tenant: str | None, start_s: float, end_s: float) -> list[Entry]:
        """Return the sums over the hours that a range of time touches, of one tenant or of all. Raises StoreError."""
        with self._engine.reader() as connection:
            table = connection.read(self._select, tenant=tenant or "", start_s=int(start_s), end_s=int(end_s))
        return [Entry(**row) for row in table.to_pylist()]

    @property
    def _writer(self) -> Connection:
        return self._engine.writer
