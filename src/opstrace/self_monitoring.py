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
from opstrace.store.backend import Block
from opstrace.store.embedded import Store
from opstrace.store.engine import Engine
from opstrace.store.kept import Segment
from opstrace.telemetry import Telemetry

SELF_MONITORING_INTERVAL_S: Final = 10.0


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

    async def observe(self) -> None:
        """Write our own metrics into tenant `system`, through the same commit as everything else."""
        for table in await asyncio.to_thread(self._engine.tables):
            self._telemetry.store_rows.labels(table.name).set(table.rows)
            self._telemetry.store_bytes.labels(table.name).set(table.size_bytes)
            self._telemetry.store_parts.labels(table.name).set(table.parts)
        disk = shutil.disk_usage(self._instance().data_directory)
        self._telemetry.store_disk_free.set(disk.free)
        self._telemetry.store_disk_size.set(disk.total)
        self._telemetry.query_cache.set(self._store.recent.nbytes)
        self._telemetry.store_merged_rows.set(await asyncio.to_thread(self._engine.merged_rows))
        await self._bookkeeper.write()
        await self._observe_kept()
        try:
            await self._commit.append(SYSTEM_TENANT, self._own_block())
        except IntakeError as error:
            self._telemetry.refused_bodies.labels("self-monitoring", SYSTEM_TENANT, error.reason).inc()

    async def _observe_kept(self) -> None:
        segments = await self._segments()
        for tenant in self._instance().config.all_tenants:
            own = [segment for segment in segments if segment.tenant == tenant]
            self._telemetry.kept_bodies.labels(tenant).set(sum(segment.records for segment in own))
            self._telemetry.kept_bytes.labels(tenant).set(sum(segment.size_bytes for segment in own))

    def _own_block(self) -> Block:
        own = {"job": "opstrace", "instance": self._instance().name}
        samples = list(self._telemetry.samples())
        return Block(
            labels=[{"__name__": name, **own, **labels} for name, labels, _ in samples],
            offsets=np.arange(len(samples) + 1, dtype=np.int64),
            times_ms=np.full(len(samples), time.time_ns() // 1_000_000, dtype=np.int64),
            values=np.array([value for _, _, value in samples], dtype=np.float64),
        )
