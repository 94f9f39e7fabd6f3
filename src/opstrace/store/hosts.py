"""Hosts, read: which there are, when they were last heard of, and what they said of themselves."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec
import pyarrow as pa

from opstrace.nesting import is_too_deep
from opstrace.store.engine import Engine, statement
from opstrace.store.host_names import HostNames, without_names
from opstrace.store.host_tag_table import HostTagTable
from opstrace.store.host_versions import TagSet

# Of hosts that sent nothing for this long the samples that others sent are looked at.
_SILENT_MS: Final = 60_000
# Of hosts whose chosen series are silent for so long all others are looked at, as far back as this.
_LOST_MS: Final = 600_000
_LATELY_MS: Final = 3_600_000
# Subjects of which a list of hosts tells.
_SUBJECTS: Final = (
    *("agentVersion", "otel_version", "agent-flavor", "os", "python", "systemStats", "meta", "gohai"),
    *("install-method", "agent_checks", "host_metadata", "agent_metadata", "check_metadata", "mute"),
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
class CurrentTags:
    """What is known of a tenant's hosts by their tags' table: names, and current tags by host and source."""

    names: HostNames
    tags: Mapping[str, Mapping[str, tuple[str, ...]]]

    @classmethod
    def of(cls, sets: Sequence[TagSet]) -> "CurrentTags":
        """Read sets in the order of time; what another name of a host was given is the host's."""
        names = HostNames.of(sets)
        current = {(one.host, one.source): one.tags for one in without_names(sets)}
        tags: dict[str, dict[str, tuple[str, ...]]] = {}
        for (name, source), some in current.items():
            of_host = tags.setdefault(names.owner(name), {})
            of_host[source] = tuple(sorted({*of_host.get(source, ()), *some}))
        return cls(names, tags)

    def tags_of(self, name: str) -> Mapping[str, tuple[str, ...]]:
        """Return the tags of the host that a name belongs to, by source."""
        return self.tags.get(self.names.owner(name), {})


class Hosts:
    """The hosts of all tenants."""

    def __init__(self, engine: Engine, host_tags: HostTagTable) -> None:
        self._engine = engine
        self._host_tags = host_tags
        self._select = statement("opstrace.store", "select_hosts")
        self._latest = statement("opstrace.store", "select_latest_samples")
        self._closer = statement("opstrace.store", "select_latest_of_hosts")
        self._documents = statement("opstrace.store", "select_host_documents")

    def heard_of(self, tenant: str, since_ms: int, now_ms: int, *, documents: bool = True) -> list[Host]:
        """Return a tenant's hosts that were heard of since a moment, in the order of their names.

        Without `documents` what they said of themselves is left out. What arrives under another name of a host is the
        host's. Raises StoreError.
        """
        tagged = self.current_tags(tenant)
        seen: dict[str, int] = {}
        metrics: dict[str, int] = {}
        for row in self._rows(tenant, since_ms, now_ms):
            host = tagged.names.owner(row["host"])
            seen[host] = max(seen.get(host, 0), min(row["seen_ms"], now_ms))  # a sample may be ahead of the clock
            metrics[host] = max(metrics.get(host, 0), row["metric_count"])
        said = self.documents(tenant) if documents else {}
        return [
            Host(
                host,
                seen_ms,
                metrics[host],
                tagged.names.aliases_of(host),
                tagged.tags_of(host),
                _merged(said, tagged.names.all_of(host)),
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
            document = row["document"]
            if not is_too_deep(document if isinstance(document, bytes) else document.encode()):
                found.setdefault(row["host"], {})[row["subject"]] = msgspec.json.decode(document)
        return found

    def current_tags(self, tenant: str) -> CurrentTags:
        """Return the names of a tenant's hosts, and the tags that they have now."""
        return CurrentTags.of(self._host_tags.sets(tenant))

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
        self._look_closer(tenant, [row for row in silent if row["seen_ms"] < now_ms - _LOST_MS], since_ms, now_ms)
        return rows

    def _look_closer(self, tenant: str, rows: Sequence[dict[str, Any]], since_ms: int, now_ms: int) -> None:
        """Look at all series of hosts whose chosen ones are silent: where series come and go, others are not."""
        if not rows:
            return
        hosts, recently_ms = [row["host"] for row in rows], max(since_ms, now_ms - _LATELY_MS)
        with self._engine.reader() as connection:
            found = connection.read(self._closer, tenant=tenant, hosts=hosts, since_ms=recently_ms)
        seen = dict(zip(found["host"].to_pylist(), found["seen_ms"].to_pylist(), strict=True))
        for row in rows:
            row["seen_ms"] = max(row["seen_ms"], seen.get(row["host"], 0))


def _series_of(rows: Iterable[Mapping[str, Any]]) -> pa.Table:
    chosen = [one for row in rows for one in row["chosen"]]
    return pa.table({name: pa.array([one[name] for one in chosen], pa.uint64()) for name in ("metric", "series")})


def _merged(documents: Mapping[str, Mapping[str, Any]], names: Sequence[str]) -> dict[str, Any]:
    """Return what is said under the names of a host, by subject; that of the first, which is its own, goes first."""
    return {subject: said for name in reversed(names) for subject, said in documents.get(name, {}).items()}
