"""Aggregations: many series to one a group, or to some of each group; groups × steps at once.

Those that fold take rows sorted by group and where each group begins; those that choose return which cells stay.
The tables are at the end.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from opstrace.promql.labelsets import Grouping
from opstrace.promql.quantiles import between, bounded
from opstrace.promql.sums import ROOM, group_fold, group_sums
from opstrace.promql.values import Bools, Floats, Ints
from opstrace.ragged import owners


@dataclass(frozen=True, slots=True)
class Groups:
    """A vector's float samples, the rows sorted by group."""

    values: Floats  # rows × steps
    present: Bools  # rows × steps
    starts: Ints  # groups
    order: Ints  # which series each row was

    @property
    def counts(self) -> Floats:
        """How many samples each group has at each step."""
        if self.present.all():
            return np.broadcast_to(self.sizes[:, None].astype(np.float64), (len(self.starts), self.values.shape[1]))
        return np.add.reduceat(self.present, self.starts, axis=0, dtype=np.int64).astype(np.float64)

    def values_or(self, absent: float) -> Floats:
        """Return the values, and something else where there is no sample."""
        return self.values if self.present.all() else np.where(self.present, self.values, absent)

    @property
    def sizes(self) -> Ints:
        """How many rows each group has."""
        return np.diff(np.append(self.starts, len(self.values)))

    @property
    def rows_of(self) -> Ints:
        """The group of each row."""
        return owners(self.sizes)


def grouped(values: Floats, present: Bools, groups: Grouping) -> Groups:
    """Sort rows by group, keeping their order within."""
    order = np.argsort(groups.ids, kind="stable")
    starts = np.searchsorted(groups.ids[order], np.arange(len(groups.labels)))
    return Groups(values[order], present[order], starts, order)


# Folds


def sum_(groups: Groups) -> Floats:
    """sum(v instant-vector)."""
    return group_sums(groups.values_or(0.0), groups.starts)


def avg(groups: Groups) -> Floats:
    """avg(v instant-vector)."""
    counts = groups.counts
    with np.errstate(all="ignore"):
        means = sum_(groups) / counts
        overflown = np.isinf(means)
        if overflown.any():
            low, high = min_(groups), max_(groups)
            overflown &= np.isfinite(low) & np.isfinite(high)
        if overflown.any():
            scaled = group_sums(np.ldexp(groups.values_or(0.0), -ROOM), groups.starts) / counts
            means = np.where(overflown, np.clip(np.ldexp(scaled, ROOM), low, high), means)
    return means


def count(groups: Groups) -> Floats:
    """count(v instant-vector)."""
    return groups.counts


def group(groups: Groups) -> Floats:
    """group(v instant-vector): 1 for each group."""
    return np.ones((len(groups.starts), groups.values.shape[1]))


def max_(groups: Groups) -> Floats:
    """max(v instant-vector); NaN only where all are."""
    return group_fold(groups.values_or(np.nan), groups.starts, np.fmax)


def min_(groups: Groups) -> Floats:
    """min(v instant-vector); NaN only where all are."""
    return group_fold(groups.values_or(np.nan), groups.starts, np.fmin)


def stdvar(groups: Groups) -> Floats:
    """stdvar(v instant-vector): population variance."""
    with np.errstate(all="ignore"):
        # Measured from a member, so that equal values have none.
        distances = groups.values - max_(groups)[groups.rows_of]
        means = group_sums(np.where(groups.present, distances, 0.0), groups.starts) / groups.counts
        distances -= means[groups.rows_of]
        return group_sums(np.where(groups.present, distances * distances, 0.0), groups.starts) / groups.counts


def stddev(groups: Groups) -> Floats:
    """stddev(v instant-vector): population standard deviation."""
    with np.errstate(all="ignore"):
        return np.sqrt(stdvar(groups))


def quantile(groups: Groups, quantiles: Floats) -> Floats:
    """quantile(q scalar, v instant-vector)."""
    result = np.zeros((len(groups.starts), groups.values.shape[1]))
    for chosen, rows in _by_size(groups):
        values = np.where(groups.present[rows], groups.values[rows], np.nan)
        values.sort(axis=1)
        counts = groups.present[rows].sum(axis=1)
        result[chosen] = _interpolated(values, counts, quantiles)
    return bounded(result, np.broadcast_to(quantiles, result.shape))


