"""Datadog's API of hosts and their tags, over one tenant's (datadog-api.md, section 6)."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from opstrace.datadog import hosts as shapes
from opstrace.errors import BadQuery
from opstrace.store.host_versions import TagSet
from opstrace.store.hosts import Host, Hosts
from opstrace.web.datadog_api import Endpoint, Json, Question

_HOUR_MS: Final = 3_600_000
_LISTED_SINCE_MS: Final = 3 * _HOUR_MS
_ACTIVE_SINCE_MS: Final = 2 * _HOUR_MS
_LISTED: Final = 100  # hosts in an answer to somebody who does not say how many


@dataclass(frozen=True, slots=True)
class HostSources:
    """Where answers come from, and who writes what a client changes."""

    hosts: Hosts
    loads: Callable[[str], Mapping[str, Mapping[str, float]]]  # of a tenant's hosts, by name
    record_tags: Callable[[str, Sequence[TagSet]], Awaitable[None]]  # of a tenant
    record_mute: Callable[[str, str, Json], Awaitable[None]]  # tenant, host, document
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
        since_ms = question.number("from", (now_ms - _LISTED_SINCE_MS) // 1000, now_ms // 1000) * 1000
        start, count = question.number("start", 0, 1 << 31), question.number("count", _LISTED, shapes.MAX_HOSTS)
        heard, loads = await asyncio.gather(
            self._heard_of(question, since_ms), asyncio.to_thread(self.sources.loads, question.tenant)
        )
        found = shapes.matching(heard, question.text("filter"))
        sorted_ = shapes.ordered(found, loads, question.text("sort_field"), question.text("sort_dir", "sort_order"))
        shown = sorted_[start : start + count]
        meta = question.text("include_hosts_metadata").lower() == "true"
        if meta and shown:
            shown = await asyncio.to_thread(self._with_documents, question.tenant, shown)
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
        name = question.request.path_params["host"]
        end = question.body.get("end")
        if end is not None and (not isinstance(end, int) or end * 1000 <= question.now_ms):
            raise BadQuery("end must be a time to come, in seconds")
        if await self._mute_end(question, name) is not None and not question.body.get("override"):
            raise BadQuery(f"{name} is already muted; use override to change it")
        message = question.body.get("message")
        document = {"end": end, "message": message if isinstance(message, str) else ""}
        await self.sources.record_mute(question.tenant, name, document)
        return {"action": "Muted", "hostname": name, **document}

    async def unmute(self, question: Question) -> Json:
        """End the mute of a host."""
        name = question.request.path_params["host"]
        if await self._mute_end(question, name) is None:
            raise BadQuery(f"{name} is not muted")
        await self.sources.record_mute(question.tenant, name, {})
        return {"action": "Unmuted", "hostname": name}

    async def _mute_end(self, question: Question, name: str) -> int | None:
        documents = await asyncio.to_thread(self.sources.hosts.documents, question.tenant, [name])
        return shapes.mute_end(Host(name, 0, 0, documents=documents.get(name, {})), question.now_ms)

    async def _heard_of(self, question: Question, since_ms: int, *, documents: bool = True) -> list[Host]:
        return await asyncio.to_thread(
            self.sources.hosts.heard_of, question.tenant, since_ms, question.now_ms, documents=documents
        )

    def _with_documents(self, tenant: str, hosts: Sequence[Host]) -> list[Host]:
        documents = self.sources.hosts.documents(tenant, [host.name for host in hosts], whole=True)
        return [replace(host, documents=documents.get(host.name, {})) for host in hosts]

    async def all_tags(self, question: Question) -> Json:
        """Answer the hosts of every tag."""
        tags = await asyncio.to_thread(self.sources.hosts.tags, question.tenant)
        return {"tags": shapes.inverted(tags, question.text("source"))}

    async def tags(self, question: Question) -> Json:
        """Answer the tags of one host."""
        return {"tags": shapes.of_host(await self._tags(question), question.text("source"))}

    async def add_tags(self, question: Question) -> Json:
        """Add tags to those that a source gave a host."""
        known = (await self._tags(question)).get(self._source(question), ())
        return await self._replace(question, [*known, *self._given(question)])

    async def replace_tags(self, question: Question) -> Json:
        """Replace the tags that a source gave a host."""
        return await self._replace(question, self._given(question))

    async def remove_tags(self, question: Question) -> None:
        """Remove the tags that a source gave a host."""
        await self._replace(question, [])

    async def _replace(self, question: Question, tags: Sequence[str]) -> Json:
        told = sorted(set(tags))
        if len(told) > self.sources.max_tags:
            raise BadQuery(f"a host may have {self.sources.max_tags} tags of one source, these are {len(told)}")
        host = question.request.path_params["host"]
        await self.sources.record_tags(
            question.tenant, [TagSet(host, self._source(question), question.now_ms, tuple(told))]
        )
        return {"host": host, "tags": told}

    async def _tags(self, question: Question) -> Mapping[str, tuple[str, ...]]:
        tags = await asyncio.to_thread(self.sources.hosts.tags, question.tenant)
        return tags.get(question.request.path_params["host"], {})

    def _source(self, question: Question) -> str:
        return question.text("source") or shapes.USERS

    def _given(self, question: Question) -> list[str]:
        tags = question.body.get("tags")
        if not isinstance(tags, list) or not all(isinstance(tag, str) and tag for tag in tags):
            raise BadQuery("tags must be a list of texts")
        if any(len(tag.encode("utf-8", "replace")) > self.sources.max_tag_bytes for tag in tags):
            raise BadQuery(f"a tag is longer than {self.sources.max_tag_bytes} bytes")
        return tags
