"""Datadog's API of hosts and their tags, over one tenant's (datadog-api.md, section 6)."""

import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final, TypeAlias

from opstrace.datadog import hosts as shapes
from opstrace.errors import BadQuery
from opstrace.store.host_versions import USERS
from opstrace.store.host_writer import HostWriter
from opstrace.store.hosts import Host, Hosts
from opstrace.web.datadog_api import Endpoint, Json, Question

_HOUR_MS: Final = 3_600_000
_LISTED_SINCE_MS: Final = 3 * _HOUR_MS
_ACTIVE_SINCE_MS: Final = 2 * _HOUR_MS
_LISTED: Final = 100  # hosts in an answer to somebody who does not say how many


# From the tags that a source gave a host to those that it gives from now on.
_Change: TypeAlias = Callable[[frozenset[str]], frozenset[str]]


@dataclass(frozen=True, slots=True)
class HostSources:
    """Where answers come from, and who writes what a client changes."""

    hosts: Hosts
    loads: Callable[[str], Mapping[str, Mapping[str, float]]]  # of a tenant's hosts, by name
    writer: HostWriter
    alone: Callable[[Callable[[], Any]], Awaitable[Any]]  # runs what needs the writer for itself
    max_tags: int
    max_tag_bytes: int


def endpoints(sources: HostSources) -> Sequence[tuple[str, str, Endpoint, int]]:
    """Return method, path, endpoint and status of each route."""
    api = _HostApi(sources)
    return (
        ("GET", "/api/v1/hosts", api.hosts, 200),
        ("GET", "/api/v1/hosts/totals", api.totals, 200),
        ("POST", "/api/v1/host/{host}/mute", api.mute, 200),
        ("POST", "/api/v1/host/{host}/unmute", api.unmute, 200),
        ("GET", "/api/v1/tags/hosts", api.all_tags, 200),
        ("GET", "/api/v1/tags/hosts/{host}", api.tags, 200),
        ("POST", "/api/v1/tags/hosts/{host}", api.add_tags, 201),
        ("PUT", "/api/v1/tags/hosts/{host}", api.replace_tags, 201),
        ("DELETE", "/api/v1/tags/hosts/{host}", api.remove_tags, 204),
    )


