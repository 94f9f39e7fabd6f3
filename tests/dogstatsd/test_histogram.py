"""The index rules and weights of histograms (dogstatsd-and-sketches.md, sections 5.2 and 5.3)."""

import numpy as np
import pytest

from dogstatsd.heard import settings_of
from opstrace.dogstatsd.histogram import Samples, aggregates

SETTINGS = {
    "histogram_aggregates": ["max", "min", "median", "avg", "sum", "count"],
    "histogram_percentiles": ["0.75", "0.90", "0.95", "0.99"],
}
# How many samples 1, 2, 3 …; then median, p75, p90, p95, p99.
ROWS = [
    (1, [1, 1, 1, 1, 1]),
    (2, [1, 2, 2, 2, 2]),
    (4, [2, 3, 4, 4, 4]),
    (5, [3, 4, 5, 5, 5]),
    (10, [5, 8, 9, 10, 10]),
    (20, [10, 15, 18, 19, 20]),
    (21, [11, 16, 19, 20, 21]),
    (100, [50, 75, 90, 95, 99]),
]


def of(samples: list[float], weights: list[float]) -> dict[str, float]:
    made = Samples.of(np.array(samples, dtype=np.float64), np.array(weights, dtype=np.float64))
    return {aggregate.suffix: aggregate.of(made) for aggregate in aggregates(settings_of(SETTINGS))}


@pytest.mark.parametrize(("number", "expected"), ROWS)
def test_index_rules(number: int, expected: list[int]) -> None:
    found = of([float(value) for value in range(number, 0, -1)], [1.0] * number)
    percentiles = [found[f"{percent}percentile"] for percent in (75, 90, 95, 99)]
    assert [found["median"], *percentiles] == expected
    assert (found["min"], found["max"], found["sum"]) == (1, number, number * (number + 1) / 2)


@pytest.mark.parametrize(
    ("samples", "rates", "avg", "count"),
    [
        ([10, 20], [0.3, 0.3], 15, 0.66666667),
        ([10, 20], [0.7, 1], 14.117647, 0.24285714),
        ([10, 20, 30], [0.5, 0.5, 0.5], 20, 0.6),
        ([1, 100], [0.1, 1], 10, 1.1),
    ],
)
def test_weights(samples: list[float], rates: list[float], avg: float, count: float) -> None:
    found = of(samples, [1 / rate for rate in rates])
    assert (found["avg"], found["count"]) == pytest.approx((avg, count))


def test_every_integer_rule() -> None:
    """With unit weights the running weights give the integer rule, for all sizes and percentiles."""
    every = [f"{percent / 100:.2f}" for percent in range(1, 101)]
    made = aggregates(settings_of({"histogram_aggregates": ["median"], "histogram_percentiles": every}))
    for number in (*range(1, 130), 399):
        samples = Samples.of(np.arange(number, dtype=np.float64), np.ones(number))
        median, *percentiles = [aggregate.of(samples) for aggregate in made]
        assert median == (number - 1) // 2
        assert percentiles == [max((percent * number - 1) // 100, 0) for percent in range(1, 101)]
