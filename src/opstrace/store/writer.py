"""The write side of the store: one thread's, one commit at a time.

A commit registers its unseen series first and writes its samples last; both are synced to disk when their
statement returns. A crash in between leaves series without samples, which no query shows.
"""

import hashlib
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from opstrace.store.backend import Block
from opstrace.store.engine import Engine, script, statement

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Partitions that still grow: late data older than this only costs a repeated series row a restart.
_GROWING_DAYS = 3
_MS_PER_DAY = 86_400_000


class Writer:
    """Makes series and samples durable; not for use by two threads at once."""

    def __init__(self, engine: Engine) -> None:
        self._connection = engine.writer
        self._last_commit = 0
        self._register_series = statement("opstrace.store", "register_series")
        self._register_seen = statement("opstrace.store", "register_seen")
        self._append_series = statement("opstrace.store", "append_series")
        self._append_samples = statement("opstrace.store", "append_samples")
        self._seen_load = statement("opstrace.store", "seen_load")
        for part in script("opstrace.store", "staging"):
            self._connection.execute(part)
        self.reload_seen()

    def next_commit(self) -> int:
        """Return the number of a new commit: the wall clock in milliseconds, made to grow."""
        self._last_commit = max(self._last_commit + 1, time.time_ns() // 1_000_000)
        return self._last_commit

    def reload_seen(self) -> None:
        """Forget which series rows exist, then read it from the store again: bounds the memory this takes."""
        self._connection.execute("TRUNCATE TABLE seen")
        self._connection.execute(self._seen_load, days=_GROWING_DAYS)

    def register_unseen(self) -> int:
        """Make the rows of `unseen` durable, remember them, and return how many there were."""
        count = self._connection.execute(self._register_series)
        if count:
            self._connection.execute(self._register_seen)
            self._connection.execute("TRUNCATE TABLE unseen")
        return count

    def append(self, blocks: Sequence[tuple[str, Block]], commit: int) -> int:
        """Make blocks of tenants durable; returns the number of series that were new on a day.

        Raises StoreError when the engine cannot.
        """
        series, samples = _tables(blocks)
        if not series.num_rows:
            return 0
        self._connection.execute(self._append_series, rows=series)
        count = self.register_unseen()
        self._connection.execute(self._append_samples, rows=samples, commit=commit)
        return count


def _tables(blocks: Sequence[tuple[str, Block]]) -> tuple[pa.Table, pa.Table]:
    pairs = [_block_tables(tenant, block) for tenant, block in blocks if len(block.timestamps)]
    if not pairs:
        return pa.table({"series": []}), pa.table({"series": []})
    return pa.concat_tables([series for series, _ in pairs]), pa.concat_tables([samples for _, samples in pairs])


def _block_tables(tenant: str, block: Block) -> tuple[pa.Table, pa.Table]:
    names = [labels.get("__name__", "") for labels in block.labels]
    pairs = [sorted((k, v) for k, v in labels.items() if v and k != "__name__") for labels in block.labels]
    metrics = np.array([_digest(name) for name in names], dtype=np.uint64)
    ids = np.array([_digest(name, pair) for name, pair in zip(names, pairs, strict=True)], dtype=np.uint64)
    lengths = np.diff(block.offsets)
    owners, days = _days(block, lengths)
    series = pa.table(
        {
            "tenant": pa.array([tenant] * len(owners), pa.string()),
            "day": pa.array(days, pa.date32()),
            "name": pa.array([names[i] for i in owners], pa.string()),
            "metric": metrics[owners],
            "series": ids[owners],
            "keys": pa.array([[k for k, _ in pairs[i]] for i in owners], pa.list_(pa.string())),
            "contents": pa.array([[v for _, v in pairs[i]] for i in owners], pa.list_(pa.string())),
        }
    )
    samples = pa.table(
        {
            "tenant": pa.array([tenant] * len(block.timestamps), pa.string()),
            "metric": np.repeat(metrics, lengths),
            "series": np.repeat(ids, lengths),
            "timestamp": block.timestamps,
            "value": pa.array(block.values, from_pandas=False),
        }
    )
    return series, samples


def _days(block: Block, lengths: "NDArray[np.int64]") -> "tuple[NDArray[np.int64], NDArray[np.int32]]":
    """Return which series (by index) has samples on which day (since the epoch), each pair once."""
    owners = np.repeat(np.arange(len(lengths)), lengths)
    pairs = np.unique(np.stack([owners, block.timestamps // _MS_PER_DAY], axis=1), axis=0)
    return pairs[:, 0], pairs[:, 1].astype(np.int32)


def _digest(name: str, labels: Sequence[tuple[str, str]] = ()) -> int:
    parts = (name, *(part for pair in labels for part in pair))
    text = b"".join(len(raw).to_bytes(4, "little") + raw for raw in (part.encode() for part in parts))
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "little")
