"""Quantiles of numbers, interpolated between neighbours; NaN counts as the smallest of all."""

import numpy as np

from opstrace.promql.values import Floats, Ints


def sorted_quantiles(values: Floats, counts: Ints, quantiles: Floats) -> Floats:
    """Return for each row the quantile of its first `counts` values; the rest of the row is NaN.

    Below 0 is -Inf, above 1 is +Inf, NaN is NaN.
    """
    ordered = np.sort(values, axis=1)
    nans = counts - (~np.isnan(ordered)).sum(axis=1)
    with np.errstate(invalid="ignore"):
        rank = np.clip(quantiles, 0.0, 1.0) * (counts - 1)
        lower = np.nan_to_num(np.floor(rank)).astype(np.int64)
        upper = np.minimum(lower + 1, counts - 1)
        weight = rank - lower
        result = between(_nth(ordered, nans, lower), _nth(ordered, nans, upper), weight)
    return bounded(result, quantiles)


def between(lower: Floats, upper: Floats, weight: Floats) -> Floats:
    """Return what lies between two values; without weight the upper one does not count, infinite or not."""
    return np.where(weight == 0, lower, lower * (1 - weight) + upper * weight)


def bounded(result: Floats, quantiles: Floats) -> Floats:
    """Return the results with those of impossible quantiles replaced."""
    result = np.where(quantiles < 0, -np.inf, np.where(quantiles > 1, np.inf, result))
    return np.where(np.isnan(quantiles), np.nan, result)


def _nth(ordered: Floats, nans: Ints, index: Ints) -> Floats:
    # Sorting puts NaN last; in a quantile it comes first.
    place = np.maximum(index - nans, 0)
    found = ordered[np.arange(len(ordered)), place]
    return np.where(index < nans, np.nan, found)
