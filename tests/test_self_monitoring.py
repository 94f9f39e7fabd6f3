"""What the server writes of itself: a counter that appears was zero before."""

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from opstrace.self_monitoring import SelfMonitoring
from opstrace.store.backend import Block
from opstrace.telemetry import Telemetry


class Parts:
    """Stands for all that is looked at, and takes the blocks."""

    def __init__(self) -> None:
        self.blocks: list[Block] = []
        self.recent = SimpleNamespace(nbytes=0)
        self.disk = SimpleNamespace(merges_stopped=False)

    def tables(self) -> list[Any]:
        return []

    def merged_rows(self) -> int:
        return 0

    async def write(self) -> None:
        """Write nothing."""

    async def append(self, _tenant: str, block: Block) -> None:
        self.blocks.append(block)


def test_the_first_sample_of_a_counter_says_when_its_counting_began(tmp_path: Path) -> None:
    parts, telemetry = Parts(), Telemetry()
    instance: Any = SimpleNamespace(
        name="demo", data_directory=tmp_path, config=SimpleNamespace(all_tenants=("one",))
    )

    async def none() -> list[Any]:
        return []

    part = cast("Any", parts)
    monitoring = SelfMonitoring(lambda: instance, telemetry, part, part, part, part, none)

    async def observed() -> None:
        await monitoring.observe()
        telemetry.fates["points"].refused.labels("one", "future").inc(1000)
        await monitoring.observe()
        telemetry.fates["points"].refused.labels("one", "future").inc(1)
        await monitoring.observe()

    asyncio.run(observed())
    found = []
    for block in parts.blocks:
        assert block.start_times is not None
        for row, labels in enumerate(block.labels):
            if labels["__name__"] == "dd_api_refused_points_total":
                found.append((float(block.values[row]), int(block.start_times[row]), int(block.times_ms[row])))
    (first, start_ms, _), (second, none_said, _) = found
    assert (first, second, none_said) == (1000, 1001, 0)
    assert start_ms == parts.blocks[0].times_ms[0]
    said = {
        labels["__name__"]
        for block in parts.blocks
        if block.start_times is not None
        for labels, start in zip(block.labels, block.start_times.tolist(), strict=True)
        if start
    }
    assert said
    assert all(name.endswith(("_total", "_bucket", "_sum", "_count")) for name in said)
