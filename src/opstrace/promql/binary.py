"""Operators between scalars and vectors: the join is made of labels once, then arrays do the rest.

A join is a table of pairs (row of the "many" side, row of the "one" side); one row of the result a pair.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from opstrace.errors import ExecutionError
from opstrace.promql import mixed, native
from opstrace.promql.labelsets import METADATA, NAME, Grouping, all_but, grouping, identities, only, spelled
from opstrace.promql.tree import Matching
from opstrace.promql.values import Bools, Floats, Ints, Vector, stacked
from opstrace.ragged import owners, run_bounds, runs
from opstrace.store.backend import Labels, memoised_pair
from opstrace.store.histogram import NativeHistogram


def _power(base: Floats, exponent: Floats) -> Floats:
    # For an exponent of a half numpy may take the square root, which is NaN for -Inf and -0 for -0.
    powers: Floats = np.power(base, exponent)
    if (half := exponent == 0.5).any() and (odd := half & ~(base > 0)).any():
        values = np.broadcast_to(base, powers.shape)[odd]
        powers[odd] = np.abs(np.where(np.isinf(values), values, powers[odd]))
    return powers


ARITHMETIC: dict[str, Callable[[Floats, Floats], Floats]] = {
    "+": np.add,
    "-": np.subtract,
    "*": np.multiply,
    "/": np.divide,
    "%": np.fmod,
    "^": _power,
    "atan2": np.arctan2,
}
_SAME_LABELSET = "vector cannot contain metrics with the same labelset"
# Of native histograms alone; see `trim`.
TRIM = frozenset(("</", ">/"))
COMPARISON: dict[str, Callable[[Floats, Floats], Bools]] = {
    "==": np.equal,
    "!=": np.not_equal,
    ">": np.greater,
    "<": np.less,
    ">=": np.greater_equal,
    "<=": np.less_equal,
}


def between_scalars(op: str, left: Floats, right: Floats) -> Floats:
    """Return `left op right`; comparisons yield 0 or 1."""
    with np.errstate(all="ignore"):
        if op in COMPARISON:
            return COMPARISON[op](left, right).astype(np.float64)
        return ARITHMETIC[op](left, right)


def with_scalar(
    op: str,
    vector: Vector,
    scalar: Floats,
    tell: mixed.Telling,
    *,
    scalar_first: bool = False,
    returns_bool: bool = False,
) -> Vector:
    """Return `vector op scalar` or `scalar op vector`; a comparison without bool keeps the vector's samples."""
    left, right = (scalar, vector.values) if scalar_first else (vector.values, scalar)
    values, kept = _applied(op, left, right, vector.values, returns_bool=returns_bool)
    unnamed = vector.unnamed if keeps_name(op, returns_bool=returns_bool) else np.ones(vector.series, dtype=bool)
    cells: dict[tuple[int, int], mixed.Cell] = {}
    for row, step in mixed.histogram_cells(vector):
        assert vector.histograms is not None
        operands: list[mixed.Cell] = [vector.histograms[row, step], float(scalar[step])]
        first, second = operands[::-1] if scalar_first else operands
        cell = mixed.operated(op, first, second, tell, returns_bool=returns_bool)
        cells[row, step] = tell.made(cell, *operands)
    if op in TRIM and vector.floats.any():
        tell.incompatible(op, "float", "float")
    return mixed.with_cells(Vector(vector.labels, values, vector.floats & kept, unnamed), cells)


def negated(vector: Vector, tell: mixed.Telling) -> Vector:
    """Return `-vector`: as `-1 * vector`, but for histograms' empty buckets, which stay."""
    cells: dict[tuple[int, int], mixed.Cell] = {}
    for place in mixed.histogram_cells(vector):
        histogram = vector.sample(*place)
        assert isinstance(histogram, NativeHistogram)
        cells[place] = tell.made(native.multiplied(histogram, -1.0), histogram)
    unnamed = np.ones(vector.series, dtype=bool)
    return mixed.with_cells(Vector(vector.labels, vector.values * -1.0, vector.floats, unnamed), cells)


def keeps_name(op: str, *, returns_bool: bool) -> bool:
    """Whether an operator's result is still the metric it was: what filters or trims, but computes nothing new."""
    return op in TRIM or (op in COMPARISON and not returns_bool)


