from itertools import groupby

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from opstrace.ragged import owners, places, run_bounds, runs


@given(st.lists(st.integers(0, 5), max_size=20))
def test_places_and_owners_are_those_of_the_lists(sizes: list[int]) -> None:
    lengths = np.array(sizes, dtype=np.int64)
    assert places(lengths).tolist() == [sum(sizes[:index]) for index in range(len(sizes) + 1)]
    assert owners(lengths).tolist() == [number for number, size in enumerate(sizes) for _ in range(size)]
    assert places(lengths).dtype == owners(lengths).dtype == np.int64


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9))))
def test_runs_are_all_their_indexes(pairs: list[tuple[int, int]]) -> None:
    starts, lengths = (np.array([pair[i] for pair in pairs], dtype=np.int64) for i in (0, 1))
    assert runs(starts, lengths).tolist() == [start + i for start, length in pairs for i in range(length)]


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), max_size=20))
def test_runs_have_all_keys_in_common(pairs: list[tuple[int, int]]) -> None:
    keys = (np.array([pair[i] for pair in pairs], dtype=np.int64) for i in (0, 1))
    assert run_bounds(*keys).tolist() == places([len(list(run)) for _, run in groupby(pairs)]).tolist()