def _interpolated(ordered: Floats, counts: Ints, quantiles: Floats) -> Floats:
    """Return quantiles down the middle axis of groups × members × steps, absent members last."""
    # Both NaN values and absent members sort last; among those present NaN counts as the smallest.
    nans = counts - (~np.isnan(ordered)).sum(axis=1)
    with np.errstate(invalid="ignore"):
        rank = np.clip(quantiles, 0.0, 1.0) * np.maximum(counts - 1, 0)
        lower = np.nan_to_num(np.floor(rank)).astype(np.int64)
        weight = rank - lower
        upper = np.minimum(lower + 1, np.maximum(counts - 1, 0))
        return between(_nth(ordered, nans, lower), _nth(ordered, nans, upper), weight)


def _nth(ordered: Floats, nans: Ints, index: Ints) -> Floats:
    found = np.take_along_axis(ordered, np.maximum(index - nans, 0)[:, None, :], axis=1)[:, 0, :]
    return np.where(index < nans, np.nan, found)


def _by_size(groups: Groups) -> Iterator[tuple[Ints, Ints]]:
    """Return the groups of each size with their rows, groups × members."""
    for size in np.unique(groups.sizes):
        chosen = np.flatnonzero(groups.sizes == size)
        yield chosen, groups.starts[chosen, None] + np.arange(size)


# Choices


def topk(groups: Groups, wanted: Ints) -> Bools:
    """topk(k scalar, v instant-vector): the k largest of each group; NaN only when there is nothing else."""
    return _extreme(groups, wanted, -1.0)


def bottomk(groups: Groups, wanted: Ints) -> Bools:
    """bottomk(k scalar, v instant-vector): the k smallest of each group; NaN only when there is nothing else."""
    return _extreme(groups, wanted, 1.0)


def _extreme(groups: Groups, wanted: Ints, sign: float) -> Bools:
    kept = np.zeros(groups.values.shape, dtype=bool)
    for _, rows in _by_size(groups):
        present = groups.present[rows]
        values = np.where(present, sign * groups.values[rows], np.nan)
        limit = _nth_smallest(values, wanted)
        # Whoever is below the limit stays; of those at the limit, and then of the NaNs, whoever comes first.
        with np.errstate(invalid="ignore"):
            chosen = values <= limit
        counts = chosen.sum(axis=1)
        if (counts > wanted).any():
            chosen = values < limit
            chosen |= _first(values == limit, wanted - chosen.sum(axis=1))
        if (counts < wanted).any():
            numbers = ~np.isnan(values)
            chosen |= np.isnan(limit) & numbers
            chosen |= _first(present & ~numbers, wanted - chosen.sum(axis=1))
        kept[rows] = chosen & (wanted > 0)
    return kept


def _nth_smallest(values: Floats, wanted: Ints) -> Floats:
    """Return for groups × members × steps the value of rank `wanted`; NaN when there are fewer."""
    members, most = values.shape[1], int(wanted.max())
    if most < members:
        values = np.partition(values, most, axis=1)[:, :most]
    ordered = np.sort(values, axis=1)
    place = np.clip(wanted - 1, 0, ordered.shape[1] - 1)
    found = np.take_along_axis(ordered, np.broadcast_to(place, (len(values), 1, values.shape[2])), axis=1)
    return np.where(wanted > members, np.nan, found)


def _first(chosen: Bools, wanted: Ints) -> Bools:
    """Return the first `wanted` (groups × steps) of the chosen members."""
    if not chosen.any():
        return chosen
    first: Bools = chosen & (np.cumsum(chosen, axis=1) <= wanted[:, None, :])
    return first


def limitk(groups: Groups, wanted: Ints) -> Bools:
    """limitk(k scalar, v instant-vector): any k of each group, the same ones each time."""
    before: Ints = np.cumsum(groups.present, axis=0)
    base: Ints = before[groups.starts] - groups.present[groups.starts]
    kept: Bools = groups.present & (before - base[groups.rows_of] <= wanted)
    return kept


FOLDS: dict[str, Callable[..., Floats]] = {
    "avg": avg,
    "count": count,
    "group": group,
    "max": max_,
    "min": min_,
    "quantile": quantile,
    "stddev": stddev,
    "stdvar": stdvar,
    "sum": sum_,
}
CHOICES: dict[str, Callable[[Groups, Ints], Bools]] = {"bottomk": bottomk, "limitk": limitk, "topk": topk}
# Aggregations that need labels or text: `aggregation` has them.
SPECIAL = ("count_values", "limit_ratio")
