"""Samples put in order run by run, against a dictionary."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from opstrace.store.samples import Rows, Samples

TIMES = st.integers(-5, 30)
# What parts of a store hold, one after the other: each in the order of series and time.
PARTS = st.lists(st.dictionaries(st.tuples(st.integers(0, 4), TIMES), st.floats(0, 1), max_size=20), max_size=4)


def rows(parts: list[dict[tuple[int, int], float]]) -> Rows:
    found = [(*key, value) for part in parts for key, value in sorted(part.items())]
    series, times, values = zip(*found, strict=True) if found else ((), (), ())
    return Rows(
        np.array(series, dtype=np.uint64),
        np.array(times, dtype=np.int64),
        np.array(values, dtype=np.float64),
        np.zeros(0, dtype=np.uint64),
    )


def content(samples: Samples) -> list[tuple[int, int, float]]:
    assert samples.offsets[0] == 0
    assert samples.offsets[-1] == len(samples.values) == len(samples.times_ms)
    assert (np.diff(samples.offsets) > 0).all()
    owners = np.repeat(samples.series, np.diff(samples.offsets))
    return list(zip(owners.tolist(), samples.times_ms.tolist(), samples.values.tolist(), strict=True))


def merged(parts: list[dict[tuple[int, int], float]]) -> dict[tuple[int, int], float]:
    return {key: value for part in parts for key, value in part.items()}


@settings(deadline=None)
@given(PARTS)
def test_rows_come_in_order_unless_one_is_there_twice(parts: list[dict[tuple[int, int], float]]) -> None:
    found = Samples.of(rows(parts))
    together = merged(parts)
    if found is None:
        assert len(together) < sum(map(len, parts))
    else:
        assert content(found) == [(*key, value) for key, value in sorted(together.items())]


@settings(deadline=None)
@given(PARTS, TIMES, TIMES)
def test_a_range_and_what_follows_on_it(
    parts: list[dict[tuple[int, int], float]], one_ms: int, other_ms: int
) -> None:
    start, end = sorted((one_ms, other_ms))
    samples = Samples.of(rows([merged(parts)]))
    assert samples is not None
    assert content(samples.within(start, end)) == [row for row in content(samples) if start <= row[1] <= end]
    assert content(samples.within(-5, end).followed_by(samples.within(end + 1, 30))) == content(samples)


def test_what_follows_must_be_later() -> None:
    samples = Samples.of(rows([{(1, 5): 1.0}]))
    assert samples is not None
    with pytest.raises(ValueError, match="not later"):
        samples.followed_by(samples)
