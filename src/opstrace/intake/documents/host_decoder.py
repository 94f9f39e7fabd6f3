"""What documents say of hosts: tags and metadata, stored beside the series that they describe."""

from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from typing import Final

import msgspec

from opstrace.config import Limits
from opstrace.errors import Undecodable
from opstrace.intake.documents.host_metadata import (
    PARTS,
    TELLING,
    Bounds,
    Document,
    Facts,
    read_inventory,
    read_metadata,
)
from opstrace.intake.documents.json_statement import with_key
from opstrace.intake.payload import STORED, Body, Family, Findings, Numbered
from opstrace.intake.repair import MAX_REPAIR_BYTES, repair
from opstrace.store.host_versions import TagSet
from opstrace.store.host_writer import HostWriter

# Of a document larger than Python reads as a whole: what it says of hosts, the smaller parts before the larger ones.
MAX_PARTS_BYTES: Final = 16 * 1024 * 1024

_ILLEGIBLE: Final = (msgspec.DecodeError, UnicodeError, RecursionError)
_READERS: Final = {Family.INTAKE: read_metadata, Family.INVENTORY: read_inventory}


class HostDecoder:
    """Decodes metadata of hosts; there is little of it, so that Python may."""

    families = frozenset(_READERS)

    def __init__(self, writer: HostWriter, limits: Limits) -> None:
        self._writer = writer
        self._bounds = Bounds(limits.max_tags, limits.max_tag_bytes, limits.max_host_document_bytes)
        self._now_ms = 0
        self._tags: dict[tuple[str, str, str], tuple[str, ...]] = {}  # by tenant, host and source
        self._documents: dict[tuple[str, str, str], bytes] = {}  # by tenant, host and subject

    def stage(self, bodies: Numbered, now_s: float, findings: Findings) -> None:
        """Read what documents say of hosts; of several the latest counts."""
        self._now_ms = round(now_s * 1000)
        inventories = {i: body for i, body in bodies.items() if body.family is Family.INVENTORY}
        documents = {i: body for i, body in bodies.items() if body.family is Family.INTAKE}
        for i, body in {**inventories, **with_key(documents, *TELLING)}.items():
            try:
                self._take(i, body, findings)
            except Undecodable as error:
                findings.faults[i] = str(error)

    def store(self, commit: int, limits: Mapping[str, float]) -> None:  # noqa: ARG002 (what hosts say is of now)
        """Make tags that changed, and documents, durable."""
        sets = [
            (tenant, TagSet(host, source, self._now_ms, tags)) for (tenant, host, source), tags in self._tags.items()
        ]
        self._writer.append(sets, self._documents, commit)

    def clear(self) -> None:
        """Forget what was read."""
        self._tags, self._documents = {}, {}

    def _take(self, i: int, body: Body, findings: Findings) -> None:
        document, left_out = (_document(body), 0) if len(body.content) <= MAX_REPAIR_BYTES else _parts(body)
        facts = _READERS[body.family](document, self._bounds)
        facts.refused["document_too_large"] += left_out
        self._tags |= {(body.tenant, host, source): tags for (host, source), tags in facts.tags.items()}
        self._documents |= {
            (body.tenant, facts.host, subject): document for subject, document in facts.documents.items()
        }
        findings.facts[i] = _counted(facts)
        if facts.host:
            findings.hosts[i] = facts.host


def _document(body: Body) -> Document:
    """Return a body's object; raise Undecodable for what no parser reads."""
    try:
        document = msgspec.json.decode(body.content)
    except _ILLEGIBLE:
        legible = repair(body.family, body.content)
        document = msgspec.json.decode(legible) if legible else {}
    return document if isinstance(document, dict) else {}


def _parts(body: Body) -> tuple[Document, int]:
    """Return what is not too large of a large document, and how many of its parts are left out."""
    try:
        parts = msgspec.json.decode(body.content, type=dict[str, msgspec.Raw])
    except _ILLEGIBLE:
        return {}, 1
    wanted = {key: memoryview(part) for key, part in parts.items() if body.family is Family.INVENTORY or key in PARTS}
    found, room = {}, MAX_PARTS_BYTES
    for key, part in sorted(wanted.items(), key=lambda one: len(one[1])):
        if len(part) > min(MAX_REPAIR_BYTES, room):
            break
        with suppress(*_ILLEGIBLE):
            found[key] = msgspec.json.decode(part)
        room -= len(part)
    return found, len(wanted) - len(found)


def _counted(facts: Facts) -> Counter[str]:
    return +Counter({STORED: facts.total, **facts.refused})
