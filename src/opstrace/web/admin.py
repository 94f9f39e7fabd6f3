"""What an operator asks the server itself: its books, what is kept, and what is stored beside series.

A tenant's key shows what is the tenant's; that of tenant `system` shows all tenants.
"""

import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any, Final, Protocol, TypeVar

import msgspec
from starlette.requests import Request
from starlette.routing import Route

from opstrace.config import SYSTEM_TENANT
from opstrace.datadog.hosts import Machine, apps
from opstrace.datadog.search import parse_search
from opstrace.errors import BadQuery, StoreError
from opstrace.store.books import Entry
from opstrace.store.checks import Checks, Run
from opstrace.store.events import Event, Events
from opstrace.store.hosts import Host, Hosts
from opstrace.store.kept import Segment
from opstrace.store.logs import Log, parse_filter
from opstrace.store.place import LAST, Place
from opstrace.tenants import Tenant
from opstrace.web import moments
from opstrace.web.document_answer import Document, answered
from opstrace.web.lookups import Lookups
from opstrace.web.whole_numbers import whole_number

_DAY_S: Final = 86_400
_DEFAULT_ROWS: Final = 1000
MAX_ROWS: Final = 10_000  # logs, events, checks or changes of a check in one answer

T = TypeVar("T")

TenantOf = Callable[[Request], Tenant]


class Name(Protocol):
    """A metric's name, and how many lines of DogStatsD spoke of it: ever, and in the last seconds."""

    @property
    def tenant(self) -> str: ...  # noqa: D102
    @property
    def name(self) -> str: ...  # noqa: D102
    @property
    def lines(self) -> int: ...  # noqa: D102
    @property
    def recent(self) -> int: ...  # noqa: D102


@dataclass(frozen=True, slots=True)
class Sources:
    """Where the answers come from; None for a tenant means all of them."""

    lookups: Lookups
    tenant_of: TenantOf  # raises QueryUnauthorized
    operator_of: TenantOf  # the same, where the instance's own command may ask, too
    note: Callable[[], Awaitable[None]]  # has the books know all that was received until now
    books: Callable[[str | None, float, float], Sequence[Entry]]
    kept: Callable[[str | None], Awaitable[Sequence[Segment]]]
    replay: Callable[[str | None], Awaitable[Sequence[Mapping[str, Any]]]]
    logs: Callable[..., tuple[Sequence[Log], bool]]
    events: Events
    checks: Checks
    hosts: Hosts
    dogstatsd: Callable[[], Sequence[Name] | None]  # None if it is off


def routes(sources: Sources) -> list[Route]:
    """Return the routes below /admin."""
    admin = _Admin(sources)
    return [
        Route("/admin/losses", answered(admin.losses), methods=["GET"]),
        Route("/admin/replay", answered(admin.replay), methods=["POST"]),
        Route("/admin/dogstatsd", answered(admin.dogstatsd), methods=["GET"]),
        Route("/admin/logs", answered(admin.logs), methods=["GET"]),
        Route("/admin/events", answered(admin.events), methods=["GET"]),
        Route("/admin/hosts", answered(admin.hosts), methods=["GET"]),
        Route("/admin/checks", answered(admin.checks), methods=["GET"]),
        Route("/admin/checks/changes", answered(admin.check_changes), methods=["GET"]),
    ]


