"""Hosts, read: which there are, when they were last heard of, and what they said of themselves."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec
import pyarrow as pa

from opstrace.store.engine import Engine, statement
from opstrace.store.host_tag_table import HostTagTable
from opstrace.store.host_versions import ALIASES, owners

# Of hosts that sent nothing for this long the samples that others sent are looked at.
_SILENT_MS: Final = 60_000
# Subjects of which a list of hosts tells.
_SUBJECTS: Final = (
    *("agentVersion", "agent-flavor", "os", "systemStats", "meta", "gohai", "install-method", "agent_checks"),
    *("host_metadata", "agent_metadata", "mute"),
)


@dataclass(frozen=True, slots=True)
class Host:
    """One host."""

    name: str
    seen_ms: int
    metrics: int  # names
    aliases: tuple[str, ...] = ()
    tags: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # by source
    documents: Mapping[str, Any] = field(default_factory=dict)  # by subject


@dataclass(frozen=True, slots=True)
class _Named:
    """What is known of hosts by their tags' table: other names, and current tags by source."""

    aliases: dict[str, tuple[str, ...]] = field(default_factory=dict)
    tags: dict[str, dict[str, tuple[str, ...]]] = field(default_factory=dict)

    def owner_of(self) -> dict[str, str]:
        """Return the host that a name which is not a host's own belongs to."""
        return owners(self.aliases, self.aliases.keys() | self.tags.keys())


class Hosts:
    """The hosts of all tenants."""

    def __init__(self, engine: Engine, host_tags: HostTagTable) -> None:
        self._engine = engine
        self._host_tags = host_tags
        self._select = statement("opstrace.store", "select_hosts")
        self._latest = statement("opstrace.store", "select_latest_samples")
        self._documents = statement("opstrace.store", "select_host_documents")

    def heard_of(self, tenant: str, since_ms: int, now_ms: int, *, documents: bool = True) -> list[Host]:
        """Return a tenant's hosts that were heard of since a moment, in the order of their names.

        Without `documents` what they said of themselves is left out. What arrives under another name of a host is the
        host's. Raises StoreError.
        """
        named = self._named(tenant)
        owner_of = named.owner_of()
        seen: dict[str, int] = {}
        metrics: dict[str, int] = {}
        for row in self._rows(tenant, since_ms, now_ms):
            host = owner_of.get(row["host"], row["host"])
            seen[host] = max(seen.get(host, 0), row["seen_ms"])
            metrics[host] = max(metrics.get(host, 0), row["metric_count"])
        said = self.documents(tenant) if documents else {}
        return [
            Host(
                host,
                seen_ms,
                metrics[host],
                named.aliases.get(host, ()),
                named.tags.get(host, {}),
                said.get(host, {}),
            )
            for host, seen_ms in sorted(seen.items())
            if seen_ms >= since_ms
        ]

    def documents(self, tenant: str, hosts: Sequence[str] = (), *, whole: bool = False) -> dict[str, dict[str, Any]]:
        """Return what some hosts of a tenant, or all of them, said of themselves, by host and subject."""
        with self._engine.reader() as connection:
            table = connection.read(
                self._documents, tenant=tenant, subjects=list(_SUBJECTS), hosts=list(hosts), whole=int(whole)
            )
        found: dict[str, dict[str, Any]] = {}
        for row in table.to_pylist():
            found.setdefault(row["host"], {})[row["subject"]] = msgspec.json.decode(row["document"])
        return found

    def tags(self, tenant: str) -> dict[str, dict[str, tuple[str, ...]]]:
        """Return the tags that a tenant's hosts have now, by host and source."""
        return self._named(tenant).tags

    def _named(self, tenant: str) -> _Named:
        named = _Named()
        for one in self._host_tags.sets(tenant):
            if one.source == ALIASES:
                named.aliases[one.host] = one.tags
            else:
                named.tags.setdefault(one.host, {})[one.source] = one.tags
        return named

    def _rows(self, tenant: str, since_ms: int, now_ms: int) -> list[dict[str, Any]]:
        with self._engine.reader() as connection:
            rows: list[dict[str, Any]] = connection.read(self._select, tenant=tenant, since_ms=since_ms).to_pylist()
            silent = [row for row in rows if row["seen_ms"] < now_ms - _SILENT_MS and row["chosen"]]
            if not silent:
                return rows
            latest = connection.read(self._latest, rows=_series_of(silent), tenant=tenant, since_ms=since_ms)
        seen = dict(zip(latest["series"].to_pylist(), latest["seen_ms"].to_pylist(), strict=True))
        for row in silent:
            row["seen_ms"] = max(row["seen_ms"], *(seen.get(one["series"], 0) for one in row["chosen"]))
        return rows


def _series_of(rows: Iterable[Mapping[str, Any]]) -> pa.Table:
    chosen = [one for row in rows for one in row["chosen"]]
    return pa.table({name: pa.array([one[name] for one in chosen], pa.uint64()) for name in ("metric", "series")})
