"""The door to what Datadog's public API answers over one tenant's data.

Requests and errors are those of datadog-api.md, section 10. The key is all that is asked for: an application key may
come with it, and is not looked at.
"""

import json
import logging
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final, TypeAlias, TypeVar

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from opstrace.access import KEY_REQUIRED
from opstrace.errors import (
    INTAKE_STATUS,
    BadQuery,
    IntakeError,
    QueryError,
    QueryUnauthorized,
    StoreError,
    query_verdict,
)
from opstrace.routing import ANYTHING
from opstrace.tenants import Tenant
from opstrace.web.lookups import Lookups
from opstrace.web.request_body import check_owner
from opstrace.web.whole_numbers import whole_number

MAX_REQUEST_BYTES: Final = 1 << 20

_log = logging.getLogger(__name__)

T = TypeVar("T")

Json: TypeAlias = dict[str, Any]


@dataclass(frozen=True, slots=True, eq=False)
class Question:
    """One request of a known tenant."""

    request: Request
    tenant: str
    body: Json
    now_ms: int
    lookups: Lookups

    def text(self, *names: str) -> str:
        """Return the first of these parameters that is given."""
        return next((self.request.query_params[name] for name in names if name in self.request.query_params), "")

    def texts(self, name: str) -> str:
        """Return a parameter that may be given several times, or with several values, as one with all of them."""
        return ",".join(self.request.query_params.getlist(name))

    async def look(self, work: Callable[..., T], *arguments: object, **named: object) -> T:
        """Return what `work` finds, when it is the tenant's turn; raises what Lookups.run raises."""
        return await self.lookups.run(self.request, self.tenant, work, *arguments, **named)

    def number(self, name: str, default: int, most: int, *, alias: str = "") -> int:
        """Return a parameter that is a whole number from 0 on, under either name; raise BadQuery for another."""
        text = self.text(name, alias)
        if not text:
            return default
        if (number := whole_number(text, 0, 10**15)) is None:
            raise BadQuery(f"The value provided for parameter '{name}' is invalid")
        return min(number, most)


Endpoint: TypeAlias = Callable[[Question], Awaitable[Json | None]]


@dataclass(frozen=True, slots=True)
class Door:
    """What becomes of a request on its way in: the same as at the doors of intake."""

    tenant_of: Callable[[Request], Tenant]  # raises QueryUnauthorized
    unpack: Callable[[Request, int], Awaitable[bytes]]  # a body of so many bytes at most; raises IntakeError
    with_retry_after: Callable[[Response, IntakeError, Request], Response]  # what a refusal says beside its body
    lookups: Lookups


def routes(door: Door, endpoints: Iterable[tuple[str, str, Endpoint, int]]) -> list[Route]:
    """Return the routes of endpoints, each with method, path and status; mount them before those of intake."""
    return [
        # Names of hosts may have slashes.
        Route(path.replace("{host}", f"{{host:{ANYTHING}}}"), _answered(door, endpoint, status), methods=[method])
        for method, path, endpoint, status in endpoints
    ]


def _answered(door: Door, endpoint: Endpoint, status: int) -> Callable[[Request], Awaitable[Response]]:
    async def answer(request: Request) -> Response:
        try:
            tenant = door.tenant_of(request).name
            body = await _body(request, door)
            check_owner(request, door.tenant_of, tenant)
            question = Question(request, tenant, body, time.time_ns() // 1_000_000, door.lookups)
            found = await endpoint(question)
        except QueryUnauthorized as error:
            return _errors(403, KEY_REQUIRED if str(error) == KEY_REQUIRED else "Forbidden")
        except QueryError as error:
            return _errors(query_verdict(error)[0], str(error))
        except IntakeError as error:
            return door.with_retry_after(_errors(INTAKE_STATUS[type(error)], str(error)), error, request)
        except StoreError as error:
            _log.error("the store could not answer %s: %s", request.scope["path"], error)
            return _errors(503, "the store cannot answer now; try again")
        except ClientDisconnect:
            return Response(status_code=499)
        return Response(status_code=status) if found is None else _json(found, status)

    return answer


async def _body(request: Request, door: Door) -> Json:
    """Return the object that a request's body is, an empty one without a body; raise BadQuery for anything else."""
    if request.method in ("GET", "HEAD"):
        return {}
    raw = await door.unpack(request, MAX_REQUEST_BYTES)
    try:
        document = json.loads(raw) if raw.strip() else {}
    except (ValueError, RecursionError) as error:
        raise BadQuery("the body is not valid JSON") from error
    if not isinstance(document, dict):
        raise BadQuery("the body is not a JSON object")
    return document


def _errors(status: int, message: str) -> Response:
    return _json({"errors": [message]}, status)


def _json(document: Any, status: int = 200) -> Response:
    text = json.dumps(document, ensure_ascii=False, allow_nan=False)
    return Response(text.encode("utf-8", "replace"), status, media_type="application/json")
