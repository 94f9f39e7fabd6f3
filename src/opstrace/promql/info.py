"""info(): the labels of info series, such as `target_info`, added to the series they describe.

The rules are those of prometheus/prometheus: promql/info.go.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from opstrace.errors import ExecutionError
from opstrace.promql import regex
from opstrace.promql.binary import merged
from opstrace.promql.labelsets import METADATA, NAME, spelled
from opstrace.promql.tree import Node, Range, Selector, Subquery, children
from opstrace.promql.values import Bools, Ints, Vector, empty_vector, stacked
from opstrace.store.backend import Labels, Matcher, MatchOp

# What ties a series to its info series.
IDENTIFYING = ("instance", "job")
_ANY = Matcher(NAME, MatchOp.REGEX, ".+_info")
_DEFAULT = Matcher(NAME, MatchOp.EQUAL, "target_info")


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the second argument of info() asks for."""

    names: tuple[Matcher, ...]  # of info metrics
    labels: tuple[Matcher, ...]  # of the labels to add

    def described(self, base: Vector) -> Bools:
        """Which series are to be enriched: those that are not info series themselves."""
        if not any(matcher.op in (MatchOp.EQUAL, MatchOp.REGEX) for matcher in self.names):
            return np.ones(base.series, dtype=bool)
        own = [all(holds(matcher, labels) for matcher in self.names) for labels in base.labels]
        return ~np.array(own, dtype=bool)

    def adds(self, name: str) -> bool:
        """Whether a label of an info series is wanted."""
        return name not in METADATA and (not self.labels or any(matcher.name == name for matcher in self.labels))

    @property
    def optional(self) -> bool:
        """Whether series without info series stay."""
        return all(holds(matcher, {}) for matcher in self.labels)


def wanted(matchers: Sequence[Matcher] | None) -> Wanted:
    """Read the matchers of the second argument, if there is one."""
    if matchers is None:
        return Wanted((_DEFAULT,), ())
    names = tuple(matcher for matcher in matchers if matcher.name == NAME)
    return Wanted(names, tuple(matcher for matcher in matchers if matcher.name != NAME))


def holds(matcher: Matcher, labels: Labels) -> bool:
    """Whether labels meet a matcher."""
    value = labels.get(matcher.name, "")
    equal = value == matcher.value
    match matcher.op:
        case MatchOp.EQUAL:
            return equal
        case MatchOp.NOT_EQUAL:
            return not equal
        case MatchOp.REGEX:
            return regex.matches(matcher.value, value)
        case MatchOp.NOT_REGEX:
            return not regex.matches(matcher.value, value)


def selection(asked: Wanted, base: Vector, described: Bools) -> tuple[Matcher, ...]:
    """Return the matchers that find the info series of these series; nothing when there can be none."""
    rows = np.flatnonzero(described).tolist()
    identifying = []
    for label in IDENTIFYING:
        values = sorted({base.labels[row].get(label, "") for row in rows} - {""})
        if values:
            identifying.append(Matcher(label, MatchOp.REGEX, "|".join(map(regex.quoted, values))))
    positive = any(matcher.op in (MatchOp.EQUAL, MatchOp.REGEX) for matcher in asked.names)
    names = asked.names if positive else (*asked.names, _ANY if asked.names else _DEFAULT)
    return (*names, *asked.labels, *identifying) if identifying else ()


def moment_of(node: Node) -> tuple[int | None, int]:
    """Return `@` and offset of the first selector: info series are read as of the samples they describe."""
    match node:
        case Selector():
            return _milliseconds(node.at), _milliseconds(node.offset) or 0
        case Range(selector=selector):
            return moment_of(selector)
        case Subquery(expr=expr):
            at, offset = moment_of(expr)
            return (
                (at, offset)
                if at is not None
                else (_milliseconds(node.at), offset + (_milliseconds(node.offset) or 0))
            )
        case _:
            found = (moment_of(child) for child in children(node))
            return next((moment for moment in found if moment != (None, 0)), (None, 0))


def _milliseconds(value: object) -> int | None:
    assert value is None or isinstance(value, int)  # the plan has resolved all others
    return value


def enriched(asked: Wanted, base: Vector, described: Bools, infos: Vector, moments: Ints) -> Vector:
    """Return the series with the labels of their info series; `moments` are when the info samples were taken."""
    latest = _latest(infos, moments)
    parts = [base.rows(~described)]
    for row in np.flatnonzero(described).tolist():
        parts += _combinations(asked, base, row, infos, latest)
    vector = stacked(parts)
    vector = vector.rows(vector.inhabited)
    return merged(vector)


_Key = tuple[str, ...]


def _key(labels: Labels, name: str) -> _Key:
    return (name, *(labels.get(label, "") for label in IDENTIFYING))


def _latest(infos: Vector, moments: Ints) -> dict[_Key, Ints]:
    """Return for each info metric and identity which info series counts at each step, -1 where none does."""
    rows_of: dict[_Key, list[int]] = {}
    for row, labels in enumerate(infos.labels):
        rows_of.setdefault(_key(labels, labels.get(NAME, "")), []).append(row)
    return {key: _choice(infos, moments, rows) for key, rows in rows_of.items()}


def _choice(infos: Vector, moments: Ints, rows: list[int]) -> Ints:
    times = np.where(infos.present[rows], moments[rows], np.iinfo(np.int64).min)
    best = times.max(axis=0)
    found = infos.present[rows].any(axis=0)
    clash = found & ((times == best).sum(axis=0) > 1)
    if clash.any():
        step = int(np.flatnonzero(clash)[0])
        first, second = [row for row, at in zip(rows, times[:, step], strict=True) if at == best[step]][:2]
        raise ExecutionError(
            f"found duplicate series for info metric: existing {spelled(infos.labels[first])} @ {best[step]},"
            f" new {spelled(infos.labels[second])} @ {best[step]}"
        )
    return np.where(found, np.array(rows)[times.argmax(axis=0)], -1)


def _combinations(asked: Wanted, base: Vector, row: int, infos: Vector, latest: dict[_Key, Ints]) -> list[Vector]:
    """Return one series for each set of info series that a series meets over the steps."""
    labels = base.labels[row]
    names = sorted({key[0] for key in latest})
    chosen = [latest[key] for key in (_key(labels, name) for name in names) if key in latest]
    one = base.rows(np.array([row]))
    table = np.stack(chosen) if chosen else np.full((1, base.steps), -1)
    parts = []
    for combination in np.unique(table, axis=1).T:
        found = [infos.labels[place] for place in combination.tolist() if place >= 0]
        if not found and not asked.optional:
            continue
        here = (table == combination[:, None]).all(axis=0)
        parts.append(replace(one, labels=[_added(asked, labels, found)], present=one.present & here))
    return parts or [empty_vector(base.steps)]


def _added(asked: Wanted, labels: Labels, found: Sequence[Labels]) -> Labels:
    added: dict[str, str] = {}
    for info in found:
        for name, value in info.items():
            if not asked.adds(name):
                continue
            if added.get(name, value) != value:
                raise ExecutionError(f"conflicting label: {name}")
            if name not in labels:
                added[name] = value
    return {**labels, **added}
