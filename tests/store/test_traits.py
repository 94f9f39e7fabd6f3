"""Facts about samples are what a look at each sample says."""

from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from opstrace.store.traits import STALE, Traits

SERIES = st.lists(
    st.dictionaries(st.integers(0, 3), st.sampled_from([1.0, 2.0, float("nan"), STALE]), max_size=3).map(
        lambda one: sorted(one.items())
    ),
    max_size=3,
)


@given(SERIES)
def test_what_is_known_of_all_samples_is_what_each_says(series: list[list[tuple[int, float]]]) -> None:
    offsets = np.cumsum([0, *map(len, series)])
    samples = [sample for one in series for sample in one]
    times = np.array([at for at, _ in samples], dtype=np.int64)
    values = np.array([value for _, value in samples], dtype=np.float64)
    traits = Traits(offsets, times, values)
    moments = {tuple(at for at, _ in one) for one in series}
    common = None if len(moments) != 1 or moments == {()} else list(moments.pop())
    assert (None if traits.together is None else traits.together.tolist()) == common
    assert traits.ended == any(
        np.float64(value).view(np.uint64) == np.float64(STALE).view(np.uint64) for _, value in samples
    )
    falls = any(later < earlier for one in series for (_, earlier), (_, later) in pairwise(one))
    assert traits.rising == (common is not None and not falls)
