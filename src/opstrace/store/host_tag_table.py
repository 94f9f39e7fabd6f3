"""The table of what hosts were tagged with, and since when; what it says of a tenant's hosts stays in memory.

Rows are few: one for each change of the tags of a host's source. A tenant is read again after a change, or when
others needed the room.
"""

import time
from collections import OrderedDict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from threading import Lock
from typing import Final

import pyarrow as pa

from opstrace.store.engine import Connection, Engine, statement
from opstrace.store.host_names import ALIASES, tenures, without_names
from opstrace.store.host_tags import Host, HostView, TenantTags
from opstrace.store.host_versions import Tagging, TagSet, Tenure, spliced, taggings, versions
from opstrace.store.tagged_hosts import TaggedHosts

# Versions in memory, over all tenants; those of the tenant that asked last may be more.
MAX_CACHED_VERSIONS: Final = 200_000


class HostTagTable:
    """The tags of all tenants' hosts."""

    def __init__(self, engine: Engine, tag_label_prefix: str = "") -> None:
        self._engine = engine
        self._prefix = tag_label_prefix
        self._append = statement("opstrace.store", "append_host_tags")
        self._select = statement("opstrace.store", "select_host_tags")
        self._cached: OrderedDict[str, _Known] = OrderedDict()
        self._changes: dict[str, int] = {}
        self._spoke: dict[str, set[str]] = {}  # hosts of tenants of which that is durable
        self._lock = Lock()
        self._loading: dict[str, Lock] = {}  # by tenant

    def view(self, tenant: str, start_ms: int, end_ms: int) -> HostView | None:
        """Return what holds in a range; None for a tenant whose hosts have no tags.

        Raises StoreError when the engine cannot read them.
        """
        tags = self._of_tenant(tenant).labels
        return HostView(tags, start_ms, end_ms) if tags.size else None

    def tagged(self, tenant: str) -> TaggedHosts:
        """Return the tags of a tenant's hosts as they came.

        Raises StoreError when the engine cannot read them.
        """
        return self._of_tenant(tenant).tags

    def record(
        self,
        connection: Connection,
        sets: Sequence[tuple[str, TagSet]],
        commit: int,
        heard: Collection[tuple[str, str]] = (),
    ) -> int:
        """Make tenants' sets durable where they differ from what is known; return how many did.

        There is one set at most of a tenant, host and source. Of `heard`, tenants' hosts that spoke, it is known from
        then on that they did. Needs the writer for itself. Raises StoreError when the engine cannot.
        """
        unheard = [(tenant, host) for tenant, host in heard if host not in self._spoke.get(tenant, ())]
        if not sets and not unheard:
            return 0
        rows = _table(sets, unheard, time.time_ns() // 1_000_000)
        changed = connection.execute(self._append, rows=rows, commit=commit)
        if changed:
            self.forget({tenant for tenant, _ in (*sets, *unheard)})
        for tenant, host in unheard:
            self._spoke.setdefault(tenant, set()).add(host)
        return changed

    def sets(self, tenant: str) -> list[TagSet]:
        """Return all that was ever known of a tenant's hosts, in the order of hosts and time."""
        return [row.tag_set for row in self._read(tenant)]

    def current(self, connection: Connection, tenant: str, names: Sequence[str]) -> list[TagSet]:
        """Return the sets of tags that some names have now, one a name and source."""
        rows = _rows(connection.read(self._select, tenant=tenant, names=list(names)))
        return list({(one.host, one.source): one for one in without_names(row.tag_set for row in rows)}.values())

    def forget(self, tenants: Iterable[str]) -> None:
        """Have what is known of tenants read again."""
        with self._lock:
            for tenant in tenants:
                self._changes[tenant] = self._changes.get(tenant, 0) + 1
                self._spoke.pop(tenant, None)

    def _of_tenant(self, tenant: str) -> "_Known":
        known = self._known(tenant)[1] or self._loaded(tenant)
        with self._lock:
            self._cached[tenant] = known
            self._cached.move_to_end(tenant)
            while (
                len(self._cached) > 1
                and sum(known.labels.size for known in self._cached.values()) > MAX_CACHED_VERSIONS
            ):
                self._cached.popitem(last=False)
        return known

    def _known(self, tenant: str) -> "tuple[int, _Known | None]":
        """Return how often it changed, and what is known, unless that was before the last change."""
        with self._lock:
            changes, cached = self._changes.get(tenant, 0), self._cached.get(tenant)
        return changes, cached if cached is not None and cached.changes == changes else None

    def _loaded(self, tenant: str) -> "_Known":
        """Read it, unless somebody did meanwhile: many panels ask at once, and one reads faster than all of them."""
        with self._loading.setdefault(tenant, Lock()):
            # Counted before it is read: what changes meanwhile is read the next time.
            changes, known = self._known(tenant)
            if known is None:
                known = self._load(tenant, changes)
                with self._lock:
                    self._cached[tenant] = known
            return known

    def _load(self, tenant: str, changes: int) -> "_Known":
        rows = self._read(tenant)
        codes = {name: code for row in rows for name, code in row.codes()}
        held = tenures(row.tag_set for row in rows)
        of_hosts = _taggings([*without_names(row.tag_set for row in rows)], held)
        hosts: dict[str, Host] = {}
        tagged: dict[str, list[Tagging]] = {}
        labels = cache(lambda host: tuple(versions(of_hosts[host], self._prefix)))
        for name in {**of_hosts, **held}:
            owners = {one.host for one in held[name]} if name in held else {name}
            if len(owners) > 1:
                tagged[name] = spliced(held[name], of_hosts)
                hosts[name] = Host(codes[name], tuple(versions(tagged[name], self._prefix)))
            elif (owner := owners.pop()) in of_hosts:
                tagged[name] = of_hosts[owner]
                hosts[name] = Host(codes[name], labels(owner))
        return _Known(changes, TenantTags(hosts), TaggedHosts(tagged))

    def _read(self, tenant: str) -> "list[_Row]":
        with self._engine.reader() as connection:
            return _rows(connection.read(self._select, tenant=tenant, names=[]))


@dataclass(frozen=True, slots=True)
class _Known:
    """What the table says of a tenant's hosts after some changes: the labels their tags are, and the tags."""

    changes: int
    labels: TenantTags
    tags: TaggedHosts


@dataclass(frozen=True, slots=True)
class _Row:
    """A row of the table, with the numbers that statements know the host and its other names by."""

    code: int
    tag_set: TagSet
    others: Sequence[int]

    def codes(self) -> Iterator[tuple[str, int]]:
        """Yield the names that the row speaks of, each with its number."""
        yield self.tag_set.host, self.code
        if self.others:
            yield from zip(self.tag_set.tags, self.others, strict=True)


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


def _rows(table: pa.Table) -> list[_Row]:
    return [
        _Row(row["code"], TagSet(row["host"], row["source"], row["since_ms"], tuple(row["tags"])), row["codes"])
        for row in table.to_pylist()
    ]


def _table(sets: Sequence[tuple[str, TagSet]], heard: Collection[tuple[str, str]], now_ms: int) -> pa.Table:
    """Return rows of sets, and of each host that spoke without other names; it may have told some before."""
    told = {(tenant, one.host) for tenant, one in sets if one.source == ALIASES}
    spoke = [(tenant, TagSet(host, ALIASES, now_ms, ())) for tenant, host in sorted({*heard} - told)]
    rows = [*sets, *spoke]
    return pa.table(
        {
            "tenant": pa.array([tenant for tenant, _ in rows], pa.string()),
            "host": pa.array([one.host for _, one in rows], pa.string()),
            "source": pa.array([one.source for _, one in rows], pa.string()),
            "since_ms": pa.array([one.since_ms for _, one in rows], pa.int64()),
            "tags": pa.array([sorted(set(one.tags) - {""}) for _, one in rows], pa.list_(pa.string())),
            "may_replace": pa.array([True] * len(sets) + [False] * len(spoke), pa.bool_()),
        }
    )