@dataclass(frozen=True, slots=True)
class _HostApi:
    sources: HostSources

    async def hosts(self, question: Question) -> Json:
        """Answer the list of hosts."""
        now_ms = question.now_ms
        since_s = question.number("from", (now_ms - _LISTED_SINCE_MS) // 1000, now_ms // 1000, alias="from_")
        start, count = question.number("start", 0, 1 << 31), question.number("count", _LISTED, shapes.MAX_HOSTS)
        heard = await self._heard_of(question, since_s * 1000)
        loads = await question.look(self.sources.loads, question.tenant)
        found = shapes.matching(heard, question.text("filter"))
        sorted_ = shapes.ordered(found, loads, question.text("sort_field"), question.text("sort_dir", "sort_order"))
        shown = sorted_[start : start + count]
        meta = question.text("include_hosts_metadata").lower() == "true"
        if meta and shown:
            shown = await question.look(self._with_documents, question.tenant, shown)
        return {
            "host_list": [shapes.host_object(host, loads.get(host.name, {}), now_ms, meta=meta) for host in shown],
            "total_returned": len(shown),
            "total_matching": len(found),
            "exact_total_matching": True,
        }

    async def totals(self, question: Question) -> Json:
        """Answer how many hosts there are, and how many of them are up."""
        since_ms = question.number("from", (question.now_ms - _ACTIVE_SINCE_MS) // 1000, 1 << 40) * 1000
        heard = await self._heard_of(question, since_ms, documents=False)
        up = sum(shapes.is_up(host, question.now_ms) for host in heard)
        return {"total_active": len(heard), "total_up": up}

    async def mute(self, question: Question) -> Json:
        """Mute a host; one that is muted stays as it is unless the sender overrides that."""
        end, message = _end(question), question.body.get("message")
        document = {"end": end, "message": _legible(message) if isinstance(message, str) else ""}
        complaint = "" if question.body.get("override") else "is already muted; use override to change it"
        return {"action": "Muted", "hostname": await self._note(question, document, complaint), **document}

    async def unmute(self, question: Question) -> Json:
        """End the mute of a host."""
        return {"action": "Unmuted", "hostname": await self._note(question, {}, "is not muted")}

    async def _note(self, question: Question, document: Json, complaint: str) -> str:
        """Note a mute of a host, or its end, and return the host's name; complain where it would change nothing."""
        names = await self._names(question)

        def note() -> None:
            noted = self.sources.writer.noted(question.tenant, names, "mute")
            is_muted = shapes.mute_end(noted, question.now_ms) is not None
            if complaint and is_muted == bool(document):
                raise BadQuery(f"{_name(question)} {complaint}")
            self.sources.writer.note(question.tenant, names[0], "mute", document)

        await self.sources.alone(note)
        return _name(question)

    async def _names(self, question: Question) -> list[str]:
        """Return all names of the host that is spoken of, the one it speaks under first."""
        tagged = await question.look(self.sources.hosts.current_tags, question.tenant)
        return tagged.names.all_of(_name(question))

    async def _heard_of(self, question: Question, since_ms: int, *, documents: bool = True) -> list[Host]:
        return await question.look(
            self.sources.hosts.heard_of, question.tenant, since_ms, question.now_ms, documents=documents
        )

    def _with_documents(self, tenant: str, hosts: Sequence[Host]) -> list[Host]:
        documents = self.sources.hosts.documents(tenant, [host.name for host in hosts], whole=True)
        return [replace(host, documents={**host.documents, **documents.get(host.name, {})}) for host in hosts]

    async def all_tags(self, question: Question) -> Json:
        """Answer the hosts of every tag."""
        tagged = await question.look(self.sources.hosts.current_tags, question.tenant)
        return {"tags": shapes.inverted(tagged.tags, question.text("source"))}

    async def tags(self, question: Question) -> Json:
        """Answer the tags of one host."""
        tagged = await question.look(self.sources.hosts.current_tags, question.tenant)
        tags = tagged.tags_of(_name(question))
        if question.text("by_source").lower() == "true":
            return {"tags": shapes.by_source(tags)}
        return {"tags": shapes.of_host(tags, question.text("source"))}

    async def add_tags(self, question: Question) -> Json:
        """Add tags to those that a source gave a host."""
        given = self._given(question)
        return await self._retag(question, lambda known: known | given)

    async def replace_tags(self, question: Question) -> Json:
        """Replace the tags that a source gave a host."""
        given = self._given(question)
        return await self._retag(question, lambda _: given)

    async def remove_tags(self, question: Question) -> None:
        """Remove the tags that a source gave a host."""
        await self._retag(question, lambda _: frozenset())

    async def _retag(self, question: Question, change: _Change) -> Json:
        source = shapes.source_of(question.text("source") or USERS)
        names = await self._names(question)
        told = await self.sources.alone(partial(self._retagged, question.tenant, names, source, change))
        return {"host": _name(question), "tags": told}

    def _retagged(self, tenant: str, names: Sequence[str], source: str, change: _Change) -> list[str]:
        """Change the tags of a source and return them; what is read here nobody changes before it is written."""
        writer = self.sources.writer
        known = [one for one in writer.tags(tenant, names) if shapes.source_of(one.source) == source]
        told = sorted(change(frozenset(tag for one in known for tag in one.tags)))
        if len(told) > self.sources.max_tags:
            raise BadQuery(f"a host may have {self.sources.max_tags} tags of one source, these are {len(told)}")
        writer.tag(tenant, shapes.retagged(known, names[0], source, told, time.time_ns() // 1_000_000))
        return told

    def _given(self, question: Question) -> frozenset[str]:
        tags = question.body.get("tags")
        if not isinstance(tags, list) or not all(isinstance(tag, str) and tag for tag in tags):
            raise BadQuery("tags must be a list of texts")
        legible = frozenset(map(_legible, tags))
        if any(len(tag.encode()) > self.sources.max_tag_bytes for tag in legible):
            raise BadQuery(f"a tag is longer than {self.sources.max_tag_bytes} bytes")
        return legible


def _end(question: Question) -> int | None:
    """Return when a mute is to end, which clients write as any number or as text; None where it does not."""
    end = question.body.get("end")
    if end is None:
        return None
    try:
        moment_s = int(float(end)) if not isinstance(end, bool) else 0
    except (TypeError, ValueError, OverflowError):
        moment_s = 0
    if moment_s * 1000 <= question.now_ms:
        raise BadQuery("end must be a time to come, in seconds")
    return moment_s


def _name(question: Question) -> str:
    name: str = question.request.path_params["host"]
    return name


def _legible(text: str) -> str:
    """Return a text without what JSON can spell and UTF-8 cannot: half of a character."""
    return text.encode("utf-8", "replace").decode()
