"""Hosts as Datadog's API writes them, and what their metadata says of them.

The shapes are those of DataDog/datadog-api-client-python: .generator/schemas/v1/openapi.yaml (HostListResponse).
"""

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from opstrace.store.host_versions import AGENT, USERS, TagSet
from opstrace.store.hosts import Host

Document: TypeAlias = dict[str, Any]

# A host that was heard of this recently is up: Agents send every 15 s, and their back-off ends at 64 s.
UP_MS: Final = 10 * 60_000
MAX_HOSTS: Final = 1000  # in one answer
# Sources as the list of hosts names them; others are named as they were sent.
_SOURCES: Final = {AGENT: "Datadog", USERS: "Users"}
# `user` is what the documentation of Datadog's client calls it.
_BY_NAME: Final = {"user": USERS} | {shown.lower(): source for source, shown in _SOURCES.items()}
_VERSIONS: Final = ("nixV", "macV", "winV", "fbsdV")
_UNITS: Final = {"": 1, "b": 1, "kb": 1024, "mb": 1024**2, "gb": 1024**3}
_SIZE: Final = re.compile(r"\s*([0-9]+(?:\.[0-9]*)?|\.[0-9]+)\s*([a-zA-Z]*)\s*")


@dataclass(frozen=True, slots=True)
class Machine:
    """What a host's metadata says of it; inventories are better typed, and go first."""

    agent_version: str
    os: str
    platform: str
    cpu_cores: int  # 0: not said
    memory_bytes: int  # 0: not said

    @classmethod
    def of(cls, host: Host) -> "Machine":
        """Read a host's documents."""
        said = host.documents
        inventory, stats = _mapping(said.get("host_metadata")), _mapping(said.get("systemStats"))
        gohai = _mapping(said.get("gohai"))
        platform = _mapping(gohai.get("platform"))
        cpu, memory = _mapping(gohai.get("cpu")), _mapping(gohai.get("memory"))
        logical = "cpu_logical_processors"
        cores = inventory.get(logical), stats.get("cpuCores"), cpu.get(logical), cpu.get("cpu_cores")
        return cls(
            # The Collector's exporter says what Agents say, but for its own version and its system.
            agent_version=_agent_version(said) or _first(said.get("otel_version")),
            os=_first(said.get("os"), inventory.get("os"), platform.get("GOOS")),
            platform=_first(
                _distribution(stats), inventory.get("os_version"), stats.get("platform"), platform.get("os")
            ),
            cpu_cores=next(filter(None, map(_whole, cores)), 0),
            memory_bytes=_whole(inventory.get("memory_total_kb")) * 1024 or _size(memory.get("total")),
        )


def host_object(host: Host, load: Mapping[str, float], now_ms: int, *, meta: bool) -> Document:
    """Return a host as the list shows it; `load` has its `cpu`, `iowait` and `load` where they are known."""
    end = mute_end(host.documents.get("mute"), now_ms)
    return {
        "id": host_id(host.name),
        "name": host.name,
        "host_name": host.name,
        "aliases": [host.name, *host.aliases],
        "apps": apps(host),
        "sources": ["agent"] if _agent_version(host.documents) else [],
        "up": is_up(host, now_ms),
        "is_muted": end is not None,
        "mute_timeout": end or None,
        "last_reported_time": host.seen_ms // 1000,
        "tags_by_source": tags_by_source(host),
        "metrics": {name: load.get(name, 0.0) for name in ("cpu", "iowait", "load")},
        "meta": _meta(host) if meta else {},
    }


def host_id(name: str) -> int:
    """Return a number that is a host's for ever, small enough for every reader of JSON."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:6], "big")


def is_up(host: Host, now_ms: int) -> bool:
    """Say whether a host was heard of recently."""
    return host.seen_ms >= now_ms - UP_MS


def mute_end(note: Any, now_ms: int) -> int | None:
    """Return when the mute that is noted of a host ends, in seconds, 0 for never; None if it is not muted."""
    mute = _mapping(note)
    end = _whole(mute.get("end"))
    return end if mute and (not end or end * 1000 > now_ms) else None


def apps(host: Host) -> list[str]:
    """Return the names of the checks that a host's Agent runs, or is configured for."""
    said = host.documents
    run = [check[0] for check in _listed(said.get("agent_checks")) if isinstance(check, list) and check]
    agent = ["agent"] if _agent_version(said) else []
    return sorted({*agent, *_mapping(said.get("check_metadata")), *(name for name in run if isinstance(name, str))})


def source_of(name: str) -> str:
    """Return the source of tags that a name means, whatever its case: `Datadog` is what Agents call `system`."""
    return _BY_NAME.get(name.lower(), name.lower())


def tags_by_source(host: Host) -> dict[str, list[str]]:
    """Return a host's tags under the names that the list of hosts has for their sources."""
    found: dict[str, set[str]] = {}
    for source, tags in host.tags.items():
        if tags:
            found.setdefault(_SOURCES.get(source_of(source), source), set()).update(tags)
    shown = {source: sorted(tags) for source, tags in found.items()}
    return shown | {"Datadog": [*shown.get("Datadog", []), f"host:{host.name}"]}


