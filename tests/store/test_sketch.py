"""Sketches against the Agent's numbers (dogstatsd-and-sketches.md, sections 10 to 13) and against plain sorting."""

import math
from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from opstrace.promql import native
from opstrace.store.sketch import (
    GAMMA,
    HISTOGRAM_SCHEMA,
    LARGEST_KEY,
    Sketches,
    keys_of,
    merged,
    native_histograms,
    quantiles,
    sketches_of,
    values_of,
)

FRACTIONS = (0.5, 0.75, 0.9, 0.95, 0.99)
# How far an estimate may be from the value at its rank.
AGENT_BOUNDS = (-(GAMMA**0.5 - 1), GAMMA**1.5 - 1)
HISTOGRAM_BOUND = GAMMA**0.5 * 2 ** (1 / 2**HISTOGRAM_SCHEMA) - 1


def sketch(values: Iterable[float]) -> Sketches:
    numbers = np.array(list(values), dtype=np.float64)
    return sketches_of(numbers, np.array([0, len(numbers)]))


def bins(sketches: Sketches, index: int = 0) -> dict[int, int]:
    span = slice(sketches.offsets[index], sketches.offsets[index + 1])
    return dict(zip(sketches.keys[span].tolist(), sketches.counts[span].tolist(), strict=True))


def unclamped(estimates: Sequence[float], largest: float) -> list[float]:
    """The table was made without holding estimates between minimum and maximum; ours are."""
    return [min(estimate, largest) for estimate in estimates]


def test_every_key_is_the_key_of_its_own_value() -> None:
    keys = np.arange(-LARGEST_KEY, LARGEST_KEY + 1).astype(np.int16)
    assert np.array_equal(keys_of(values_of(keys)), keys)


@pytest.mark.parametrize(
    ("value", "key", "middle"),
    [
        (0.0, 0, 0.0), (9.9e-10, 0, 0.0), (1e-9, 1, 9.94185409e-10), (1e-6, 447, 1.00128117e-6),
        (0.001, 892, 0.000992913314), (0.01, 1041, 0.0100042688), (0.1, 1189, 0.0992489644), (0.5, 1293, 0.497734541),
        (1, 1338, 1), (1.008, 1339, 1.015625), (2, 1383, 2.00910308), (5, 1442, 5.01500992), (10, 1487, 10.0756719),
        (42, 1579, 41.9512804), (100, 1635, 99.9573306), (250, 1694, 249.507857), (1000, 1784, 1007.13727),
        (1e6, 2229, 998720.465), (1e9, 2675, 1.0058486e9), (-10, -1487, -10.0756719), (1e300, 32767, math.inf),
    ],
)  # fmt: skip
def test_keys_and_values_are_the_agents(value: float, key: int, middle: float) -> None:
    assert keys_of(np.array([value])).tolist() == [key]
    assert values_of(np.array([key], dtype=np.int16))[0] == pytest.approx(middle, rel=1e-8)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([5.0], [5, 5, 5, 5, 5]),
        (range(1, 6), [3.006562, 3.974395, 5.015010, 5.015010, 5.015010]),
        (range(1, 11), [5.015010, 7.984970, 9.039415, 10.075672, 10.075672]),
        ([0.1, 0.2, 0.3], [0.199401, 0.298398, 0.298398, 0.298398, 0.298398]),
        ([100.0] * 10, [100.607666, 101.063415, 101.215331, 101.367248, 101.367248]),
        ([0.0] * 5, [0, 0, 0, 0, 0]),
        ([-1, -2, -3], [-2.009103, -1, -1, -1, -1]),
        (range(1, 51), [25.150325, 38.224774, 45.332757, 48.233154, 49.752216]),
        (range(51, 101), [75.034349, 88.297333, 95.414527, 98.419526, 99.957331]),
        (range(1, 101), [51.319119, 75.034349, 90.377581, 95.414527, 99.188428]),
        (range(1, 1001), [504.224, 755.489, 906.581, 957.140, 997.453]),
    ],
)
def test_estimates_are_the_agents(values: Sequence[float], expected: list[float]) -> None:
    found = quantiles(sketch(values), FRACTIONS)[0]
    assert found.tolist() == pytest.approx(unclamped(expected, max(values)), rel=3e-6)


def test_the_wire_example_has_these_bins_and_estimates() -> None:
    made = sketch([1, 2, 2, 10, -3, 0])
    assert bins(made) == {-1409: 1, 0: 1, 1338: 1, 1383: 2, 1487: 1}
    assert (made.cnt[0], made.min[0], made.max[0], made.sum[0]) == (6, -3, 10, 12)
    found = quantiles(made, (0.25, 0.5, 0.75, 0.9, 0.95, 0.99))[0].tolist()
    assert found == pytest.approx([0, 1, 2.0247992, 2.0247992, 10, 10], rel=1e-7)


