"""What the operator does with tenants, their keys and limits: routes below /admin for the key of tenant `system`."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Annotated, Any, Final, Protocol, TypeVar

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from opstrace import roster
from opstrace.agent_settings import target_of
from opstrace.config import SYSTEM_TENANT, Config
from opstrace.errors import BadQuery, InstanceError, NotFound, QueryUnauthorized
from opstrace.estate import Holdings
from opstrace.instance import Instance
from opstrace.roster import DIGEST_CHARACTERS, Setting
from opstrace.tenants import Tenant
from opstrace.web.document_answer import Document, Endpoint, answered
from opstrace.web.request_body import read_body

MAX_DOCUMENT_BYTES: Final = 65_536

_T = TypeVar("_T")


class Administration(Protocol):
    """Changes a running instance; raises ConfigError and InstanceError."""

    instance: Instance
    stored: Config

    async def add(self, tenant: str) -> str:
        """Add a tenant and return its key."""

    async def remove(self, tenant: str) -> None:
        """Remove a tenant and its data."""

    async def holdings(self, tenant: str) -> Holdings:
        """Return how much a tenant has."""

    async def add_key(self, tenant: str) -> str:
        """Give a tenant one more key and return it."""

    async def revoke_key(self, tenant: str, digest: str) -> None:
        """Make the key whose digest begins so invalid."""

    async def set_limits(self, tenant: str | None, given: Mapping[str, Any]) -> None:
        """Set limits of one tenant, or retention and limits of all."""

    async def reload(self) -> None:
        """Take in the files."""

    def waiting(self) -> list[str]:
        """Return the names of limits that only the next start takes in."""


class NewTenant(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is posted to add one."""

    name: Annotated[str, msgspec.Meta(min_length=1)]


Values = dict[str, float | int | None]


@dataclass(frozen=True, slots=True)
class Tenancy:
    """The routes, and who does what they ask."""

    operator_of: Callable[[Request], Tenant]  # raises QueryUnauthorized
    administration: Administration

    def routes(self) -> list[Route]:
        """Return the routes, which stand below /admin."""
        return [
            Route("/admin/tenants", self._answered(self.tenants), methods=["GET"]),
            Route("/admin/tenants", self._answered(self.add), methods=["POST"]),
            Route("/admin/tenants/{tenant}", self._answered(self.tenant), methods=["GET"]),
            Route("/admin/tenants/{tenant}", self._answered(self.remove), methods=["DELETE"]),
            Route("/admin/tenants/{tenant}/keys", self._answered(self.add_key), methods=["POST"]),
            Route("/admin/tenants/{tenant}/keys/{digest}", self._answered(self.revoke_key), methods=["DELETE"]),
            Route("/admin/tenants/{tenant}/limits", self._answered(self.set_tenant_limits), methods=["PATCH"]),
            Route("/admin/limits", self._answered(self.limits), methods=["GET"]),
            Route("/admin/limits", self._answered(self.set_limits), methods=["PATCH"]),
            Route("/admin/reload", self._answered(self.reload), methods=["POST"]),
        ]

    async def tenants(self, _request: Request) -> Document:
        """Answer all tenants, and those whose data is still being removed."""
        instance = self.administration.instance
        return {
            "tenants": [_described(instance, tenant) for tenant in instance.config.all_tenants],
            "leaving": list(instance.leaving),
        }

    async def tenant(self, request: Request) -> Document:
        """Answer one tenant, and how much it has."""
        instance, name = self.administration.instance, request.path_params["tenant"]
        if name in instance.leaving:
            return {"name": name, "leaving": True, "holdings": await self._holdings(name)}
        self._check(name)
        return {**_described(instance, name), "leaving": False, "holdings": await self._holdings(name)}

    async def add(self, request: Request) -> Document:
        """Add a tenant, and answer its key: nobody can do so again."""
        name = (await self._document(request, NewTenant)).name
        key = await self.administration.add(name)
        return {**_described(self.administration.instance, name), "key": key}

    async def remove(self, request: Request) -> Document:
        """Remove a tenant; its data goes in the background."""
        name = request.path_params["tenant"]
        if name not in self.administration.instance.leaving:
            self._check(name)
        await self.administration.remove(name)
        return {}

    async def add_key(self, request: Request) -> Document:
        """Give a tenant one more key, and answer it; the ones before stay valid."""
        name = self._check(request.path_params["tenant"])
        key = await self.administration.add_key(name)
        return {**_described(self.administration.instance, name), "key": key}

    async def revoke_key(self, request: Request) -> Document:
        """Make one key of a tenant invalid."""
        name = self._check(request.path_params["tenant"])
        await self.administration.revoke_key(name, request.path_params["digest"])
        return _described(self.administration.instance, name)

    async def limits(self, _request: Request) -> Document:
        """Answer retention and limits of all tenants as they are set, and which of them wait for a start."""
        found = [_shown(setting) for setting in roster.settings(self.administration.stored)]
        return {"limits": found, "at_restart": self.administration.waiting()}

    async def set_limits(self, request: Request) -> Document:
        """Set retention and limits of all tenants; null stands for the default."""
        await self.administration.set_limits(None, await self._document(request, Values))
        return await self.limits(request)

    async def set_tenant_limits(self, request: Request) -> Document:
        """Set limits of one tenant; null stands for what holds for all."""
        name = self._check(request.path_params["tenant"])
        await self.administration.set_limits(name, await self._document(request, Values))
        return _described(self.administration.instance, name)

    async def _document(self, request: Request, kind: type[_T]) -> _T:
        timeout_s = self.administration.instance.config.limits.body_timeout_s
        body = await read_body(request, MAX_DOCUMENT_BYTES, timeout_s, "the body")
        self._check_operator(request)
        return _decoded(body, kind)

    async def reload(self, _request: Request) -> Document:
        """Take in tenants, keys, limits and retention as the files have them now."""
        await self.administration.reload()
        return {"at_restart": self.administration.waiting()}

    async def _holdings(self, tenant: str) -> Document:
        return (await self.administration.holdings(tenant)).document

    def _check(self, tenant: str) -> str:
        try:
            self.administration.instance.check_tenant(tenant)
        except InstanceError as error:
            raise NotFound(str(error)) from None
        return tenant

    def _answered(self, endpoint: Endpoint) -> Callable[[Request], Awaitable[Response]]:
        async def of_operator(request: Request) -> Document:
            self._check_operator(request)
            return await endpoint(request)

        return answered(of_operator)

    def _check_operator(self, request: Request) -> None:
        if self.operator_of(request).name != SYSTEM_TENANT:
            raise QueryUnauthorized("the key of tenant system is needed here")


def _described(instance: Instance, tenant: str) -> Document:
    target = target_of(instance, tenant)
    record = instance.keys_of(tenant)
    return {
        "name": tenant,
        "url": target.url,
        "keys": [digest[:DIGEST_CHARACTERS] for digest in record.digests],  # the newest last
        "token_file": record.token_file,
        "limits": [_shown(setting) for setting in roster.settings(instance.config, tenant)],
    }


def _shown(setting: Setting) -> Document:
    return {**asdict(setting), "live": setting.live}


def _decoded(body: bytes, kind: type[_T]) -> _T:
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise BadQuery(f"this is not what is expected here: {error}") from None
