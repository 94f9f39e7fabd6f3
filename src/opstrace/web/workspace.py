"""What the web UI's pages ask beside PromQL: settings for Agents, the catalogue of metrics, dashboards.

A tenant's key or session shows what is the tenant's, under /admin like all that is JSON and neither Datadog's nor
Prometheus's.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Final

from starlette.requests import Request
from starlette.routing import Route

from opstrace import agent_settings
from opstrace.config import SYSTEM_TENANT
from opstrace.errors import BadQuery, InstanceError
from opstrace.instance import Instance
from opstrace.store.catalogue import MAX_METRICS, Catalogue
from opstrace.tenants import Tenant
from opstrace.web.dashboards import MAX_DASHBOARD_BYTES, Dashboards
from opstrace.web.document_answer import Document, answered
from opstrace.web.lookups import Lookups
from opstrace.web.request_body import check_owner, read_body
from opstrace.web.whole_numbers import whole_number

_DAY_S: Final = 86_400
MAX_CATALOGUE_DAYS: Final = 366

TenantOf = Callable[[Request], Tenant]


@dataclass(frozen=True, slots=True)
class Workspace:
    """Where the answers come from."""

    instance: Callable[[], Instance]
    lookups: Lookups
    tenant_of: TenantOf  # raises QueryUnauthorized
    catalogue: Catalogue
    dashboards: Dashboards

    def routes(self) -> list[Route]:
        """Return the routes, which stand below /admin."""
        return [
            Route("/admin/agent-settings", answered(self.agent_settings), methods=["GET"]),
            Route("/admin/metrics", answered(self.metrics), methods=["GET"]),
            Route("/admin/metrics/{name}", answered(self.metric), methods=["GET"]),
            Route("/admin/dashboards", answered(self.list_dashboards), methods=["GET"]),
            Route("/admin/dashboards/{uid}", answered(self.dashboard), methods=["GET"]),
            Route("/admin/dashboards/{uid}", answered(self.keep_dashboard), methods=["PUT"]),
            Route("/admin/dashboards/{uid}", answered(self.remove_dashboard), methods=["DELETE"]),
            Route("/admin/dashboards/{uid}/star", answered(self.star), methods=["PUT", "DELETE"]),
        ]

    async def agent_settings(self, request: Request) -> Document:
        """Answer the settings of this tenant's Agents in every notation, with `key_place` for the key."""
        tenant = self.tenant_of(request)
        if tenant.name == SYSTEM_TENANT and (asked := request.query_params.get("tenant", "")):
            tenant = Tenant(asked)
        try:
            found = agent_settings.target_of(self.instance(), tenant.name)
        except InstanceError as error:
            raise BadQuery(str(error)) from None
        target = agent_settings.without_key(found)
        return {
            "url": target.url,
            "plain_url": target.plain_url,
            "loopback": target.loopback,
            "trust_anchor": target.trust_anchor is not None,
            "key_place": target.shown_key,
            "dogstatsd": self._dogstatsd(tenant),
            "notations": {name: write(target) for name, write in agent_settings.NOTATIONS.items()},
        }

    def _dogstatsd(self, tenant: Tenant) -> list[str]:
        """Return where the server itself hears DogStatsD for this tenant."""
        config = self.instance().config
        listeners = config.dogstatsd.listeners if config.dogstatsd.enabled else ()
        return [one.url for one in listeners if (one.tenant or config.first_tenant) == tenant.name]

    async def metrics(self, request: Request) -> Document:
        """Answer the catalogue of a tenant's metrics, the costliest first."""
        tenant = self.tenant_of(request)
        start_s, end_s = _days(request)
        metrics = self.catalogue.metrics
        found = await self.lookups.run(request, tenant.name, metrics, tenant.name, start_s, end_s, MAX_METRICS + 1)
        return {"metrics": [asdict(entry) for entry in found[:MAX_METRICS]], "more": len(found) > MAX_METRICS}

    async def metric(self, request: Request) -> Document:
        """Answer one metric's labels with their cardinality, and when it was last seen."""
        tenant, name = self.tenant_of(request), request.path_params["name"]
        start_s, end_s = _days(request)

        def found() -> Document:
            labels = self.catalogue.labels(tenant.name, name, start_s, end_s)
            last_seen_s = self.catalogue.last_seen_s(tenant.name, name, start_s)
            return {"name": name, "labels": [asdict(label) for label in labels], "last_seen_s": last_seen_s}

        return await self.lookups.run(request, tenant.name, found)

    async def list_dashboards(self, request: Request) -> Document:
        """Answer the dashboards a tenant has: the bundled ones and its own."""
        tenant = self.tenant_of(request)
        return {"dashboards": [asdict(entry) for entry in await self._of(self.dashboards.entries, tenant)]}

    async def dashboard(self, request: Request) -> Document:
        """Answer one dashboard in Grafana's JSON model."""
        tenant = self.tenant_of(request)
        document: Document = await self._of(self.dashboards.read, tenant, request.path_params["uid"])
        return document

    async def keep_dashboard(self, request: Request) -> Document:
        """Keep a dashboard, new or changed."""
        tenant = self.tenant_of(request)
        timeout_s = self.instance().config.limits.body_timeout_s
        body = await read_body(request, MAX_DASHBOARD_BYTES, timeout_s, "the dashboard")
        check_owner(request, self.tenant_of, tenant.name)
        return asdict(await self._of(self.dashboards.keep, tenant, request.path_params["uid"], body))

    async def remove_dashboard(self, request: Request) -> Document:
        """Remove a tenant's own dashboard; a bundled one that was changed is as it was."""
        tenant = self.tenant_of(request)
        await self._of(self.dashboards.remove, tenant, request.path_params["uid"])
        return {}

    async def star(self, request: Request) -> Document:
        """Put a dashboard among the tenant's favourites, or take it from them."""
        tenant = self.tenant_of(request)
        await self._of(self.dashboards.star, tenant, request.path_params["uid"], request.method == "PUT")
        return {}

    async def _of(self, work: Callable[..., Any], tenant: Tenant, *arguments: object) -> Any:
        return await asyncio.to_thread(work, tenant.name, *arguments)


def _days(request: Request) -> tuple[int, int]:
    """Return the days asked for as seconds: `days` before now, one by default."""
    text = request.query_params.get("days", "1")
    if (days := whole_number(text, 1, MAX_CATALOGUE_DAYS)) is None:
        raise BadQuery(f"days: {text[:40]!r} is not a whole number from 1 to {MAX_CATALOGUE_DAYS}")
    now_s = int(time.time())
    return now_s - days * _DAY_S, now_s
