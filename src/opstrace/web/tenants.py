"""Tenants while the server runs: one comes, one goes, keys and limits change. For the operator alone."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import msgspec
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from opstrace import tenancy, token_files
from opstrace.config import SYSTEM_TENANT, TENANT_LIMITS
from opstrace.errors import QUERY_STATUS, BadQuery, ConfigError, InstanceError, QueryError, QueryUnauthorized
from opstrace.instance import Instance, TenantKeys
from opstrace.tenants import Tenant

MAX_BODY_BYTES: Final = 4096
_SHOWN_DIGITS: Final = 8  # of a key's digest: enough to tell keys apart

Document = Mapping[str, Any]
Endpoint = Callable[[Request], Awaitable[Document]]


class NewTenant(msgspec.Struct, forbid_unknown_fields=True):
    """What is asked for a new tenant."""

    name: str


@dataclass(frozen=True, slots=True)
class TenantSources:
    """What the endpoints work on."""

    operator_of: Callable[..., Tenant]  # raises QueryUnauthorized; `probe=True` takes the instance's own command, too
    present: Callable[[], Instance]  # as the server knows it now
    adopt: Callable[[], Awaitable[None]]  # what is on disk
    rows: Callable[[str], Mapping[str, int]]  # of a tenant, by table


def routes(sources: TenantSources) -> list[Route]:
    """Return the routes below /admin."""
    tenants = _Tenants(sources)
    return [
        Route("/admin/tenants", _answered(tenants.listed), methods=["GET"]),
        Route("/admin/tenants", _answered(tenants.added), methods=["POST"]),
        Route("/admin/tenants/{tenant}", _answered(tenants.removed), methods=["DELETE"]),
        Route("/admin/tenants/{tenant}/limits", _answered(tenants.limited), methods=["PUT"]),
        Route("/admin/tenants/{tenant}/keys", _answered(tenants.key_added), methods=["POST"]),
        Route("/admin/tenants/{tenant}/keys", _answered(tenants.keys_revoked), methods=["DELETE"]),
        Route("/admin/reload", _answered(tenants.reloaded), methods=["POST"]),
    ]


@dataclass(frozen=True, slots=True)
class _Tenants:
    sources: TenantSources

    async def listed(self, request: Request) -> Document:
        """Answer the tenants with their keys' digests, as far as these tell them apart, limits and rows."""
        self._check_operator(request, probe=True)
        instance = self.sources.present()
        return {"tenants": [await self._shown(instance, tenant) for tenant in instance.config.all_tenants]}

    async def added(self, request: Request) -> Document:
        """Add a tenant, and answer its key: this once."""
        self._check_operator(request)
        try:
            wanted = msgspec.json.decode(await _body(request), type=NewTenant)
        except msgspec.DecodeError as error:
            raise BadQuery(f'the body must be a tenant\'s name, such as {{"name": "prod"}}: {error}') from error
        await self._changed(tenancy.add, wanted.name)
        return await self._with_new_key(wanted.name)

    async def removed(self, request: Request) -> Document:
        """Remove a tenant: its keys at once, its data next."""
        self._check_operator(request)
        await self._changed(tenancy.remove, request.path_params["tenant"])
        return {}

    async def limited(self, request: Request) -> Document:
        """Set some of a tenant's limits; null is the limit of all again."""
        self._check_operator(request)
        try:
            changes = msgspec.json.decode(await _body(request), type=dict[str, int | None])
        except msgspec.DecodeError as error:
            raise BadQuery(f"the body must be limits and their numbers, or null: {error}") from error
        await self._changed(tenancy.set_limits, request.path_params["tenant"], changes)
        return await self._shown(self.sources.present(), request.path_params["tenant"])

    async def key_added(self, request: Request) -> Document:
        """Give a tenant one more key, and answer it: this once."""
        self._check_operator(request)
        return await self._with_new_key(self._known(request))

    async def keys_revoked(self, request: Request) -> Document:
        """Make every key of a tenant invalid but the newest."""
        self._check_operator(request)
        revoked = await asyncio.to_thread(token_files.revoke, self.sources.present(), self._known(request))
        await self.sources.adopt()
        return {"revoked": revoked}

    async def reloaded(self, request: Request) -> Document:
        """Adopt tenants, keys and limits from disk, after a command changed them there."""
        self._check_operator(request, probe=True)
        await self.sources.adopt()
        return {}

    def _check_operator(self, request: Request, *, probe: bool = False) -> None:
        if self.sources.operator_of(request, probe=probe).name != SYSTEM_TENANT:
            raise QueryUnauthorized("the key of tenant system is needed here")

    def _known(self, request: Request) -> str:
        tenant = str(request.path_params["tenant"])
        if tenant not in self.sources.present().config.all_tenants:
            raise BadQuery(f"there is no tenant {tenant[:80]}")
        return tenant

    async def _changed(self, change: Callable[..., Instance], *arguments: object) -> None:
        await asyncio.to_thread(change, self.sources.present().name, *arguments)
        await self.sources.adopt()

    async def _with_new_key(self, tenant: str) -> Document:
        key = await asyncio.to_thread(token_files.hand_out, self.sources.present(), tenant)
        await self.sources.adopt()
        return {"name": tenant, "key": key}

    async def _shown(self, instance: Instance, tenant: str) -> dict[str, Any]:
        limits = instance.config.limits_of(tenant)
        own = next((one.given for one in instance.config.tenant_limits if one.tenant == tenant), {})
        return {
            "name": tenant,
            "keys": [digest[:_SHOWN_DIGITS] for digest in instance.keys.get(tenant, TenantKeys()).digests],
            "limits": {name: getattr(limits, name) for name in TENANT_LIMITS},
            "own_limits": sorted(own),
            "rows": await asyncio.to_thread(self.sources.rows, tenant),
        }


async def _body(request: Request) -> bytes:
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            raise BadQuery(f"a body has {MAX_BODY_BYTES} bytes at most here, this one has more")
    return body


def _answered(endpoint: Endpoint) -> Callable[[Request], Awaitable[Response]]:
    async def answer(request: Request) -> Response:
        try:
            return _json(await endpoint(request))
        except QueryError as error:
            return _json({"errors": [str(error)]}, QUERY_STATUS[type(error)][0])
        except (ConfigError, InstanceError) as error:
            return _json({"errors": [str(error)]}, 400)
        except ClientDisconnect:
            return Response(status_code=499)

    return answer


def _json(document: Document, status: int = 200) -> Response:
    headers = {"cache-control": "no-store"}
    return Response(msgspec.json.encode(document), status, media_type="application/json", headers=headers)
