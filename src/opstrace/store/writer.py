"""The write side of the store: one thread's, one commit at a time.

A commit registers its unseen series and writes its samples, side by side; both are synced to disk when it ends. A
crash in between leaves series without samples, or samples without series, which no query shows.
"""

import logging
import secrets
import time
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress

import pyarrow as pa

from opstrace import atomic_file
from opstrace.store.backend import Block
from opstrace.store.changes import Changes
from opstrace.store.engine import Engine, script, statement
from opstrace.store.rows import rows_of_blocks
from opstrace.store.statements import filled

logger = logging.getLogger(__name__)

# New series of a commit whose metrics are asked for, which takes some 6 ms.
_NAMED_SERIES = 1_000
# Partitions that still grow: late data older than this only costs a repeated series row a restart.
GROWING_DAYS = 3
# Up to which number commits were given out while the clock was behind them.
_LATEST = "opstrace-latest-commit"
# Some time passes between a commit's number and its end.
_AHEAD_FROM_MS = 60_000
_RESERVED_COMMITS = 10_000


class Writer:
    """Makes series and samples durable; not for use by two threads at once."""

    def __init__(self, engine: Engine) -> None:
        self._connection = engine.writer
        self._registrar = engine.registrar
        self._registration = ThreadPoolExecutor(max_workers=1, thread_name_prefix="registration")
        self._memory = engine.directory / _LATEST
        self._last_commit = self._reserved = self._latest_on_disk()
        self.changes = Changes()
        self.reloads = 0  # how often it was read anew which series there are
        self._register_series = statement("opstrace.store", "register_series")
        self._register_seen = statement("opstrace.store", "register_seen")
        self._registered = statement("opstrace.store", "registered_names")
        self._append_series = statement("opstrace.store", "append_series")
        self._append_rows = {
            name: statement("opstrace.store", f"append_{name}")
            for name in ("samples", "started_samples", "histograms", "sketches")
        }
        self._seen_load = statement("opstrace.store", "seen_load")
        for part in script("opstrace.store", "staging"):
            self._connection.execute(filled(part, secret=secrets.randbits(64)))
        self.reload_seen()

    def next_commit(self) -> int:
        """Return the number of a new commit: the wall clock in milliseconds, made to grow."""
        now_ms = time.time_ns() // 1_000_000
        self._last_commit = max(self._last_commit + 1, now_ms)
        if self._last_commit > max(self._reserved, now_ms + _AHEAD_FROM_MS):
            self._reserve()
        return self._last_commit

    def _reserve(self) -> None:
        """Remember numbers ahead of the clock: the next start goes on behind them, whatever merges dated anew."""
        reserved = self._last_commit + _RESERVED_COMMITS
        atomic_file.write(self._memory, str(reserved))
        self._reserved = reserved

    def _latest_on_disk(self) -> int:
        """Return a number that no commit on disk exceeds, or hardly; the clock may have been ahead, and set back."""
        latest = int(self._connection.read(statement("opstrace.store", "last_write"))[0][0].as_py())
        # What a damaged disk left of it may be anything.
        with suppress(OSError, ValueError):
            latest = max(latest, int(self._memory.read_text(encoding="ascii")))
        ahead_s = latest / 1000 - time.time()
        if ahead_s * 1000 > _AHEAD_FROM_MS:
            logger.warning(
                "the data was last written %d s ahead of the clock; what is written now counts all the same", ahead_s
            )
        return latest

    def reload_seen(self) -> None:
        """Forget which series rows exist, then read it from the store again: after some were removed.

        It also bounds the memory that this takes.
        """
        self.reloads += 1
        self._connection.execute("TRUNCATE TABLE seen")
        self._connection.execute(self._seen_load, days=GROWING_DAYS)
        self.changes.removed()

    def register_unseen(self, tenants: Collection[str]) -> int:
        """Make the rows of `unseen` durable, which are of these tenants; return how many there were."""
        with self.registering(tenants) as registered:
            pass
        return registered.result()

    @contextmanager
    def registering(self, tenants: Collection[str]) -> Iterator["Future[int]"]:
        """Make the rows of `unseen` durable while something else is done that leaves them alone.

        They are of these tenants; without any there are none. Yields what knows at the end how many there were.
        """
        registered: Future[int] = Future()
        if not tenants:
            registered.set_result(0)
        else:
            registered = self._registration.submit(self._registrar.execute, self._register_series)
        try:
            yield registered
        finally:
            wait([registered])
        if count := registered.result():
            self._connection.execute(self._register_seen)
            self._tell_of_unseen(count, tenants)
            self._connection.execute("TRUNCATE TABLE unseen")

    def _tell_of_unseen(self, count: int, tenants: Collection[str]) -> None:
        """Tell of which metrics there are new series; of many at once it does not pay to find out."""
        names: dict[str, list[str] | None] = dict.fromkeys(tenants)
        if count <= _NAMED_SERIES:
            names = {row["tenant"]: row["names"] for row in self._connection.read(self._registered).to_pylist()}
        for tenant, of_tenant in names.items():
            self.changes.registered(tenant, of_tenant)

    def append_samples(self, rows: pa.Table, commit: int) -> None:
        """Make samples durable: tenant, metric, series, timestamp (ms), value. Their series are registered, too."""
        if not rows.num_rows:
            return
        try:
            self._append("samples", rows, commit)
        finally:
            oldest = rows.group_by("tenant").aggregate([("timestamp", "min")])
            for row in oldest.to_pylist():
                self.changes.wrote(row["tenant"], row["timestamp_min"])

    def append_sketches(self, rows: pa.Table, commit: int) -> None:
        """Make sketches durable: the columns of append_sketches.sql. Their series are registered, too."""
        self._append("sketches", rows, commit)

    def append(self, blocks: Sequence[tuple[str, Block]], commit: int) -> int:
        """Make blocks of tenants durable; returns the number of series that were new on a day.

        Raises StoreError when the engine cannot.
        """
        rows = rows_of_blocks(blocks)
        if rows is None:
            return 0
        self._connection.execute(self._append_series, rows=rows.series)
        count = self.register_unseen({tenant for tenant, _ in blocks})
        self.append_samples(rows.samples, commit)
        for name in ("started_samples", "histograms"):
            self._append(name, getattr(rows, name), commit)
        return count

    def _append(self, name: str, rows: pa.Table, commit: int) -> None:
        if rows.num_rows:
            self._connection.execute(self._append_rows[name], rows=rows, commit=commit)