def _applied(op: str, left: Floats, right: Floats, filtered: Floats, *, returns_bool: bool) -> tuple[Floats, Bools]:
    """Return values and which to keep; `filtered` are the values a comparison without bool lets through."""
    if op in TRIM:
        return filtered, np.zeros((), dtype=bool)
    with np.errstate(all="ignore"):
        if op not in COMPARISON:
            return ARITHMETIC[op](left, right), np.ones((), dtype=bool)
        held = COMPARISON[op](left, right)
    return (held.astype(np.float64), np.ones((), dtype=bool)) if returns_bool else (filtered, held)


# Set operators


def intersection(left: Vector, right: Vector, keys: "Keys") -> Vector:
    """left and right: what of the left has a match on the right."""
    return _restricted(left, left.present & keys.seen_right(right)[keys.left])


def difference(left: Vector, right: Vector, keys: "Keys") -> Vector:
    """left unless right: what of the left has no match on the right."""
    return _restricted(left, left.present & ~keys.seen_right(right)[keys.left])


def union(left: Vector, right: Vector, keys: "Keys") -> Vector:
    """left or right: all of the left, and what of the right has no match there."""
    added = _restricted(right, right.present & ~keys.seen_left(left)[keys.right])
    return merged(stacked([left, added]))


def _restricted(vector: Vector, present: Bools) -> Vector:
    return Vector(vector.labels, vector.values, present, vector.unnamed, vector.histograms)


SET: dict[str, Callable[[Vector, Vector, "Keys"], Vector]] = {
    "and": intersection,
    "or": union,
    "unless": difference,
}


@dataclass(frozen=True, slots=True)
class Keys:
    """The match group of every series on both sides."""

    left: Ints
    right: Ints
    labels: Sequence[Labels]  # one a group

    def seen_left(self, vector: Vector) -> Bools:
        """Where each group has a sample of the left side; groups × steps."""
        return present_in(vector.present, self.left, len(self.labels))

    def seen_right(self, vector: Vector) -> Bools:
        """Where each group has a sample of the right side; groups × steps."""
        return present_in(vector.present, self.right, len(self.labels))


def match_keys(left: Vector, right: Vector, matching: Matching) -> Keys:
    """Resolve `on` or `ignoring` for both sides together."""
    subject = "keys", matching.labels, matching.on
    return memoised_pair(left.labels, right.labels, subject, lambda: _match_keys(left.labels, right.labels, matching))


def _match_keys(left: Sequence[Labels], right: Sequence[Labels], matching: Matching) -> Keys:
    groups = grouping([*left, *right], matching.labels, without=not matching.on)
    return Keys(groups.ids[: len(left)], groups.ids[len(left) :], groups.labels)


def present_in(present: Bools, ids: Ints, groups: int) -> Bools:
    """Where any series of each group is present; groups × steps."""
    seen = np.zeros((groups, present.shape[1]), dtype=bool)
    if len(ids):
        order = np.argsort(ids, kind="stable")
        members = ids[order]
        starts = run_bounds(members)[:-1]
        seen[members[starts]] = np.logical_or.reduceat(present[order], starts, axis=0)
    return seen


# Joins


def joined(
    op: str, left: Vector, right: Vector, matching: Matching, tell: mixed.Telling, *, returns_bool: bool
) -> Vector:
    """Return `left op right` for vectors paired as the matching says; raise ExecutionError if ambiguous."""
    return _Join(op, left, right, match_keys(left, right, matching), matching, tell, returns_bool).result()


