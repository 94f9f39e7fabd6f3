import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from opstrace.promql.values import Grid
from opstrace.promql.windows import pieces, stale, upto, window_bounds, without
from opstrace.store.backend import Block
from opstrace.store.traits import STALE

STAMPS = st.lists(st.integers(-50, 200), unique=True, max_size=25).map(sorted)


@settings(deadline=None)
@given(
    st.lists(STAMPS, min_size=1, max_size=5),
    st.integers(-20, 60),
    st.integers(1, 30),
    st.integers(1, 12),
    st.integers(1, 80),
)
def test_bounds_are_those_of_a_plain_search(
    series: list[list[int]], start: int, step: int, steps: int, width: int
) -> None:
    ends = start + step * np.arange(steps)
    timestamps = np.array([at for one in series for at in one], dtype=np.int64)
    offsets = np.cumsum([0, *map(len, series)])
    first, last = window_bounds(timestamps, offsets, ends - width, ends)
    for row, one in enumerate(series):
        for column, end in enumerate(ends.tolist()):
            inside = [at for at in one if end - width < at <= end]
            found = timestamps[first[row, column] : last[row, column]].tolist()
            assert found == inside


@settings(deadline=None)
@given(STAMPS, st.lists(st.integers(-60, 220), min_size=1, max_size=9).map(sorted))
def test_uneven_grids_count_the_same(stamps: list[int], moments: list[int]) -> None:
    timestamps = np.array(stamps, dtype=np.int64)
    found = upto(timestamps, np.array([0, len(stamps)]), Grid(np.array(moments)))[0].tolist()
    assert found == [sum(at <= moment for at in stamps) for moment in moments]


def test_only_the_one_stale_marker_is_stale() -> None:
    other = np.array([0x7FF8000000000001], dtype=np.uint64).view(np.float64)
    assert stale(np.array([STALE, np.nan, other[0], 1.0])).tolist() == [True, False, False, False]


@settings(deadline=None)
@given(st.lists(st.lists(st.booleans(), max_size=5), min_size=1, max_size=4))
def test_dropping_samples_keeps_series_apart(unwanted: list[list[bool]]) -> None:
    flags = np.array([flag for one in unwanted for flag in one], dtype=bool)
    offsets = np.cumsum([0, *map(len, unwanted)])
    stamps = np.arange(len(flags))
    block = Block([{"n": str(row)} for row in range(len(unwanted))], offsets, stamps, stamps.astype(np.float64))
    kept = without(block, flags)
    for row in range(len(unwanted)):
        before = stamps[offsets[row] : offsets[row + 1]]
        wanted = before[~flags[offsets[row] : offsets[row + 1]]]
        assert kept.timestamps[kept.offsets[row] : kept.offsets[row + 1]].tolist() == wanted.tolist()


@settings(deadline=None)
@given(st.lists(st.integers(0, 400_000), min_size=1, max_size=12), st.integers(1, 5000))
def test_pieces_cover_every_series_once(lengths: list[int], steps: int) -> None:
    offsets = np.cumsum([0, *lengths])
    block = Block([{}] * len(lengths), offsets, np.empty(0, dtype=np.int64), np.empty(0))
    covered = [row for start, end in pieces(block, steps) for row in range(start, end)]
    assert covered == list(range(len(lengths)))
