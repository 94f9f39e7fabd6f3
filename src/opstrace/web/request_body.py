"""Bodies of requests that ask or change something: read with a bound on their bytes and on the time they take."""

import asyncio
from collections.abc import Callable

from starlette.requests import Request

from opstrace.errors import BadQuery, QueryUnauthorized
from opstrace.tenants import Tenant


async def read_body(request: Request, max_bytes: int, timeout_s: float, what: str) -> bytes:
    """Return a request's body, which is called `what`; raise BadQuery where it is too large or does not come."""
    body = b""
    try:
        async with asyncio.timeout(timeout_s):
            async for chunk in request.stream():
                body += chunk
                if len(body) > max_bytes:
                    raise BadQuery(f"{what} is larger than the {max_bytes} bytes a request may have")
    except TimeoutError:
        raise BadQuery(f"{what} did not arrive within {timeout_s:g} s") from None
    return body


def check_owner(request: Request, tenant_of: Callable[[Request], Tenant], owner: str) -> None:
    """Raise QueryUnauthorized unless a request, whose body has come meanwhile, is its tenant's still.

    A key may have been revoked, and a tenant removed.
    """
    if tenant_of(request).name != owner:
        raise QueryUnauthorized("the key, or the session, is another tenant's now")