def retagged(sets: Sequence[TagSet], host: str, source: str, tags: Sequence[str], now_ms: int) -> list[TagSet]:
    """Return the sets to write so that a host has exactly these tags from a source; `sets` are those it has now.

    The tags go under the host's own name and the source as it is spelled already; all other sets are emptied.
    """
    spelled = {one.source for one in sets if one.host == host} or {source}
    place = host, source if source in spelled else min(spelled)
    now_ms = max(now_ms, *(one.since_ms for one in sets), 0)
    emptied = [TagSet(one.host, one.source, now_ms, ()) for one in sets if (one.host, one.source) != place]
    return [TagSet(*place, now_ms, tuple(tags)), *emptied]


def matching(hosts: Iterable[Host], text: str) -> list[Host]:
    """Return the hosts of which each word of a filter is part of a name, or is a tag."""
    words = text.lower().replace(",", " ").split()  # clients join lists by commas
    return [host for host in hosts if all(_matches(host, word) for word in words)]


def ordered(
    hosts: Sequence[Host], loads: Mapping[str, Mapping[str, float]], field: str, direction: str
) -> list[Host]:
    """Return hosts sorted by a field of the list; by name for one that is not known."""

    def key(host: Host) -> tuple[float, str]:
        match field:
            case "status":
                return host.seen_ms, host.name
            case "apps":
                return len(apps(host)), host.name
            case "cpu" | "iowait" | "load":
                return loads.get(host.name, {}).get(field, 0.0), host.name
        return 0.0, host.name

    return sorted(hosts, key=key, reverse=direction.lower() == "desc")


def inverted(tags: Mapping[str, Mapping[str, Sequence[str]]], source: str) -> dict[str, list[str]]:
    """Return the hosts of each tag of a source, or of all sources without one."""
    found: dict[str, set[str]] = {}
    for host, of_source in tags.items():
        for tag in of_host(of_source, source):
            found.setdefault(tag, set()).add(host)
    return {tag: sorted(hosts) for tag, hosts in sorted(found.items())}


def of_host(tags: Mapping[str, Sequence[str]], source: str) -> list[str]:
    """Return the tags of a host from a source, or from all sources without one."""
    wanted = source_of(source)
    return sorted({tag for name, some in tags.items() if wanted in ("", source_of(name)) for tag in some})


def by_source(tags: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    """Return the tags of a host under the sources that told them."""
    return {source: found for source in sorted(set(map(source_of, tags))) if (found := of_host(tags, source))}


def _matches(host: Host, word: str) -> bool:
    names = (host.name, *host.aliases)
    key, _, value = word.partition(":")
    if key == "host" and value:
        return any(value == name.lower() for name in names)
    tags = {tag.lower() for some in host.tags.values() for tag in some}
    return word in tags or any(word in name.lower() for name in names)


def _meta(host: Host) -> Document:
    said, machine = host.documents, Machine.of(host)
    stats, meta = _mapping(said.get("systemStats")), _mapping(said.get("meta"))
    install, platform = _mapping(said.get("install-method")), _mapping(_mapping(said.get("gohai")).get("platform"))
    return {
        "agent_version": machine.agent_version,
        "agent_flavor": _first(said.get("agent-flavor")),
        "platform": _first(stats.get("platform"), machine.os),
        "machine": _first(stats.get("machine"), platform.get("machine")),
        "processor": _first(stats.get("processor"), platform.get("processor")),
        "pythonV": _first(stats.get("pythonV"), str(said.get("python") or "").partition(" ")[0]),
        "cpuCores": machine.cpu_cores,
        "gohai": json.dumps(said["gohai"]) if "gohai" in said else "",
        **{name: stats[name] for name in _VERSIONS if isinstance(stats.get(name), list)},
        "socket-hostname": _first(meta.get("socket-hostname")),
        "socket-fqdn": _first(meta.get("socket-fqdn")),
        "host_id": host_id(host.name),
        "timezones": [zone for zone in _listed(meta.get("timezones")) if isinstance(zone, str)],
        "install_method": {name: install.get(name) for name in ("tool", "tool_version", "installer_version")},
        "agent_checks": _listed(said.get("agent_checks")),
    }


def _agent_version(said: Mapping[str, Any]) -> str:
    inventories = (_mapping(said.get(kind)) for kind in ("agent_metadata", "host_metadata"))
    return _first(said.get("agentVersion"), *(one.get("agent_version") for one in inventories))


def _distribution(stats: Mapping[str, Any]) -> str:
    """Return `debian 12` of the list that a system's version comes in; Agents also send empty ones of others."""
    versions = (_listed(stats.get(name)) for name in _VERSIONS)
    texts = ([part for part in version[:2] if part and isinstance(part, str)] for version in versions)
    return " ".join(next(filter(None, texts), []))


def _first(*texts: Any) -> str:
    return next((text for text in texts if isinstance(text, str) and text), "")


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _listed(value: Any) -> Sequence[Any]:
    return value if isinstance(value, list) else []


def _whole(value: Any) -> int:
    try:
        return int(float(value))
    except (TypeError, ValueError, OverflowError):
        return 0


def _size(text: Any) -> int:
    """Return the bytes of `16777216kB`."""
    found = _SIZE.fullmatch(text) if isinstance(text, str) else None
    return _whole(float(found[1]) * _UNITS.get(found[2].lower(), 0)) if found else 0
