"""Range functions of counters that say when they began, against a slow implementation that walks sample by sample."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from opstrace.promql import rollup
from opstrace.promql.windows import Windows, windows
from opstrace.store.backend import Block

RANGE_MS, ENDS = 300, [350, 400, 700]

Fast = Callable[[Windows], rollup.Rolled]


@dataclass(frozen=True)
class Point:
    """A sample; its start is 0 when nobody said."""

    at: int
    value: float
    start: int


Slow = Callable[[list[Point], int, int], float | None]


@st.composite
def series(draw: st.DrawFn) -> list[Point]:
    """Samples whose starts are missing, of a counter that goes on, of differences, wrong, or anything."""
    times = sorted(draw(st.sets(st.integers(1, 700), max_size=8)))
    points: list[Point] = []
    for at in times:
        before = points[-1].at if points else 0
        start = draw(
            st.one_of(
                st.sampled_from([0, before, before + 1, at - 1, at, at + 1, points[-1].start if points else 0]),
                st.integers(1, 800),
            )
        )
        points.append(Point(at, float(draw(st.integers(0, 20))), start))
    return points


def anew(before: Point, after: Point) -> bool:
    """Say whether a sample counts from zero again, by its value or by what it says."""
    if after.value < before.value:
        return True
    if after.start == 0:
        return False
    if before.at < after.start < after.at:
        return True
    return after.start == before.at and 0 < before.start < before.at


def slow_increase(points: list[Point], start_ms: int, end_ms: int) -> float | None:
    seen = [point for point in points if start_ms < point.at <= end_ms]
    if not seen:
        return None
    growth = 0.0
    for before, after in pairwise(seen):
        growth += after.value if anew(before, after) else after.value - before.value
    first, last = seen[0], seen[-1]
    sampled = last.at / 1000 - first.at / 1000
    apart = sampled / (len(seen) - 1) if len(seen) > 1 else math.nan
    ahead = within_reach(end_ms / 1000 - last.at / 1000, apart)
    if first.start != 0 and start_ms < first.start < first.at:
        counted = last.at / 1000 - first.start / 1000
        return (growth + first.value) * (1 if len(seen) == 1 else (counted + ahead) / counted)
    if len(seen) == 1:
        return None
    behind = within_reach(first.at / 1000 - start_ms / 1000, apart)
    if growth > 0:
        behind = min(behind, sampled * (first.value / growth))
    return growth * (sampled + behind + ahead) / sampled


def decided_by_rounding(points: list[Point], start_ms: int, end_ms: int) -> bool:
    """Say whether a gap is as wide as it may just be, or just not."""
    seen = [point.at for point in points if start_ms < point.at <= end_ms]
    if not seen:
        return False
    limit = 11 * (seen[-1] - seen[0])
    return limit in (10 * (len(seen) - 1) * (end_ms - seen[-1]), 10 * (len(seen) - 1) * (seen[0] - start_ms))


def within_reach(gap: float, apart: float) -> float:
    return apart / 2 if gap >= apart * 1.1 else gap


def slow_irate(points: list[Point], start_ms: int, end_ms: int) -> float | None:
    seen = [point for point in points if start_ms < point.at <= end_ms][-2:]
    if len(seen) < 2:
        return None
    before, after = seen
    growth = after.value if anew(before, after) else after.value - before.value
    return growth / ((after.at - before.at) / 1000)


def slow_resets(points: list[Point], start_ms: int, end_ms: int) -> float | None:
    seen = [point for point in points if start_ms < point.at <= end_ms]
    return float(sum(anew(*pair) for pair in pairwise(seen))) if seen else None


def block(several: list[list[Point]]) -> Block:
    points = [point for one in several for point in one]
    return Block(
        [{"n": str(i)} for i in range(len(several))],
        np.cumsum([0, *map(len, several)], dtype=np.int64),
        np.array([point.at for point in points], dtype=np.int64),
        np.array([point.value for point in points], dtype=np.float64),
        start_times=np.array([point.start for point in points], dtype=np.int64),
    )


@pytest.mark.parametrize(
    ("fast", "slow"),
    [(rollup.increase, slow_increase), (rollup.irate, slow_irate), (rollup.resets, slow_resets)],
    ids=["increase", "irate", "resets"],
)
@given(several=st.lists(series(), min_size=1, max_size=3))
def test_against_a_slow_one(fast: Fast, slow: Slow, several: list[list[Point]]) -> None:
    ends = np.array(ENDS, dtype=np.int64)
    seen = windows(block(several), 0, len(several), ends - RANGE_MS, ends)
    with np.errstate(all="ignore"):
        values, present = fast(seen)
    for row, points in enumerate(several):
        for step, end_ms in enumerate(ENDS):
            if decided_by_rounding(points, end_ms - RANGE_MS, end_ms):
                continue
            wanted = slow(points, end_ms - RANGE_MS, end_ms)
            assert present[row, step] == (wanted is not None)
            if wanted is not None:
                assert values[row, step] == pytest.approx(wanted, rel=1e-9, abs=1e-9)