@dataclass(frozen=True, slots=True)
class _Join:
    op: str
    left: Vector
    right: Vector
    keys: Keys
    matching: Matching
    tell: mixed.Telling
    returns_bool: bool

    @property
    def swapped(self) -> bool:
        """Whether the right side is the "many" side."""
        return self.matching.card == "one-to-many"

    @property
    def many(self) -> Vector:
        return self.right if self.swapped else self.left

    @property
    def one(self) -> Vector:
        return self.left if self.swapped else self.right

    @property
    def many_keys(self) -> Ints:
        return self.keys.right if self.swapped else self.keys.left

    @property
    def one_keys(self) -> Ints:
        return self.keys.left if self.swapped else self.keys.right

    @property
    def fills(self) -> tuple[float | None, float | None]:
        """What stands in for the "many" and for the "one" side; with group_right, too, the first is `fill_left`."""
        return self.matching.fill_left, self.matching.fill_right

    def result(self) -> Vector:
        self.check_one_side()
        many, one = _pairs(self.many_keys, self.one_keys)
        parts = [self.paired(self.many.rows(many), self.one.rows(one), self.many_keys[many])]
        _, keys, matched = parts[0]
        fill_many, fill_one = self.fills
        if fill_one is not None:
            parts.append(self.filled_one(fill_one))
        if fill_many is not None:
            parts.append(self.filled_many(fill_many, present_in(matched, keys, len(self.keys.labels))))
        return self.checked(*zip(*parts, strict=True))

    def paired(self, many: Vector, one: Vector, keys: Ints) -> tuple[Vector, Ints, Bools]:
        """Apply the operator row by row; the rows' match groups go along, and where both sides were there."""
        left, right = (one, many) if self.swapped else (many, one)
        values, kept = _applied(self.op, left.values, right.values, left.values, returns_bool=self.returns_bool)
        present = left.floats & right.floats & kept
        labels = self.labels(many.labels, one.labels)
        unnamed = self.unnamed(many, one)
        matched = left.present & right.present
        if self.op in TRIM and (floats := left.floats & right.floats).any():
            self.tell.incompatible(self.op, "float", "float")
            matched &= ~floats
        cells = self.mixed_cells(left, right)
        for place in [place for place, cell in cells.items() if cell is None]:
            # What a comparison filters away was matched all the same; what does not go together was not.
            matched[place] = self.op in COMPARISON and left.floats[place] == right.floats[place]
        return mixed.with_cells(Vector(labels, values, present, unnamed), cells), keys, matched

    def mixed_cells(self, left: Vector, right: Vector) -> dict[tuple[int, int], mixed.Cell]:
        cells: dict[tuple[int, int], mixed.Cell] = {}
        for row, step in sorted({*mixed.histogram_cells(left), *mixed.histogram_cells(right)}):
            if left.present[row, step] and right.present[row, step]:
                operands = left.sample(row, step), right.sample(row, step)
                cell = mixed.operated(self.op, *operands, self.tell, returns_bool=self.returns_bool)
                cells[row, step] = self.tell.made(cell, *operands)
        return cells

    def labels(self, many: Sequence[Labels], one: Sequence[Labels]) -> Sequence[Labels]:
        matching = self.matching
        # What is computed of two metrics is neither, and no message calls it so.
        gone = METADATA if self.op in ARITHMETIC else frozenset()
        if matching.card == "one-to-one" and matching.on:
            return only(many, frozenset(matching.labels) - gone)
        if matching.card == "one-to-one":
            return all_but(many, gone.union(matching.labels))
        if not matching.include:
            return all_but(many, gone) if gone else many
        found = [dict(labels) for labels in all_but(many, gone)]
        for labels, other in zip(found, one, strict=True):
            _include(labels, other, matching.include)
        return found

    def unnamed(self, many: Vector, one: Vector) -> Bools:
        """Say of which rows the name is to go."""
        if keeps_name(self.op, returns_bool=self.returns_bool):
            return many.unnamed
        if self.op in ARITHMETIC and NAME in self.matching.include:
            return one.unnamed  # it is that one's
        return np.ones(many.series, dtype=bool)

    def filled_one(self, fill: float) -> tuple[Vector, Ints, Bools]:
        seen = present_in(self.one.present, self.one_keys, len(self.keys.labels))[self.many_keys]
        return self.paired(
            _restricted(self.many, self.many.present & ~seen), self.stand_in(self.many_keys, fill), self.many_keys
        )

    def filled_many(self, fill: float, matched: Bools) -> tuple[Vector, Ints, Bools]:
        """Fill what nothing was paired with by then; `matched` says of groups × steps where something was."""
        there = self.one.present & ~matched[self.one_keys]
        return self.paired(self.stand_in(self.one_keys, fill), _restricted(self.one, there), self.one_keys)

    def stand_in(self, keys: Ints, fill: float) -> Vector:
        shape = (len(keys), self.left.steps)
        labels = [self.keys.labels[key] for key in keys.tolist()]
        return Vector(labels, np.full(shape, fill), np.ones(shape, dtype=bool), np.zeros(len(keys), dtype=bool))

    def check_one_side(self) -> None:
        """Raise when two series of the "one" side share a match group at a step where both sides have samples.

        Where what is missing is filled in, one side's samples are enough.
        """
        both = self.left.present.any(axis=0) & self.right.present.any(axis=0)
        looked_at = self.one.present if any(fill is not None for fill in self.fills) else self.one.present & both
        clash = _clash(looked_at, self.one_keys)
        if clash:
            first, second = sorted(spelled(self.one.labels[row]) for row in clash)
            group = spelled(self.keys.labels[self.one_keys[clash[0]]])
            side = "left" if self.swapped else "right"
            raise ExecutionError(
                f"found duplicate series for the match group {group} on the {side} hand-side of the operation:"
                f" [{first}, {second}];many-to-many matching not allowed: matching labels must be unique on one side"
            )

    def checked(self, vectors: Sequence[Vector], keys: Sequence[Ints], paired: Sequence[Bools]) -> Vector:
        result, ids = stacked(vectors), np.concatenate(keys)
        if self.matching.card == "one-to-one":
            if _clash(np.concatenate(paired), ids):
                raise ExecutionError(
                    "multiple matches for labels: many-to-one matching must be explicit (group_left/group_right)"
                )
            return merged(result)
        return merged(result, "multiple matches for labels: grouping labels must ensure unique matches")


