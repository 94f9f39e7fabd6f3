"""What the tags of a host say at which time: from sets of tags, as they came, to labels that hold for a while.

The first set of a host also covers what came before it: an Agent sends its tags up to half an hour after its first
samples (datadog-intake.md, section 2.8), and may have none at first, while it waits for its cloud's. Rules of keys
and values are those of `intake/translate.sql`.
"""

import re
import sys
from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import groupby
from typing import Final

# Times, ms, before and after every sample's.
BEGINNING: Final = -(1 << 62)
END: Final = 1 << 62

# An Agent that names no tags at first and some within this time had them from the beginning.
SETTLING_MS: Final = 30 * 60_000

# What labels of ours are called: a tag of such a name is prefixed.
_OURS: Final = frozenset({"__name__", "instance", "job", "type"})
_NOT_IN_KEYS: Final = re.compile(r"[^a-zA-Z0-9_]")


# The source of a set that holds a host's other names instead of tags.
ALIASES: Final = ""


def owners(names: Mapping[str, Iterable[str]], hosts: Container[str]) -> dict[str, str]:
    """Return whose each other name of a host is; `names` are those that each host goes by, too.

    A name that several hosts claim says nothing; that of a host itself is this host's.
    """
    claims: dict[str, set[str]] = {}
    for host, others in names.items():
        for name in others:
            claims.setdefault(name, set()).add(host)
    return {name: min(of) for name, of in claims.items() if len(of) == 1 and name not in hosts}


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
class Version:
    """The labels a host's tags are, from one moment until another (exclusive)."""

    from_ms: int
    until_ms: int
    labels: Mapping[str, str]


def taggings(sets: Iterable[TagSet]) -> list[Tagging]:
    """Return the taggings of one host, whose sets come in the order of time; of a source the latest set holds.

    Other names of the host are none of its tags.
    """
    current: dict[str, tuple[str, ...]] = {}
    found: list[Tagging] = []
    tagged = (one for one in sets if one.source != ALIASES)
    for since_ms, at_once in groupby(tagged, key=lambda one: one.since_ms):
        current |= {one.source: one.tags for one in at_once}
        tags = tuple(sorted({sys.intern(tag) for tags in current.values() for tag in tags if tag}))
        if not found or tags != found[-1].tags:
            found.append(Tagging(since_ms, tags))
    first_ms = found[0].from_ms if found else 0
    while len(found) > 1 and not labels_of(found[0].tags) and found[1].from_ms - first_ms <= SETTLING_MS:
        found.pop(0)
    return [replace(one, from_ms=BEGINNING) for one in found[:1]] + found[1:]


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
    """Return the labels of tags: a key that comes several times has its values sorted, unique, joined by commas."""
    values: dict[str, set[str]] = {}
    for tag in tags:
        if tag:
            key, value = _pair(tag, prefix)
            values.setdefault(key, set()).add(value)
    return {key: joined for key, found in sorted(values.items()) if (joined := ",".join(sorted(found)))}


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
