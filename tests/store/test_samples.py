"""Samples put in order run by run, against a dictionary."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from opstrace.store import samples as samples_module
from opstrace.store.samples import Runs, Samples

TIMES = st.integers(-5, 30)
# What parts of a store hold, one after the other: each in the order of series and time.
PARTS = st.lists(st.dictionaries(st.tuples(st.integers(0, 4), TIMES), st.floats(0, 1), max_size=20), max_size=4)


def ordered(parts: list[dict[tuple[int, int], float]], batch: int = 7) -> Samples | None:
    """Put in order what comes part by part, some rows at a time."""
    found = [(*key, value) for part in parts for key, value in sorted(part.items())]
    series, times, values = zip(*found, strict=True) if found else ((), (), ())
    table = pa.table(
        {
            "series": np.array(series, dtype=np.uint64),
            "time_ms": np.array(times, dtype=np.int64),
            "value": np.array(values, dtype=np.float64),
        }
    )
    runs = Runs()
    for rows in table.to_batches(batch):
        runs.add(rows)
    return runs.samples()


@st.composite
def together(draw: st.DrawFn) -> list[dict[tuple[int, int], float]]:
    """Parts of series that were all sampled at the same moments, or but for one."""
    series, times = draw(st.integers(1, 4)), sorted(draw(st.sets(TIMES, min_size=1, max_size=8)))
    part_of = draw(st.lists(st.integers(0, 2), min_size=len(times) * series, max_size=len(times) * series))
    parts: list[dict[tuple[int, int], float]] = [{}, {}, {}]
    for place, part in enumerate(part_of):
        row, column = divmod(place, len(times))
        parts[part][row, times[column]] = place + 0.5
    if draw(st.booleans()):
        part = draw(st.sampled_from([one for one in parts if one]))
        (row, at), value = draw(st.sampled_from(sorted(part.items())))
        del part[row, at]
        part[row, 40] = value
    return parts


def content(samples: Samples) -> list[tuple[int, int, float]]:
    assert samples.offsets[0] == 0
    assert samples.offsets[-1] == len(samples.values) == len(samples.each_time_ms)
    assert (np.diff(samples.offsets) > 0).all()
    owners = np.repeat(samples.series, np.diff(samples.offsets))
    return list(zip(owners.tolist(), samples.each_time_ms.tolist(), samples.values.tolist(), strict=True))


def merged(parts: list[dict[tuple[int, int], float]]) -> dict[tuple[int, int], float]:
    return {key: value for part in parts for key, value in part.items()}


@settings(deadline=None)
@given(PARTS, st.integers(1, 9))
def test_rows_come_in_order_unless_one_is_there_twice(parts: list[dict[tuple[int, int], float]], batch: int) -> None:
    found = ordered(parts, batch)
    together = merged(parts)
    if found is None:
        assert len(together) < sum(map(len, parts))
    else:
        assert content(found) == [(*key, value) for key, value in sorted(together.items())]


@settings(deadline=None)
@given(together(), st.integers(1, 9), st.integers(1, 5))
def test_times_that_all_series_share_are_there_once(
    parts: list[dict[tuple[int, int], float]], batch: int, at_once: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(samples_module, "_ROWS_AT_ONCE", at_once)
        patch.setattr(samples_module, "_COPIED_BYTES", 8 * at_once)
        patch.setattr(samples_module, "_FIRST_ROOM", at_once)
        found = ordered(parts, batch)
    assert found is not None
    assert content(found) == [(*key, value) for key, value in sorted(merged(parts).items())]
    times = {row: tuple(at for one, at in sorted(merged(parts)) if one == row) for row in range(4)}
    assert found.share_times == (len(found.series) > 1 and len({one for one in times.values() if one}) == 1)


@settings(deadline=None)
@given(PARTS | together(), TIMES, TIMES)
def test_a_range_and_what_follows_on_it(
    parts: list[dict[tuple[int, int], float]], one_ms: int, other_ms: int
) -> None:
    start, end = sorted((one_ms, other_ms))
    samples = ordered([merged(parts)])
    assert samples is not None
    assert content(samples.within(start, end)) == [row for row in content(samples) if start <= row[1] <= end]
    assert content(samples.within(-5, end).followed_by(samples.within(end + 1, 40))) == content(samples)


@settings(deadline=None)
@given(PARTS | together(), st.sets(st.integers(0, 5)), TIMES)
def test_some_series_out_of_all(parts: list[dict[tuple[int, int], float]], wanted: set[int], end_ms: int) -> None:
    samples = ordered([merged(parts)])
    assert samples is not None
    found = samples.of(np.array(sorted(wanted), dtype=np.uint64))
    assert content(found) == [row for row in content(samples) if row[0] in wanted]
    times = {row: [at for one, at, _ in content(found) if one == row] for row in found.series.tolist()}
    assert found.share_times == (len(times) > 1 and len(set(map(tuple, times.values()))) == 1)
    assert content(found.within(-5, end_ms)) == [row for row in content(found) if row[1] <= end_ms]


def test_what_follows_must_be_later() -> None:
    samples = ordered([{(1, 5): 1.0}])
    assert samples is not None
    with pytest.raises(ValueError, match="not later"):
        samples.followed_by(samples)
