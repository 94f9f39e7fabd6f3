"""Label sets to integers: who is in which group, who matches whom. Asked once a query, never once a step."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from hashlib import blake2b

import numpy as np

from opstrace.promql.values import Ints
from opstrace.store.backend import Labels, alike, memoised

NAME = "__name__"
# Labels that describe a stored metric, and so are dropped from what is computed from it.
METADATA = frozenset((NAME, "__type__", "__unit__"))


@dataclass(frozen=True, slots=True)
class Grouping:
    """For every series the number of its group, groups numbered in the order they appear."""

    ids: Ints  # series
    labels: Sequence[Labels]  # one a group


def grouping(series: Sequence[Labels], names: Iterable[str], *, without: bool, keep_name: bool = False) -> Grouping:
    """Group series by these labels, or by all others, none of which describes the metric unless that is kept."""
    wanted = tuple(dict.fromkeys(names))
    dropped = frozenset(wanted if keep_name else (*wanted, *METADATA))
    if without:
        return memoised(series, ("without", dropped), lambda: _without(series, dropped))
    return memoised(series, ("by", wanted), lambda: _by(series, wanted))


def _by(series: Sequence[Labels], names: tuple[str, ...]) -> Grouping:
    seen: dict[tuple[str, ...], int] = {}
    ids = [seen.setdefault(tuple([one.get(name, "") for name in names]), len(seen)) for one in series]
    labels = [{name: value for name, value in zip(names, key, strict=True) if value} for key in seen]
    return Grouping(np.array(ids, dtype=np.int64), alike(series, labels))


def _without(series: Sequence[Labels], names: Collection[str]) -> Grouping:
    seen: dict[frozenset[tuple[str, str]], int] = {}
    keys = [frozenset([item for item in one.items() if item[0] not in names]) for one in series]
    ids = [seen.setdefault(key, len(seen)) for key in keys]
    return Grouping(np.array(ids, dtype=np.int64), alike(series, map(dict, seen)))


def identities(series: Sequence[Labels]) -> Grouping:
    """Number the distinct label sets, metric name included."""
    return memoised(series, "identities", lambda: _identities(series))


def _identities(series: Sequence[Labels]) -> Grouping:
    seen: dict[frozenset[tuple[str, str]], int] = {}
    first: list[Labels] = []
    ids = []
    for labels in series:
        key = frozenset(labels.items())
        if key not in seen:
            seen[key] = len(seen)
            first.append(labels)
        ids.append(seen[key])
    return Grouping(np.array(ids, dtype=np.int64), alike(series, first))


def nameless(labels: Labels) -> Labels:
    """Return the labels without the metric name, and without its type and unit where they are labels."""
    return {name: value for name, value in labels.items() if name not in METADATA}


def only(series: Sequence[Labels], names: frozenset[str]) -> Sequence[Labels]:
    """Return each label set with these labels only."""
    made = ({name: text for name, text in labels.items() if name in names} for labels in series)
    return memoised(series, ("only", names), lambda: alike(series, made))


def all_but(series: Sequence[Labels], names: frozenset[str]) -> Sequence[Labels]:
    """Return each label set without these labels; the same sequence where none has any of them."""
    made = ({name: text for name, text in labels.items() if name not in names} for labels in series)

    def find() -> Sequence[Labels]:
        return series if all(map(names.isdisjoint, series)) else alike(series, made)

    return memoised(series, ("all but", names), find)


def all_nameless(series: Sequence[Labels]) -> Sequence[Labels]:
    """Return `nameless` of each."""
    return all_but(series, METADATA)


def in_order(series: Sequence[Labels]) -> Ints:
    """Return which label sets come one after the other when they are sorted by their labels."""
    return memoised(series, "order", lambda: _in_order(series))


def _in_order(series: Sequence[Labels]) -> Ints:
    return np.array(sorted(range(len(series)), key=lambda row: sort_key(series[row])), dtype=np.int64)


def names_of(series: Sequence[Labels]) -> frozenset[str]:
    """Return the metric names of those that do not tell a type by a label."""
    return memoised(
        series,
        "names",
        lambda: frozenset(labels.get(NAME, "") for labels in series if "__type__" not in labels),
    )


def sort_key(labels: Labels) -> tuple[tuple[str, str], ...]:
    """Return what label sets sort by: name and value in turn, by ascending name."""
    return tuple(sorted(labels.items()))


def place_of(labels: Labels) -> float:
    """Return a number from 0 up to 1 that depends on nothing but the labels."""
    text = "\xff".join(f"{name}\xff{value}" for name, value in sort_key(labels))
    digest = blake2b(text.encode("utf-8", "surrogateescape"), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64


def spelled(labels: Labels) -> str:
    """Return the labels as error messages spell them, `{a="b", c="d"}`."""
    return "{" + ", ".join(f'{name}="{_escaped(value)}"' for name, value in sort_key(labels)) + "}"


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
