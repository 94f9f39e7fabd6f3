"""What the tags of a host say at which time: from sets of tags, as they came, to labels that hold for a while.

The first set of an Agent also covers what came before it: it sends its tags up to half an hour after its first
samples (datadog-intake.md, section 2.8), whoever tagged the host meanwhile, and may have none at first, while it
waits for its cloud's. That of another source does so within half an hour after the first of all; tags given by hand
to a host that was tagged begin when they are given. Rules of keys and values are those of
`intake/series/translate.sql`.
"""

import re
import sys
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import groupby
from typing import Final

# Times, ms, before and after every sample's.
BEGINNING: Final = -(1 << 62)
END: Final = 1 << 62

# A source that names no tags at first and some within this time had them from the beginning.
SETTLING_MS: Final = 30 * 60_000
# The sources of what an Agent is told to tag its host with, and of what is given by hand.
AGENT: Final = "system"
USERS: Final = "users"

# What labels of ours are called: a tag of such a name is prefixed.
_OURS: Final = frozenset({"__name__", "instance", "job", "type"})
_NOT_IN_KEYS: Final = re.compile(r"[^a-zA-Z0-9_]")


@dataclass(frozen=True, slots=True)
class TagSet:
    """The tags a host has from one source, from a moment on."""

    host: str
    source: str
    since_ms: int
    tags: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Tagging:
    """The tags a host has, sorted, from one moment on until its next tagging."""

    from_ms: int
    tags: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Tenure:
    """Whose a name is from one moment until another (exclusive)."""

    from_ms: int
    until_ms: int
    host: str


@dataclass(frozen=True, slots=True)
class Version:
    """The labels a host's tags are, from one moment until another (exclusive)."""

    from_ms: int
    until_ms: int
    labels: Mapping[str, str]


_NONE: Final[Mapping[str, Sequence[Tenure]]] = {}


def taggings(sets: Iterable[TagSet], tenures: Mapping[str, Sequence[Tenure]] = _NONE) -> list[Tagging]:
    """Return the taggings of one host, whose sets come in the order of time.

    Of a source, under each of the host's names, the latest set holds: throughout, or in the tenures of the name.
    """
    by_source: dict[tuple[str, str], list[TagSet]] = {}
    for one in sets:
        by_source.setdefault((one.host, one.source), []).append(one)
    known_ms = min((some[0].since_ms for some in by_source.values()), default=0)
    changes: list[tuple[int, TagSet]] = []
    for (name, _), some in by_source.items():
        own = _changes(some, known_ms)
        changes += _held(own, tenures[name]) if name in tenures else own
    current: dict[tuple[str, str], tuple[str, ...]] = {}
    found = [] if any(from_ms == BEGINNING for from_ms, _ in changes) else [Tagging(BEGINNING, ())]
    for from_ms, at_once in groupby(sorted(changes, key=_moment), key=_moment):
        current |= {(one.host, one.source): one.tags for _, one in at_once}
        tags = tuple(sorted({sys.intern(tag) for tags in current.values() for tag in tags if tag}))
        if not found or tags != found[-1].tags:
            found.append(Tagging(from_ms, tags))
    return found


def spliced(tenures: Iterable[Tenure], hosts: Mapping[str, Sequence[Tagging]]) -> list[Tagging]:
    """Return the taggings of a name: in each of its tenures those of the host that it is."""
    found: list[Tagging] = []
    for one in tenures:
        of_host = hosts.get(one.host, ())
        place = bisect_right(of_host, one.from_ms, key=lambda tagging: tagging.from_ms)
        found.append(Tagging(one.from_ms, of_host[place - 1].tags if place else ()))
        found += (tagging for tagging in of_host[place:] if tagging.from_ms < one.until_ms)
    return found


def _held(changes: Sequence[tuple[int, TagSet]], tenures: Iterable[Tenure]) -> Iterator[tuple[int, TagSet]]:
    """Yield the sets of one name and source that hold in its tenures: none does outside of them.

    Nor does one in a tenure before it came, from which on it may hold.
    """
    for tenure in tenures:
        before = [one for from_ms, one in changes if from_ms <= tenure.from_ms and one.since_ms < tenure.until_ms]
        if before:
            yield tenure.from_ms, before[-1]
        yield from (change for change in changes if tenure.from_ms < change[0] < tenure.until_ms)
        if tenure.until_ms < END:
            yield tenure.until_ms, replace(changes[0][1], tags=())


def _changes(sets: Sequence[TagSet], known_ms: int) -> list[tuple[int, TagSet]]:
    """Return the sets of one source, which come in the order of time, and since when each holds.

    The host is known since `known_ms`.
    """
    first, *later = sets
    if first.source != AGENT and first.since_ms > known_ms + (0 if first.source == USERS else SETTLING_MS):
        return [(one.since_ms, one) for one in sets]
    if not labels_of(first.tags):
        soon = next((i for i, one in enumerate(later) if labels_of(one.tags)), None)
        if soon is not None and later[soon].since_ms - first.since_ms <= SETTLING_MS:
            first, *later = later[soon:]
    return [(BEGINNING, first), *((one.since_ms, one) for one in later)]


def _moment(change: tuple[int, TagSet]) -> int:
    return change[0]


def versions(of_host: Iterable[Tagging], prefix: str = "") -> Iterator[Version]:
    """Yield the versions of one host: its taggings, those together that are the same labels."""
    states: list[tuple[int, dict[str, str]]] = []
    for one in of_host:
        labels = labels_of(one.tags, prefix)
        if not states or labels != states[-1][1]:
            states.append((one.from_ms, labels))
    ends = [from_ms for from_ms, _ in states[1:]] + [END]
    for (from_ms, labels), until_ms in zip(states, ends, strict=True):
        yield Version(from_ms, until_ms, labels)


def labels_of(tags: Iterable[str], prefix: str = "") -> dict[str, str]:
    """Return the labels of tags: a key that comes several times has its values sorted, unique, joined by commas.

    What was joined before counts part by part; nothing is no part, and no label.
    """
    values: dict[str, set[str]] = {}
    for tag in tags:
        if tag:
            key, value = _pair(tag, prefix)
            values.setdefault(key, set()).add(value)
    return {key: value for key, found in sorted(values.items()) if (value := _joined(found))}


def _joined(values: set[str]) -> str:
    if len(values) == 1:
        return next(iter(values))
    return ",".join(sorted({part for value in values for part in value.split(",")} - {""}))


@lru_cache(maxsize=50_000)
def _pair(tag: str, prefix: str) -> tuple[str, str]:
    key, colon, value = tag.partition(":")
    key = _NOT_IN_KEYS.sub("_", key)
    value = value if colon else "true"
    if key == "device" or prefix:
        return (key if key == "device" else prefix + key), value
    if not key or key[0] in "0123456789":
        return f"_{key}", value
    return (f"tag_{key}" if key in _OURS else key), value
