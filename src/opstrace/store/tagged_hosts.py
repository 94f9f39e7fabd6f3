"""The tags of one tenant's hosts as they came, each for its time: what events have of their hosts."""

import re
from bisect import bisect_right
from collections.abc import Collection, Mapping, Sequence
from functools import cached_property

import pyarrow as pa

from opstrace.store.host_versions import Tagging


class TaggedHosts:
    """All taggings of all hosts, those of a host in the order of time."""

    def __init__(self, hosts: Mapping[str, Sequence[Tagging]]) -> None:
        self.hosts = hosts

    def tags_at(self, host: str, time_ms: int) -> tuple[str, ...]:
        """Return the tags that a host had at a time."""
        taggings = self.hosts.get(host, ())
        place = bisect_right(taggings, time_ms, key=lambda one: one.from_ms)
        return taggings[place - 1].tags if place else ()

    def matching(self, wanted: str) -> frozenset[str]:
        """Return the tags that are what is wanted, whatever their case; a star stands for any text."""
        if "*" not in wanted:
            return frozenset(self._by_lower.get(wanted.lower(), ()))
        pattern = re.compile(".*".join(map(re.escape, wanted.lower().split("*"))), re.DOTALL)
        return frozenset(tag for lower, tags in self._by_lower.items() if pattern.fullmatch(lower) for tag in tags)

    def table(self, terms: Sequence[Collection[str]]) -> pa.Table:
        """Return which terms hosts match from which moment on; hosts that never match any are left out.

        A term is matched by any of its tags, and known by its place.
        """
        places: dict[str, set[int]] = {}
        for place, tags in enumerate(terms):
            for tag in tags:
                places.setdefault(tag, set()).add(place)
        rows = [
            (host, one.from_ms, sorted({place for tag in one.tags for place in places.get(tag, ())}))
            for host, taggings in self.hosts.items()
            if any(not places.keys().isdisjoint(one.tags) for one in taggings)
            for one in taggings
        ]
        return pa.table(
            {
                "host": pa.array([host for host, _, _ in rows], pa.string()),
                "from_ms": pa.array([from_ms for _, from_ms, _ in rows], pa.int64()),
                "terms": pa.array([of_host for _, _, of_host in rows], pa.list_(pa.uint16())),
            }
        )

    @cached_property
    def _by_lower(self) -> dict[str, set[str]]:
        found: dict[str, set[str]] = {}
        for tag in {tag for taggings in self.hosts.values() for one in taggings for tag in one.tags}:
            found.setdefault(tag.lower(), set()).add(tag)
        return found
