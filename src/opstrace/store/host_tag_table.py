"""The table of what hosts were tagged with, and since when; what it says of a tenant's hosts stays in memory.

Rows are few: one for each change of the tags of a host's source. After a change what is known of the host and its
relatives is read again; all of a tenant when much changed, or when others needed the room.
"""

import time
from collections import OrderedDict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from threading import Lock
from typing import Final

import pyarrow as pa

from opstrace.store.engine import Connection, Engine, statement
from opstrace.store.host_names import ALIASES, without_names
from opstrace.store.host_tags import HostView
from opstrace.store.host_versions import TagSet
from opstrace.store.known_hosts import KnownHosts, Row, relatives
from opstrace.store.tagged_hosts import TaggedHosts

# Versions in memory, over all tenants; those of the tenant that asked last may be more.
MAX_CACHED_VERSIONS: Final = 200_000
# Names that are read again by themselves; of more, and their relatives, all of the tenant is.
MAX_NAMES_READ_AGAIN: Final = 1_000


class HostTagTable:
    """The tags of all tenants' hosts."""

    def __init__(self, engine: Engine, tag_label_prefix: str = "") -> None:
        self._engine = engine
        self._prefix = tag_label_prefix
        self._append = statement("opstrace.store", "append_host_tags")
        self._select = statement("opstrace.store", "select_host_tags")
        self._cached: OrderedDict[str, _Known] = OrderedDict()
        self._changes: dict[str, _Changes] = {}
        self._spoke: dict[str, set[str]] = {}  # hosts of tenants of which that is durable
        self._lock = Lock()
        self._loading: dict[str, Lock] = {}  # by tenant

    def view(self, tenant: str, start_ms: int, end_ms: int) -> HostView | None:
        """Return what holds in a range; None for a tenant whose hosts have no tags.

        Raises StoreError when the engine cannot read them.
        """
        tags = self._of_tenant(tenant).hosts.labels
        return HostView(tags, start_ms, end_ms) if tags.size else None

    def tagged(self, tenant: str) -> TaggedHosts:
        """Return the tags of a tenant's hosts as they came.

        Raises StoreError when the engine cannot read them.
        """
        return self._of_tenant(tenant).hosts.tags

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
        changed = -1  # not known: what fails may have written
        try:
            changed = connection.execute(self._append, rows=rows, commit=commit)
        finally:
            if changed:
                self._note([*((tenant, one.host) for tenant, one in sets), *unheard])
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
        """Have all that is known of tenants read again."""
        with self._lock:
            for tenant in tenants:
                self._changes_of(tenant).of_all()
                self._spoke.pop(tenant, None)

    def _note(self, names: Iterable[tuple[str, str]]) -> None:
        """Have what is known of some names of tenants read again."""
        with self._lock:
            for tenant, name in names:
                self._changes_of(tenant).of_name(name)

    def _changes_of(self, tenant: str) -> "_Changes":
        return self._changes.setdefault(tenant, _Changes())

    def _of_tenant(self, tenant: str) -> "_Known":
        return self._known(tenant) or self._loaded(tenant)

    def _known(self, tenant: str) -> "_Known | None":
        """Return what is known, unless that was before the last change."""
        with self._lock:
            cached = self._cached.get(tenant)
            if cached is None or cached.changes != self._changes_of(tenant).total:
                return None
            self._cached.move_to_end(tenant)
            return cached

    def _loaded(self, tenant: str) -> "_Known":
        """Read it, unless somebody did meanwhile: many panels ask at once, and one reads faster than all of them."""
        with self._loading.setdefault(tenant, Lock()):
            if (known := self._known(tenant)) is not None:
                return known
            # Counted before it is read: what changes meanwhile is read the next time.
            with self._lock:
                changes, before = self._changes_of(tenant), self._cached.get(tenant)
                total, names = changes.total, changes.since(before.changes) if before else None
            hosts = self._changed(tenant, before.hosts, names) if before and names is not None else None
            known = _Known(total, hosts or KnownHosts.of(self._read(tenant), self._prefix))
            with self._lock:
                self._cached[tenant] = known
                self._cached.move_to_end(tenant)
                changes.forget_until(total)  # they are in what is known
                while len(self._cached) > 1 and sum(one.size for one in self._cached.values()) > MAX_CACHED_VERSIONS:
                    self._cached.popitem(last=False)
            return known

    def _changed(self, tenant: str, before: KnownHosts, names: Collection[str]) -> KnownHosts | None:
        """Return what is known with some names, and their relatives, read again; nothing where these are too many."""
        wanted = relatives(before.claims, names)
        while len(wanted) <= MAX_NAMES_READ_AGAIN:
            rows = self._read(tenant, wanted)
            if (more := relatives(before.claims_with(rows, wanted), wanted)) == wanted:
                return before.with_rows(rows, wanted, self._prefix)
            wanted |= more
        return None

    def _read(self, tenant: str, names: Collection[str] = ()) -> list[Row]:
        """Read the rows of some names of a tenant, or of all."""
        with self._engine.reader() as connection:
            return _rows(connection.read(self._select, tenant=tenant, names=list(names)))


@dataclass(slots=True)
class _Changes:
    """The changes of a tenant's hosts, numbered."""

    total: int = 0
    _names: dict[str, int] = field(default_factory=dict)  # the last change of each name
    _until: int = 0  # up to this change it is no longer known which names were affected

    def of_all(self) -> None:
        """Note a change of whatever is there."""
        self.total += 1
        self.forget_until(self.total)

    def of_name(self, name: str) -> None:
        """Note a change of what is known of a name."""
        self.total += 1
        self._names[name] = self.total
        if len(self._names) > MAX_NAMES_READ_AGAIN:
            self.forget_until(self.total)

    def since(self, number: int) -> list[str] | None:
        """Return the names that changed after a change; nothing where that may be all of them."""
        return None if number < self._until else [name for name, last in self._names.items() if last > number]

    def forget_until(self, number: int) -> None:
        """Forget which names were affected by the changes up to this one."""
        self._until = max(self._until, number)
        self._names = {name: last for name, last in self._names.items() if last > number}


@dataclass(frozen=True, slots=True)
class _Known:
    """What the table says of a tenant's hosts after some changes."""

    changes: int
    hosts: KnownHosts

    @property
    def size(self) -> int:
        """How many versions that are."""
        return self.hosts.labels.size


def _rows(table: pa.Table) -> list[Row]:
    return [
        Row(row["code"], TagSet(row["host"], row["source"], row["since_ms"], tuple(row["tags"])), row["codes"])
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
