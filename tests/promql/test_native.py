import math

from hypothesis import given, settings
from hypothesis import strategies as st

from opstrace.promql import native, trim
from opstrace.promql.numbers import short
from opstrace.store.budget import Budget
from opstrace.store.histogram import CUSTOM_BOUNDS, NativeHistogram

COUNTS = st.dictionaries(st.integers(-12, 12), st.integers(1, 50).map(float), max_size=8)


@st.composite
def exponential(draw: st.DrawFn) -> NativeHistogram:
    schema, threshold = draw(st.integers(-2, 3)), draw(st.sampled_from([0.0, 0.001, 0.3]))
    # No bucket lies within the zero bucket.
    positive, negative = (
        {place: count for place, count in draw(COUNTS).items() if native.bound(place, schema) > threshold}
        for _ in range(2)
    )
    zero = float(draw(st.integers(0, 9)))
    count = zero + sum(positive.values()) + sum(negative.values())
    return NativeHistogram(schema, count, draw(st.integers(-99, 99)), threshold, zero, positive, negative)


@st.composite
def custom(draw: st.DrawFn) -> NativeHistogram:
    bounds = tuple(sorted(draw(st.sets(st.integers(-9, 9).map(float), min_size=1, max_size=5))))
    counts = {place: float(draw(st.integers(0, 9))) for place in range(len(bounds) + 1)}
    return NativeHistogram(CUSTOM_BOUNDS, sum(counts.values()), 1.0, positive=counts, custom_bounds=bounds)


HISTOGRAMS = st.one_of(exponential(), custom())
PAIRS = st.one_of(st.tuples(exponential(), exponential()), st.tuples(custom(), custom()))


def populated(histogram: NativeHistogram) -> float:
    return histogram.zero_count + sum(histogram.positive.values()) + sum(histogram.negative.values())


@settings(deadline=None)
@given(PAIRS)
def test_a_sum_has_the_observations_of_both_and_does_not_mind_the_order(
    pair: tuple[NativeHistogram, NativeHistogram],
) -> None:
    left, right = pair
    there, back = native.combined(left, right).histogram, native.combined(right, left).histogram
    assert native.same(there, back)
    assert there.count == left.count + right.count
    assert populated(there) == populated(left) + populated(right)


@settings(deadline=None)
@given(PAIRS)
def test_taking_away_what_was_added_leaves_the_counts(pair: tuple[NativeHistogram, NativeHistogram]) -> None:
    left, right = pair
    back = native.combined(native.combined(left, right).histogram, right, -1.0).histogram
    assert back.count == left.count
    assert populated(back) == populated(left)


@settings(deadline=None)
@given(st.lists(exponential(), min_size=1, max_size=5))
def test_a_mean_times_the_number_is_the_sum(histograms: list[NativeHistogram]) -> None:
    check = Budget().check
    whole, mean = native.total(histograms, check).histogram, native.mean(histograms, check).histogram
    assert math.isclose(mean.count * len(histograms), whole.count, abs_tol=1e-9)
    assert math.isclose(mean.sum * len(histograms), whole.sum, abs_tol=1e-9)


@settings(deadline=None)
@given(HISTOGRAMS, st.floats(0, 1), st.floats(0, 1))
def test_quantiles_ascend(histogram: NativeHistogram, one: float, other: float) -> None:
    low, high = sorted((one, other))
    first, second = native.quantile(histogram, low), native.quantile(histogram, high)
    assert (math.isnan(first) and math.isnan(second)) or first <= second + 1e-9 * abs(second)


@settings(deadline=None)
@given(HISTOGRAMS, st.floats(-20, 20), st.floats(-20, 20))
def test_fractions_lie_between_nothing_and_everything(histogram: NativeHistogram, one: float, other: float) -> None:
    low, high = sorted((one, other))
    share = native.fraction(histogram, low, high)
    assert math.isnan(share) if histogram.count == 0 else -1e-12 <= share <= 1 + 1e-12


@settings(deadline=None)
@given(exponential(), st.floats(-20, 20))
def test_trimming_on_both_sides_keeps_every_observation_once(histogram: NativeHistogram, limit: float) -> None:
    below, above = trim.kept_below(histogram, limit), trim.kept_above(histogram, limit)
    if histogram.zero_threshold == 0 and limit == 0:
        return  # observations of zero lie on both sides of it
    assert math.isclose(below.count + above.count, histogram.count, abs_tol=1e-9)


@settings(deadline=None)
@given(exponential(), st.integers(1, 3))
def test_a_counter_that_grew_was_not_reset_and_one_that_fell_was(histogram: NativeHistogram, factor: int) -> None:
    more = native.multiplied(histogram, 1 + factor)
    assert not native.was_reset(more, histogram)
    assert native.was_reset(histogram, more) == (histogram.count > 0)


def test_numbers_are_spelled_as_go_spells_them() -> None:
    spelled = {
        1.0: "1",
        0.25: "0.25",
        1e21: "1e+21",
        1.5e-7: "1.5e-07",
        -2e30: "-2e+30",
        123456789.0: "1.23456789e+08",
    }
    spelled |= {999999.5: "999999.5", 1e6: "1e+06", 0.0001: "0.0001", 0.00012: "0.00012", 0.00009: "9e-05"}
    assert {number: short(number) for number in spelled} == spelled
