"""The server's own metrics, as series of tenant `system`."""

import asyncio
import shutil
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import numpy as np

from opstrace.config import SYSTEM_TENANT
from opstrace.errors import IntakeError
from opstrace.instance import Instance
from opstrace.intake.bookkeeper import Bookkeeper
from opstrace.intake.commit import Commit
from opstrace.store.backend import Block, Labels
from opstrace.store.embedded import Store
from opstrace.store.engine import Engine
from opstrace.store.kept import Segment
from opstrace.telemetry import Telemetry

SELF_MONITORING_INTERVAL_S: Final = 10.0
_OF_COUNTERS: Final = ("_total", "_bucket", "_sum", "_count")


class SelfMonitoring:
    """Looks at a server's parts now and then. Use it on one event loop."""

    def __init__(
        self,
        instance: Callable[[], Instance],
        telemetry: Telemetry,
        engine: Engine,
        store: Store,
        commit: Commit,
        bookkeeper: Bookkeeper,
        segments: Callable[[], Awaitable[Sequence[Segment]]],
    ) -> None:
        """`instance` returns it as it is now, `segments` those of all requests that are kept."""
        self._instance = instance
        self._telemetry = telemetry
        self._engine = engine
        self._store = store
        self._commit = commit
        self._bookkeeper = bookkeeper
        self._segments = segments
        self._known: set[tuple[str, ...]] = set()  # series that were written the last time
        self._looked_ms = time.time_ns() // 1_000_000

    async def observe(self) -> None:
        """Write our own metrics into tenant `system`, through the same commit as everything else."""
        for table in await asyncio.to_thread(self._engine.tables):
            self._telemetry.store_rows.labels(table.name).set(table.rows)
            self._telemetry.store_bytes.labels(table.name).set(table.size_bytes)
            self._telemetry.store_parts.labels(table.name).set(table.parts)
        disk = shutil.disk_usage(self._instance().data_directory)
        self._telemetry.store_disk_free.set(disk.free)
        self._telemetry.store_disk_size.set(disk.total)
        self._telemetry.store_merges_stopped.set(self._engine.disk.merges_stopped)
        self._telemetry.query_cache.set(self._store.recent.nbytes)
        self._telemetry.store_merged_rows.set(await asyncio.to_thread(self._engine.merged_rows))
        await self._bookkeeper.write()
        await self._observe_kept()
        block = self._own_block()
        try:
            await self._commit.append(SYSTEM_TENANT, block)
        except IntakeError as error:
            self._telemetry.refused_bodies.labels("self-monitoring", SYSTEM_TENANT, error.reason).inc()
        else:
            self._known = {*map(_key, block.labels)}
            self._looked_ms = int(block.times_ms[0])

    async def _observe_kept(self) -> None:
        segments = await self._segments()
        for tenant in self._instance().config.all_tenants:
            own = [segment for segment in segments if segment.tenant == tenant]
            self._telemetry.kept_bodies.labels(tenant).set(sum(segment.records for segment in own))
            self._telemetry.kept_bytes.labels(tenant).set(sum(segment.size_bytes for segment in own))

    def _own_block(self) -> Block:
        own = {"job": "opstrace", "instance": self._instance().name}
        samples = list(self._telemetry.samples())
        labels = [{"__name__": name, **own, **labels} for name, labels, _ in samples]
        now_ms, before_ms = time.time_ns() // 1_000_000, self._looked_ms
        # A counter is there with its first event. That it was zero before is said by when its counting began.
        starts = [before_ms if self._is_new_counter(one) else 0 for one in labels]
        return Block(
            labels=labels,
            offsets=np.arange(len(samples) + 1, dtype=np.int64),
            times_ms=np.full(len(samples), now_ms, dtype=np.int64),
            values=np.array([value for _, _, value in samples], dtype=np.float64),
            start_times=np.array(starts, dtype=np.int64),
        )

    def _is_new_counter(self, labels: Labels) -> bool:
        return labels["__name__"].endswith(_OF_COUNTERS) and _key(labels) not in self._known


def _key(labels: Labels) -> tuple[str, ...]:
    return tuple(labels.values())
