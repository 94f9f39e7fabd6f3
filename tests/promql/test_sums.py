import math
from itertools import pairwise

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from opstrace.promql.sums import group_fold, group_sums, window_sums
from opstrace.promql.windows import Windows

FINITE = st.floats(allow_nan=False, allow_infinity=False, min_value=-1e150, max_value=1e150)
ANY = st.one_of(FINITE, st.sampled_from([math.nan, math.inf, -math.inf, 1e100, -1e100, 0.1, 5e-324]))


def windows(values: list[float], bounds: list[tuple[int, int]]) -> Windows:
    first, last = (np.array([[pair[side] for pair in bounds]], dtype=np.int64) for side in (0, 1))
    moments = np.arange(len(bounds), dtype=np.int64)
    stamps = np.arange(len(values), dtype=np.int64)
    offsets = np.array([0, len(values)])
    return Windows(stamps, np.array(values, dtype=np.float64), offsets, first, last, moments, moments)


@settings(deadline=None)
@given(st.lists(FINITE, min_size=1, max_size=40), st.data())
def test_window_sums_are_exact_to_the_last_digits(values: list[float], data: st.DataObject) -> None:
    index = st.integers(0, len(values))
    bounds = data.draw(
        st.lists(st.tuples(index, index).map(lambda pair: tuple(sorted(pair))), min_size=1, max_size=9)
    )
    sums = window_sums(windows(values, bounds))[0]
    for found, (first, last) in zip(sums.tolist(), bounds, strict=True):
        exact = math.fsum(values[first:last])
        # Neumaier's sum loses what cancels below twice the precision; nobody asks for more.
        magnitude = sum(abs(value) for value in values[first:last])
        assert abs(found - exact) <= 4e-16 * abs(exact) + 1e-31 * magnitude


@settings(deadline=None)
@given(st.lists(ANY, min_size=1, max_size=20), st.data())
def test_a_window_owes_nothing_to_samples_outside_it(values: list[float], data: st.DataObject) -> None:
    first = data.draw(st.integers(0, len(values) - 1))
    last = data.draw(st.integers(first + 1, len(values)))
    whole = window_sums(windows(values, [(first, last)]))[0, 0]
    alone = window_sums(windows(values[first:last], [(0, last - first)]))[0, 0]
    assert whole == alone or (math.isnan(whole) and math.isnan(alone)) or math.isclose(whole, alone, rel_tol=1e-15)


@settings(deadline=None)
@given(st.lists(st.lists(FINITE, min_size=1, max_size=9), min_size=1, max_size=6))
def test_group_sums_are_compensated(groups: list[list[float]]) -> None:
    rows = np.array([[value] for group in groups for value in group])
    starts = np.cumsum([0, *(len(group) for group in groups[:-1])])
    for found, group in zip(group_sums(rows, starts)[:, 0].tolist(), groups, strict=True):
        magnitude = sum(map(abs, group))
        assert abs(found - math.fsum(group)) <= 4e-16 * abs(math.fsum(group)) + 1e-30 * magnitude
    largest = group_fold(rows, starts, np.fmax)[:, 0].tolist()
    assert largest == [max(group) for group in groups]


@settings(deadline=None)
@given(st.lists(st.tuples(ANY, ANY), min_size=16, max_size=90), st.data())
def test_sums_of_large_groups_are_those_of_small_ones(rows: list[tuple[float, float]], data: st.DataObject) -> None:
    """Each step by itself: what is large in one takes nothing from another; and each group, of one size or not."""
    values = np.array(rows)
    size, odd = data.draw(st.integers(16, 30)), data.draw(st.integers(0, 1))
    count = max(len(rows) // (size + odd), 1)
    starts = np.arange(count) * size + odd * (np.arange(count) > 0)
    bounds = [*starts.tolist(), len(rows)]
    for group, (first, last) in enumerate(pairwise(bounds)):
        for step in range(2):
            column = values[first:last, step].tolist()
            found = group_sums(values, starts)[group, step]
            if all(map(math.isfinite, column)):
                exact, magnitude = math.fsum(column), sum(map(abs, column))
                assert abs(found - exact) <= 4e-16 * abs(exact) + 1e-27 * magnitude
            else:
                assert repr(found) == repr(np.float64(sum(column)))


def test_large_groups_of_the_largest_numbers() -> None:
    """There is no power of two beyond them to split them by."""
    rows = np.array([1e308, 1.0, -1e308] + [0.0] * 20)[:, None]
    assert group_sums(rows, np.array([0]))[0, 0] == 1.0
    assert math.isinf(group_sums(np.full((20, 1), 1e308), np.array([0]))[0, 0])
    assert group_sums(np.full((20, 1), 5e-324), np.array([0]))[0, 0] == 20 * 5e-324


def test_what_cancels_in_plain_sums_survives() -> None:
    values = [1.0, 1e100, 1.0, -1e100] * 3
    assert window_sums(windows(values, [(0, 12), (0, 4), (1, 3)]))[0].tolist() == [6.0, 2.0, 1e100]
    rows = np.array(values)[:, None]
    assert group_sums(rows[:4], np.array([0]))[0, 0] == 2.0
    assert math.isinf(group_sums(np.array([[1e308], [1e308]]), np.array([0]))[0, 0])


@settings(deadline=None)
@given(st.lists(st.lists(ANY, max_size=9), min_size=1, max_size=6), st.booleans(), st.data())
def test_a_window_owes_nothing_to_other_series(
    series: list[list[float]], together: bool, data: st.DataObject
) -> None:
    """Neither where each series has bounds of its own, nor where all were sampled at the same moments."""
    if together:
        series = [(one + [1.5] * 9)[:9] for one in series]
    index = st.integers(0, 9)
    bounds = data.draw(
        st.lists(st.tuples(index, index).map(lambda pair: tuple(sorted(pair))), min_size=1, max_size=5)
    )
    own = [[(min(first, len(one)), min(last, len(one))) for first, last in bounds] for one in series]
    alone = [window_sums(windows(one, of_one))[0].tolist() for one, of_one in zip(series, own, strict=True)]
    offsets = np.cumsum([0, *map(len, series)])
    stamps = np.concatenate([np.arange(len(one)) for one in series])
    moments = np.arange(len(bounds), dtype=np.int64)
    if together:
        values, (first, last) = np.array(series), np.array(bounds).T
        found = window_sums(Windows(stamps[:9], values, offsets, first, last, moments, moments))
    else:
        first, last = (np.array([[pair[side] for pair in of_one] for of_one in own]) for side in (0, 1))
        first, last = first + offsets[:-1, None], last + offsets[:-1, None]
        found = window_sums(Windows(stamps, np.concatenate(series), offsets, first, last, moments, moments))
    np.testing.assert_array_equal(found, alone)
