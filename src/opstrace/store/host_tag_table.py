"""The table of what hosts were tagged with, and since when; what it says of a tenant's hosts stays in memory.

Rows are few: one for each change of the tags of a host's source. A tenant is read again after a change, or when
others needed the room.
"""

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from threading import Lock
from typing import Final

import pyarrow as pa

from opstrace.store.engine import Connection, Engine, statement
from opstrace.store.host_tags import Host, HostView, TenantTags
from opstrace.store.host_versions import ALIASES, Tagging, TagSet, owners, taggings, versions
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
        self._lock = Lock()

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

    def record(self, connection: Connection, sets: Sequence[tuple[str, TagSet]], commit: int) -> int:
        """Make tenants' sets durable where they differ from what is known; return how many did.

        Needs the writer for itself. There is one set at most of a tenant, host and source. Raises StoreError when the
        engine cannot.
        """
        changed = connection.execute(self._append, rows=_table(sets), commit=commit) if sets else 0
        if changed:
            self.forget({tenant for tenant, _ in sets})
        return changed

    def sets(self, tenant: str) -> list[TagSet]:
        """Return all that was ever known of a tenant's hosts, in the order of hosts and time."""
        return [row.tag_set for row in self._read(tenant)]

    def forget(self, tenants: Iterable[str]) -> None:
        """Have what is known of tenants read again."""
        with self._lock:
            for tenant in tenants:
                self._changes[tenant] = self._changes.get(tenant, 0) + 1

    def _of_tenant(self, tenant: str) -> "_Known":
        with self._lock:
            changes = self._changes.get(tenant, 0)
            cached = self._cached.get(tenant)
        if cached is None or cached.changes != changes:
            # Counted before it is read: what changes meanwhile is read the next time.
            cached = self._load(tenant, changes)
        with self._lock:
            self._cached[tenant] = cached
            self._cached.move_to_end(tenant)
            while (
                len(self._cached) > 1
                and sum(known.labels.size for known in self._cached.values()) > MAX_CACHED_VERSIONS
            ):
                self._cached.popitem(last=False)
        return cached

    def _load(self, tenant: str, changes: int) -> "_Known":
        found: dict[str, Host] = {}
        tagged: dict[str, list[Tagging]] = {}
        names: dict[str, tuple[str, ...]] = {}
        codes: dict[str, int] = {}
        for host, rows in groupby(self._read(tenant), key=lambda row: row.tag_set.host):
            of_host = list(rows)
            tagged[host] = taggings(row.tag_set for row in of_host)
            found[host] = Host(of_host[0].code, tuple(versions(tagged[host], self._prefix)))
            named = next((row for row in reversed(of_host) if row.tag_set.source == ALIASES), None)
            if named:
                names[host] = named.tag_set.tags
                codes.update(zip(named.tag_set.tags, named.codes, strict=True))
        owner_of = owners(names, found)
        others = {name: Host(codes[name], found[host].versions) for name, host in owner_of.items()}
        tagged |= {name: tagged[host] for name, host in owner_of.items()}
        return _Known(changes, TenantTags(others | found), TaggedHosts(tagged))

    def _read(self, tenant: str) -> "list[_Row]":
        with self._engine.reader() as connection:
            rows = connection.read(self._select, tenant=tenant).to_pylist()
        return [
            _Row(row["code"], TagSet(row["host"], row["source"], row["since_ms"], tuple(row["tags"])), row["codes"])
            for row in rows
        ]


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
    codes: Sequence[int]


def _table(sets: Sequence[tuple[str, TagSet]]) -> pa.Table:
    return pa.table(
        {
            "tenant": pa.array([tenant for tenant, _ in sets], pa.string()),
            "host": pa.array([one.host for _, one in sets], pa.string()),
            "source": pa.array([one.source for _, one in sets], pa.string()),
            "since_ms": pa.array([one.since_ms for _, one in sets], pa.int64()),
            "tags": pa.array([sorted(set(one.tags) - {""}) for _, one in sets], pa.list_(pa.string())),
        }
    )
