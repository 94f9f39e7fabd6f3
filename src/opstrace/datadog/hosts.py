"""Hosts as Datadog's API writes them, and what their metadata says of them.

The shapes are those of DataDog/datadog-api-client-python: .generator/schemas/v1/openapi.yaml (HostListResponse).
"""

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from opstrace.store.hosts import Host

Document: TypeAlias = dict[str, Any]

# A host that was heard of this recently is up: Agents send every 15 s, and their back-off ends at 64 s.
UP_MS: Final = 10 * 60_000
MAX_HOSTS: Final = 1000  # in one answer
USERS: Final = "users"  # the source of tags that are given by hand
# Sources as the list of hosts names them.
_SOURCES: Final = {"system": "Datadog", USERS: "Users"}
_VERSIONS: Final = ("nixV", "macV", "winV", "fbsdV")
_UNITS: Final = {"": 1, "b": 1, "kb": 1024, "mb": 1024**2, "gb": 1024**3}
_SIZE: Final = re.compile(r"\s*([0-9.]+)\s*([a-zA-Z]*)\s*")


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
        memory = _mapping(_mapping(said.get("gohai")).get("memory"))
        agent = _mapping(said.get("agent_metadata"))
        return cls(
            agent_version=_first(
                said.get("agentVersion"), agent.get("agent_version"), inventory.get("agent_version")
            ),
            os=_first(said.get("os"), inventory.get("os")),
            platform=_first(_distribution(stats), inventory.get("os_version"), stats.get("platform")),
            cpu_cores=_whole(inventory.get("cpu_logical_processors")) or _whole(stats.get("cpuCores")),
            memory_bytes=_whole(inventory.get("memory_total_kb")) * 1024 or _size(memory.get("total")),
        )


def host_object(host: Host, load: Mapping[str, float], now_ms: int, *, meta: bool) -> Document:
    """Return a host as the list shows it; `load` has its `cpu`, `iowait` and `load` where they are known."""
    end = mute_end(host, now_ms)
    return {
        "id": host_id(host.name),
        "name": host.name,
        "host_name": host.name,
        "aliases": [host.name, *host.aliases],
        "apps": apps(host),
        "sources": ["agent"] if "agentVersion" in host.documents else [],
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


def mute_end(host: Host, now_ms: int) -> int | None:
    """Return when the mute of a host ends, in seconds, 0 for never; None if it is not muted."""
    mute = _mapping(host.documents.get("mute"))
    end = _whole(mute.get("end"))
    return end if mute and (not end or end * 1000 > now_ms) else None


def apps(host: Host) -> list[str]:
    """Return the names of the checks that a host's Agent runs."""
    checks = _listed(host.documents.get("agent_checks"))
    named = [check[0] for check in checks if isinstance(check, list) and check]
    agent = {"agent"} if "agentVersion" in host.documents else set()
    return sorted({name for name in named if isinstance(name, str)} | agent)


def tags_by_source(host: Host) -> dict[str, list[str]]:
    """Return a host's tags under the names that the list of hosts has for their sources."""
    found = {_SOURCES.get(source, source): list(tags) for source, tags in host.tags.items() if tags}
    found["Datadog"] = [*found.get("Datadog", []), f"host:{host.name}"]
    return found


def matching(hosts: Iterable[Host], text: str) -> list[Host]:
    """Return the hosts of which each word of a filter is part of a name, or is a tag."""
    words = text.lower().split()
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
    wanted = {name.lower(): name for name in tags}
    chosen = [tags[wanted[source.lower()]]] if source.lower() in wanted else [] if source else tags.values()
    return sorted({tag for some in chosen for tag in some})


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
    install = _mapping(said.get("install-method"))
    return {
        "agent_version": machine.agent_version,
        "agent_flavor": _first(said.get("agent-flavor")),
        "platform": _first(stats.get("platform"), machine.os),
        "machine": _first(stats.get("machine")),
        "processor": _first(stats.get("processor")),
        "pythonV": _first(stats.get("pythonV")),
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


def _distribution(stats: Mapping[str, Any]) -> str:
    """Return `debian 12` of the list that a system's version comes in."""
    version = next((stats[name] for name in _VERSIONS if isinstance(stats.get(name), list)), ())
    return " ".join(str(part) for part in version[:2] if part)


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
    return int(float(found[1]) * _UNITS.get(found[2].lower(), 0)) if found and found[1].count(".") < 2 else 0