@dataclass(frozen=True, slots=True)
class _Admin:
    sources: Sources

    async def losses(self, request: Request) -> Document:
        """Answer what was received and what became of it, sender by sender, and what is kept."""
        operator = self.sources.operator_of(request)
        tenant = _scope(operator)
        start_s, end_s = _range(request, default_s=_DAY_S)
        with suppress(StoreError):  # as on a full disk, where one wants to read the books all the more
            await self.sources.note()
        entries = await self._look(request, operator.name, self.sources.books, tenant, start_s, end_s)
        segments = await self.sources.kept(tenant)
        return {
            "from": start_s - start_s % (_DAY_S / 24),  # the books know whole hours
            "to": end_s,
            "entries": [asdict(entry) for entry in entries],
            "kept": _kept(segments),
        }

    async def replay(self, request: Request) -> Document:
        """Feed what is kept to today's decoders, and answer what became of it."""
        return {"replayed": list(await self.sources.replay(_scope(self.sources.operator_of(request))))}

    async def dogstatsd(self, request: Request) -> Document:
        """Answer the names that DogStatsD hears of most, the busiest first."""
        tenant = _scope(self.sources.operator_of(request))
        heard = self.sources.dogstatsd()
        names = [one for one in heard or () if tenant in (None, one.tenant)]
        names.sort(key=lambda one: (-one.lines, one.tenant, one.name))
        return {
            "enabled": heard is not None,
            "names": [
                {"tenant": one.tenant, "name": one.name, "lines": one.lines, "recent": one.recent} for one in names
            ],
        }

    async def logs(self, request: Request) -> Document:
        """Answer the youngest logs of a range of time that hold the query's words and have its tags."""
        tenant = self.sources.tenant_of(request)
        start_s, end_s = _range(request, default_s=_DAY_S / 24)
        wanted = parse_filter(request.query_params.get("query", ""))
        cursor = request.query_params.get("cursor", "")
        before = Place.of(cursor) if cursor else LAST
        found, more = await self._look(
            request,
            tenant.name,
            self.sources.logs,
            tenant.name,
            wanted,
            _ms(start_s),
            _ms(end_s),
            _limit(request),
            before,
        )
        next_page = {"cursor": str(Place(found[-1].timestamp_ms, found[-1].id))} if more else {}
        return {"logs": (_log(log) for log in found), "more": more, **next_page}

    async def events(self, request: Request) -> Document:
        """Answer the youngest events of a range of time that a search finds."""
        tenant = self.sources.tenant_of(request)
        start_s, end_s = _range(request, default_s=_DAY_S)
        wanted = parse_search(request.query_params.get("query", ""))
        limit = _limit(request)
        select = self.sources.events.select
        found = await self._look(
            request, tenant.name, select, tenant.name, wanted, _ms(start_s), _ms(end_s), limit + 1
        )
        return {"events": (_event(event) for event in found[:limit]), "more": len(found) > limit}

    async def hosts(self, request: Request) -> Document:
        """Answer the hosts that were heard of since a moment, and what is known of them."""
        tenant = self.sources.tenant_of(request)
        start_s, end_s = _range(request, default_s=_DAY_S)
        heard_of = self.sources.hosts.heard_of
        heard = await self._look(request, tenant.name, heard_of, tenant.name, _ms(start_s), _ms(end_s))
        return {"hosts": [_host(host) for host in heard]}

    async def checks(self, request: Request) -> Document:
        """Answer the latest run of each service check since a moment, what is not OK first."""
        tenant, name, host = self._check(request)
        start_s, _ = _range(request, default_s=_DAY_S)
        limit = _limit(request)
        latest = self.sources.checks.latest
        found = await self._look(request, tenant, latest, tenant, name, host, _ms(start_s), limit + 1)
        return {"checks": [_run(run) for run in found[:limit]], "more": len(found) > limit}

    async def check_changes(self, request: Request) -> Document:
        """Answer when a service check changed its status."""
        tenant, name, host = self._check(request)
        if not name:
            raise BadQuery("check is missing: the name of the service check whose changes are wanted")
        start_s, end_s = _range(request, default_s=_DAY_S)
        limit = _limit(request)
        changes = self.sources.checks.changes
        found = await self._look(request, tenant, changes, tenant, name, host, _ms(start_s), _ms(end_s), limit + 1)
        return {"changes": [_run(run) for run in found[:limit]], "more": len(found) > limit}

    async def _look(self, request: Request, tenant: str, work: Callable[..., T], *arguments: object) -> T:
        return await self.sources.lookups.run(request, tenant, work, *arguments)

    def _check(self, request: Request) -> tuple[str, str, str]:
        tenant = self.sources.tenant_of(request)
        return tenant.name, request.query_params.get("check", ""), request.query_params.get("host", "")


def _scope(tenant: Tenant) -> str | None:
    return None if tenant.name == SYSTEM_TENANT else tenant.name


def _range(request: Request, *, default_s: float) -> tuple[float, float]:
    """Return the parameters `from` and `to` in seconds; by default the time up to now."""
    end_s = _moment(request, "to", time.time())
    start_s = _moment(request, "from", end_s - default_s)
    if start_s > end_s:
        raise BadQuery("from is after to")
    return start_s, end_s


def _moment(request: Request, name: str, default: float) -> float:
    text = request.query_params.get(name, "").strip()
    return moments.parse_s(text, name) if text else default


def _ms(seconds: float) -> int:
    return round(seconds * 1000)


def _limit(request: Request) -> int:
    text = request.query_params.get("limit", str(_DEFAULT_ROWS))
    if (limit := whole_number(text, 1, MAX_ROWS)) is None:
        raise BadQuery(f"limit: {text[:40]!r} is not a whole number from 1 to {MAX_ROWS}")
    return limit


def _kept(segments: Iterable[Segment]) -> list[dict[str, Any]]:
    totals: dict[tuple[str, str], list[int]] = {}
    for segment in segments:
        total = totals.setdefault((segment.tenant, segment.route), [0, 0])
        total[0] += segment.records
        total[1] += segment.size_bytes
    return [
        {"tenant": tenant, "route": route, "requests": records, "bytes": size}
        for (tenant, route), (records, size) in sorted(totals.items())
    ]


def _log(log: Log) -> dict[str, Any]:
    shown = asdict(log)
    del shown["id"]
    return {**shown, "attributes": _as_it_is(log.attributes)}


def _as_it_is(document: str) -> msgspec.Raw:
    """Return JSON for an answer without reading it: it may be nested deeper than anything here reads."""
    return msgspec.Raw(document.encode() or b"{}")


def _event(event: Event) -> dict[str, Any]:
    shown = asdict(event)
    return {
        "id": str(shown.pop("id")),
        "time_s": shown.pop("time_ms") / 1000,
        **shown,
        "attributes": _as_it_is(event.attributes),
    }


def _host(host: Host) -> dict[str, Any]:
    return {
        "name": host.name,
        "aliases": list(host.aliases),
        "last_seen_s": host.seen_ms / 1000,
        **asdict(Machine.of(host)),
        "tags": {source: list(tags) for source, tags in host.tags.items() if tags},
        "apps": apps(host),
        "metrics": host.metrics,
    }


def _run(run: Run) -> dict[str, Any]:
    shown = asdict(run)
    return {"time_s": shown.pop("time_ms") / 1000, **shown}
