"""What a document says of hosts: the metadata that Agents post to /intake/, and their inventories.

Whatever is not of the kind that is expected is left out (datadog-intake.md, sections 12 and 13).
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from opstrace.nesting import is_too_deep
from opstrace.store.host_names import ALIASES

# Keys of host metadata that are kept, each under its name; tags of hosts have a table of their own.
SUBJECTS: Final = (
    *("agentVersion", "agent-flavor", "os", "python", "uuid", "systemStats", "meta", "gohai", "network", "logs"),
    *("install-method", "proxy-info", "otlp", "fips_mode", "fips_proxy_enabled"),
    *("container-meta", "agent_checks", "otel_version"),
)
# A document with none of these says nothing of hosts: the others come with every payload of an Agent version 5.
TELLING: Final = ("host-tags", "external_host_tags", "meta", "gohai", "systemStats", "agent_checks")
_NAME: Final = "internalHostname"
_TAGS: Final = "host-tags"
_EXTERNAL_TAGS: Final = "external_host_tags"
# All that is read of a document.
PARTS: Final = frozenset((*SUBJECTS, *TELLING, _NAME))
# Where `meta` has other names of the host.
_NAMES: Final = (
    *("instance-id", "ec2-hostname", "socket-hostname", "socket-fqdn", "hostname", "legacy-resolution-hostname"),
)
# Names that every machine gives itself.
_ANYBODYS: Final = ("localhost", "localhost.localdomain", "localhost6.localdomain6", "ip6-localhost")
_INVENTORY_SUFFIX: Final = "_metadata"
# Kinds of inventories that are of a cluster, whichever host its Agent runs on.
_OF_CLUSTERS: Final = (
    *(b'"datadog_cluster_agent_metadata"', b'"clustercheck_metadata"', b'"datadog_operator_metadata"'),
    *(b'"datadog_operator_helm_metadata"', b'"datadog_operator_crd_metadata"', b'"datadog_helm_metadata"'),
)

# Sources of a host's tags in one document; an Agent knows of six.
MAX_SOURCES: Final = 50

Document = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much a document may say of one host."""

    max_tags: int  # of a source
    max_tag_bytes: int
    max_document_bytes: int  # of a subject


@dataclass(slots=True)
class Facts:
    """What a document says of hosts, and what of it is refused, by reason."""

    host: str = ""
    tags: dict[tuple[str, str], tuple[str, ...]] = field(default_factory=dict)  # by host and source
    documents: dict[str, bytes] = field(default_factory=dict)  # JSON by subject, of `host`
    refused: Counter[str] = field(default_factory=Counter)

    @property
    def total(self) -> int:
        """How many facts there are."""
        return len(self.tags) + len(self.documents)


def read_metadata(document: Document, bounds: Bounds) -> Facts:
    """Read a document of /intake/."""
    facts = Facts(_text(document.get(_NAME)) or _text(_mapping(document.get("meta")).get("hostname")))
    if not any(key in document for key in TELLING):
        return facts
    if facts.host:
        _read_tags(facts, facts.host, _mapping(document.get(_TAGS)), bounds)
        if document.get("meta") is not None:
            others = _aliases(facts.host, _mapping(document["meta"]))
            facts.tags[facts.host, ALIASES] = _bounded(facts, others, bounds)
        said = {key: value for key in SUBJECTS if (value := _legible(key, document.get(key))) is not None}
        _read_subjects(facts, said or {_NAME: facts.host}, bounds)
    elif any(document.get(key) for key in TELLING if key != _EXTERNAL_TAGS):
        # Some Agents of version 5 send empty ones beside tags of other hosts, and no name.
        facts.refused["no_host"] += sum(bool(document.get(key)) for key in (*SUBJECTS, _TAGS))
    for host, of_source in _external(document.get(_EXTERNAL_TAGS)):
        _read_tags(facts, host, of_source, bounds)
    return facts


def read_inventory(document: Document, bounds: Bounds) -> Facts:
    """Read a document of /api/v1/metadata: one kind of inventory or several, an object each."""
    kinds = {
        key: value for key, value in document.items() if isinstance(value, dict) or key.endswith(_INVENTORY_SUFFIX)
    }
    facts = Facts(_text(document.get("hostname")))
    if facts.host:
        _read_subjects(facts, {key: value for key, value in kinds.items() if value is not None}, bounds)
    else:
        facts.refused["no_host"] += len(kinds)
    return facts


def is_of_cluster(content: bytes) -> bool:
    """Say whether a document of /api/v1/metadata is of a cluster, which is no host."""
    return any(key in content for key in _OF_CLUSTERS)


def _is_named(facts: Facts, host: str, bounds: Bounds) -> bool:
    """Say whether a host has a name that is not too long, and count it if not."""
    fits = len(host.encode()) <= bounds.max_tag_bytes
    facts.refused["tag_too_long"] += not fits
    return fits


def _read_tags(facts: Facts, host: str, of_source: Document, bounds: Bounds) -> None:
    """Take the tags of a host; an empty list ends the tags of its source."""
    if not _is_named(facts, host, bounds):
        return
    sources = [source for source, sent in of_source.items() if source != ALIASES and isinstance(sent, list | None)]
    facts.refused["too_many_tags"] += len(sources[MAX_SOURCES:])
    for source in sources[:MAX_SOURCES]:
        told = sorted({tag for tag in of_source[source] or () if isinstance(tag, str) and tag})
        facts.tags[host, source] = _bounded(facts, told, bounds)


def _bounded(facts: Facts, told: Sequence[str], bounds: Bounds) -> tuple[str, ...]:
    """Return the first tags, or names, of those that are not too long, and count the others."""
    fitting = [text for text in told if len(text.encode()) <= bounds.max_tag_bytes]
    facts.refused["tag_too_long"] += len(told) - len(fitting)
    facts.refused["too_many_tags"] += len(fitting[bounds.max_tags :])
    return tuple(fitting[: bounds.max_tags])


def _read_subjects(facts: Facts, subjects: Document, bounds: Bounds) -> None:
    if not _is_named(facts, facts.host, bounds):
        return
    for subject, value in subjects.items():
        encoded = _encoded(value)
        if encoded is None or is_too_deep(encoded):
            facts.refused["document_too_deep"] += 1
        elif len(encoded) > bounds.max_document_bytes:
            facts.refused["document_too_large"] += 1
        else:
            facts.documents[subject] = encoded


def _encoded(value: Any) -> bytes | None:
    """Return JSON; None for what is nested too deeply to be written."""
    try:
        return msgspec.json.encode(value)
    except RecursionError:
        return None


def _legible(subject: str, value: Any) -> Any:
    """Return what a subject says; `gohai` is JSON in a string."""
    if subject != "gohai" or not isinstance(value, str):
        return value
    try:
        return msgspec.json.decode(value)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return None


def _aliases(host: str, meta: Document) -> tuple[str, ...]:
    listed = meta.get("host_aliases")
    names = [*(listed if isinstance(listed, list) else ()), *(meta.get(key) for key in _NAMES)]
    others = {name for name in map(_text, names) if name and name.lower() not in _ANYBODYS}
    return tuple(sorted(others - {host}))


def _external(sent: Any) -> Iterator[tuple[str, Document]]:
    """Yield other hosts, each with its tags by source."""
    for one in sent if isinstance(sent, list) else ():
        match one:
            case [str(host), dict(of_source), *_] if host:
                yield host, of_source


def _mapping(value: Any) -> Document:
    return value if isinstance(value, dict) else {}


def _text(value: Any) -> str:
    return value.strip() if isinstance(value, str) else ""
