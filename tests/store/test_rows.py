"""Rows of samples come part by part; put in order they are what sorting makes of them."""

from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from opstrace.store.select import Rows

# Series and time of samples; a part holds them sorted.
PARTS = st.lists(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 30)), max_size=20), max_size=5)


@given(PARTS)
def test_order(parts: list[list[tuple[int, int]]]) -> None:
    """Whatever lies in which part, a series' samples are together and ascend, and each keeps its value."""
    found = [sample for part in parts for sample in sorted(set(part))]
    series = np.array([one for one, _ in found], dtype=np.uint64)
    times = np.array([at for _, at in found], dtype=np.int64)
    values = np.arange(len(found), dtype=np.float64)
    rows = Rows(series, times, values, np.zeros(0, dtype=np.uint64)).ordered()
    shown = list(zip(rows.series.tolist(), rows.times_ms.tolist(), strict=True))
    starts = [n for n in range(len(shown)) if n == 0 or shown[n][0] != shown[n - 1][0]]
    assert len({shown[n][0] for n in starts}) == len(starts)
    assert all(a[0] != b[0] or a[1] <= b[1] for a, b in pairwise(shown))
    assert sorted(zip(shown, rows.values.tolist(), strict=True)) == sorted(zip(found, values.tolist(), strict=True))
    assert rows.repeat() == (len(set(found)) < len(found))