def test_the_ends_are_exact_and_nothing_has_no_quantile() -> None:
    assert quantiles(sketch([1.5, 7.25, 3]), (0, 1, -1, 2)).tolist() == [[1.5, 7.25, 1.5, 7.25]]
    nothing = np.zeros(1, dtype=np.int64)
    empty = Sketches(nothing, nothing * 1.0, nothing * 1.0, nothing * 1.0, np.zeros(2, dtype=np.int64), *EMPTY_BINS)
    assert np.isnan(quantiles(empty, (0.5,))).all()


EMPTY_BINS = (np.zeros(0, dtype=np.int16), np.zeros(0, dtype=np.int64))

finite = st.floats(-1e200, 1e200, allow_nan=False)
positive = st.floats(1e-8, 1e12)
several = st.lists(st.lists(finite, min_size=1, max_size=30), min_size=1, max_size=6)


@given(several)
def test_bins_are_counts_of_keys(lists: list[list[float]]) -> None:
    made = sketches_of(np.concatenate(lists), np.cumsum([0, *map(len, lists)]))
    for index, values in enumerate(lists):
        assert bins(made, index) == Counter(keys_of(np.array(values)).tolist())
        assert list(bins(made, index)) == sorted(bins(made, index))


@given(several, st.data())
def test_merged_sketches_are_one_of_all_values(lists: list[list[float]], data: st.DataObject) -> None:
    """Whatever the grouping, however often: bins, count, minimum and maximum are exact, the sum but for rounding."""
    groups = np.sort(data.draw(st.lists(st.integers(0, 2), min_size=len(lists), max_size=len(lists))))
    made = merged(sketches_of(np.concatenate(lists), np.cumsum([0, *map(len, lists)])), groups)
    together = [
        [value for values, own in zip(lists, groups, strict=True) if own == group for value in values]
        for group in np.unique(groups)
    ]
    wanted = sketches_of(np.concatenate(together), np.cumsum([0, *map(len, together)]))
    for name in ("cnt", "min", "max", "offsets", "keys", "counts"):
        assert np.array_equal(getattr(made, name), getattr(wanted, name)), name
    magnitudes = [sum(map(abs, values)) for values in together]
    assert np.all(np.abs(made.sum - wanted.sum) <= 1e-12 * np.array(magnitudes))


@given(st.lists(positive, min_size=1, max_size=200), st.floats(0.001, 0.999))
def test_an_estimate_is_within_the_agents_bounds(values: list[float], wanted: float) -> None:
    exact = sorted(values)[round(wanted * (len(values) - 1))]
    estimate = quantiles(sketch(values), (wanted,))[0, 0]
    assert AGENT_BOUNDS[0] - 1e-9 <= estimate / exact - 1 <= AGENT_BOUNDS[1] + 1e-9
    assert min(values) <= estimate <= max(values)


@given(st.lists(positive | positive.map(lambda value: -value), min_size=1, max_size=200), st.floats(0.001, 0.999))
def test_a_histograms_estimate_is_within_its_bound(values: list[float], wanted: float) -> None:
    """The bound that docs/translation.md states, against the value whose rank PromQL estimates."""
    rank = max(math.ceil(wanted * len(values)), 1)
    exact = sorted(values)[rank - 1]
    (histogram,) = native_histograms(sketch(values))
    estimate = native.quantile(histogram, wanted)
    # On the edge of two buckets, rounding of the rank may choose either.
    near = {exact, *sorted(values)[max(rank - 2, 0) : rank + 1]} if _on_an_edge(wanted * len(values)) else {exact}
    assert min(abs(estimate / one - 1) for one in near) <= HISTOGRAM_BOUND + 1e-9


def _on_an_edge(rank: float) -> bool:
    return abs(rank - round(rank)) < 1e-6


def test_the_documented_bound_is_the_bound() -> None:
    assert round(HISTOGRAM_BOUND * 100, 2) == 1.05
    assert HISTOGRAM_BOUND <= 0.0106


@given(several)
def test_a_histogram_counts_what_the_sketch_counts(lists: list[list[float]]) -> None:
    made = sketches_of(np.concatenate(lists), np.cumsum([0, *map(len, lists)]))
    for index, histogram in enumerate(native_histograms(made)):
        counted = bins(made, index)
        assert histogram.count == made.cnt[index]
        assert histogram.sum == made.sum[index]
        assert histogram.zero_count == counted.get(0, 0)
        assert sorted(histogram.positive.values()) == sorted(n for key, n in counted.items() if key > 0)
        assert sorted(histogram.negative.values()) == sorted(n for key, n in counted.items() if key < 0)


@pytest.mark.parametrize("spread", [0.02, 0.3, 1.0])
def test_lognormal_values_are_estimated_closely(spread: float) -> None:
    """Section 13: from p1 to p99 within 0.8 % at this resolution, whatever the spread."""
    values = np.random.default_rng(7).lognormal(3, spread, 100_000)
    (histogram,) = native_histograms(sketch(values))
    for percent in range(1, 100):
        exact = np.sort(values)[math.ceil(percent / 100 * len(values)) - 1]
        assert abs(native.quantile(histogram, percent / 100) / exact - 1) < 0.008
