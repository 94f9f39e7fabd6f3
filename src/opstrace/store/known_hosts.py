"""What the rows of one tenant's hosts say of their tags, of all of them and after some changed.

Hosts have to do with each other by names only: those that one claims, or once claimed. What is said of a host rests
on the rows of its relatives, and on nobody else's.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TypeVar

from opstrace.store.host_names import ALIASES, tenures, without_names
from opstrace.store.host_tags import Host, TenantTags
from opstrace.store.host_versions import Tagging, TagSet, Tenure, spliced, taggings, versions
from opstrace.store.tagged_hosts import TaggedHosts

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Row:
    """A row of the table, with the numbers that statements know the host and its other names by."""

    code: int
    tag_set: TagSet
    others: Sequence[int]

    def codes(self) -> Iterator[tuple[str, int]]:
        """Yield the names that the row speaks of, each with its number."""
        yield self.tag_set.host, self.code
        if self.others:
            yield from zip(self.tag_set.tags, self.others, strict=True)


@dataclass(frozen=True, slots=True)
class KnownHosts:
    """The hosts of a tenant: the labels their tags are, the tags, and the names that each ever claimed."""

    labels: TenantTags
    tags: TaggedHosts
    claims: Mapping[str, frozenset[str]]

    @classmethod
    def of(cls, rows: Sequence[Row], prefix: str) -> "KnownHosts":
        """Read all rows of a tenant, which are in the order of names and time."""
        labels, tags = _read(rows, prefix)
        return cls(TenantTags(labels), TaggedHosts(tags), _claims_of(rows))

    def with_rows(self, rows: Sequence[Row], names: Collection[str], prefix: str) -> "KnownHosts":
        """Return the same with all that is known of some names read anew; they are their only relatives."""
        labels, tags = _read(rows, prefix)
        return KnownHosts(
            TenantTags(_without(self.labels.hosts, names) | labels),
            TaggedHosts(_without(self.tags.hosts, names) | tags),
            self.claims_with(rows, names),
        )

    def claims_with(self, rows: Sequence[Row], names: Collection[str]) -> dict[str, frozenset[str]]:
        """Return the claims, those of some names as these rows have them."""
        return _without(self.claims, names) | _claims_of(rows)


def _without(mapping: Mapping[str, _T], names: Collection[str]) -> dict[str, _T]:
    return {name: value for name, value in mapping.items() if name not in names}


def _claims_of(rows: Iterable[Row]) -> dict[str, frozenset[str]]:
    """Return the names that each host ever claimed, of hosts that spoke."""
    found: dict[str, frozenset[str]] = {}
    for row in rows:
        if row.tag_set.source == ALIASES:
            found[row.tag_set.host] = found.get(row.tag_set.host, frozenset()).union(row.tag_set.tags)
    return found


def relatives(claims: Mapping[str, frozenset[str]], names: Iterable[str]) -> set[str]:
    """Return these names, those that they claim or are claimed by, the relatives of these, and so on."""
    claimants: dict[str, set[str]] = {}
    for host, claimed in claims.items():
        for name in claimed:
            claimants.setdefault(name, set()).add(host)
    found, new = set[str](), set(names)
    while new:
        found |= new
        new = {one for name in new for one in (*claims.get(name, ()), *claimants.get(name, ()))} - found
    return found


def _read(rows: Sequence[Row], prefix: str) -> tuple[dict[str, Host], dict[str, list[Tagging]]]:
    """Return the labels and the tags of each name, of rows that have no relatives but each other."""
    codes = {name: code for row in rows for name, code in row.codes()}
    held = tenures(row.tag_set for row in rows)
    of_hosts = _taggings([*without_names(row.tag_set for row in rows)], held)
    hosts: dict[str, Host] = {}
    tagged: dict[str, list[Tagging]] = {}
    labels = cache(lambda host: tuple(versions(of_hosts[host], prefix)))
    for name in {**of_hosts, **held}:
        owners = {one.host for one in held[name]} if name in held else {name}
        if len(owners) > 1:
            tagged[name] = spliced(held[name], of_hosts)
            hosts[name] = Host.of(codes[name], tuple(versions(tagged[name], prefix)))
        elif (owner := owners.pop()) in of_hosts:
            tagged[name] = of_hosts[owner]
            hosts[name] = Host.of(codes[name], labels(owner))
    return hosts, tagged


def _taggings(sets: Iterable[TagSet], held: Mapping[str, Sequence[Tenure]]) -> dict[str, list[Tagging]]:
    """Return the taggings of each host, of all sets under the names that were its own at a time."""
    of_hosts: dict[str, list[TagSet]] = {}
    for one in sets:
        for host in {tenure.host for tenure in held.get(one.host, ())} or {one.host}:
            of_hosts.setdefault(host, []).append(one)
    return {host: taggings(some, _own(host, some, held)) for host, some in of_hosts.items()}


def _own(host: str, sets: Iterable[TagSet], held: Mapping[str, Sequence[Tenure]]) -> dict[str, list[Tenure]]:
    """Return when names that were not always a host's were: those its sets are under."""
    names = {one.host for one in sets} & held.keys()
    return {name: [tenure for tenure in held[name] if tenure.host == host] for name in names}