def _include(labels: dict[str, str], one: Labels, names: tuple[str, ...]) -> None:
    """Take these labels from the "one" side."""
    for name in names:
        value = one.get(name, "")
        if value:
            labels[name] = value
        else:
            labels.pop(name, None)


def _pairs(many: Ints, one: Ints) -> tuple[Ints, Ints]:
    """Return the row pairs of equal keys, ordered by the "many" side."""
    order = np.argsort(one, kind="stable")
    ordered = one[order]
    first = np.searchsorted(ordered, many, side="left")
    counts = np.searchsorted(ordered, many, side="right") - first
    return owners(counts), order[runs(first, counts)]


def _clash(present: Bools, ids: Ints) -> tuple[int, int] | None:
    """Return two rows with the same id that are present at the same step, if there are any."""
    order = np.argsort(ids, kind="stable")
    ordered = ids[order]
    starts = run_bounds(ordered)[:-1]
    if len(starts) == len(ids):
        return None
    counts = np.add.reduceat(present[order], starts, axis=0, dtype=np.int64)
    groups, steps = np.nonzero(counts > 1)
    if not len(groups):
        return None
    members = order[ordered == ordered[starts[groups[0]]]]
    rows = members[present[members, steps[0]]]
    return int(rows[0]), int(rows[1])


def merged(vector: Vector, complaint: str = _SAME_LABELSET) -> Vector:
    """Join series with equal labels into one; raise ExecutionError if two are present at the same step.

    One whose name is to go is equal only to others of that kind: without it, it is another series.
    """
    groups = identities(vector.labels)
    if len(groups.labels) < vector.series and vector.unnamed.any() and not vector.unnamed.all():
        groups = _by_names_end(groups, vector.unnamed)
    if len(groups.labels) == vector.series:
        return vector
    if _clash(vector.present, groups.ids):
        raise ExecutionError(complaint)
    return _collapsed(vector, groups)


def _by_names_end(groups: Grouping, unnamed: Bools) -> Grouping:
    """Part the series of each group whose names are to go from the others."""
    kinds, ids = np.unique(2 * groups.ids + unnamed, return_inverse=True)
    return Grouping(ids, [groups.labels[kind // 2] for kind in kinds.tolist()])


def _collapsed(vector: Vector, groups: Grouping) -> Vector:
    shape = (len(groups.labels), vector.steps)
    values, present = np.zeros(shape), np.zeros(shape, dtype=bool)
    histograms = None if vector.histograms is None else np.full(shape, None, dtype=object)
    rows, steps = np.nonzero(vector.present)
    target = groups.ids[rows]
    values[target, steps] = vector.values[rows, steps]
    present[target, steps] = True
    if histograms is not None and vector.histograms is not None:
        histograms[target, steps] = vector.histograms[rows, steps]
    unnamed = np.zeros(shape[0], dtype=bool)
    np.logical_or.at(unnamed, groups.ids, vector.unnamed)
    return Vector(groups.labels, values, present, unnamed, histograms)
