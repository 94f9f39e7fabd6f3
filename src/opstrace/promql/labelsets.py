"""Label sets to integers: who is in which group, who matches whom. Asked once a query, never once a step."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import blake2b

import numpy as np

from opstrace.promql.values import Ints
from opstrace.store.backend import Labels

NAME = "__name__"
# What describes the metric as it was stored, and nothing that is computed from it.
_METADATA = frozenset((NAME, "__type__", "__unit__"))


@dataclass(frozen=True, slots=True)
class Grouping:
    """For every series the number of its group, groups numbered in the order they appear."""

    ids: Ints  # series
    labels: Sequence[Labels]  # one a group


def grouping(series: Sequence[Labels], names: Iterable[str], *, without: bool, keep_name: bool = False) -> Grouping:
    """Group series by these labels, or by all others; the metric name is dropped unless it is asked for."""
    if not without:
        return _by(series, tuple(dict.fromkeys(names)))
    return _without(series, {*names} if keep_name else {*names, NAME})


def _by(series: Sequence[Labels], names: tuple[str, ...]) -> Grouping:
    seen: dict[tuple[str, ...], int] = {}
    ids = [seen.setdefault(tuple([one.get(name, "") for name in names]), len(seen)) for one in series]
    labels = [{name: value for name, value in zip(names, key, strict=True) if value} for key in seen]
    return Grouping(np.array(ids, dtype=np.int64), labels)


def _without(series: Sequence[Labels], names: set[str]) -> Grouping:
    seen: dict[frozenset[tuple[str, str]], int] = {}
    keys = [frozenset([item for item in one.items() if item[0] not in names]) for one in series]
    ids = [seen.setdefault(key, len(seen)) for key in keys]
    return Grouping(np.array(ids, dtype=np.int64), [dict(key) for key in seen])


def identities(series: Sequence[Labels]) -> Grouping:
    """Number the distinct label sets, metric name included."""
    seen: dict[frozenset[tuple[str, str]], int] = {}
    first: list[Labels] = []
    ids = []
    for labels in series:
        key = frozenset(labels.items())
        if key not in seen:
            seen[key] = len(seen)
            first.append(labels)
        ids.append(seen[key])
    return Grouping(np.array(ids, dtype=np.int64), first)


def nameless(labels: Labels) -> Labels:
    """Return the labels without the metric name, and without its type and unit where they are labels."""
    return {name: value for name, value in labels.items() if name not in _METADATA}


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
