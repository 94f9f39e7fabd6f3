"""Which tenant a request belongs to: proved by its key, and checked against the host name it was sent to.

Senders put the key in several places (datadog-intake.md, section 2.1); the first that holds one decides.
"""

import base64
from collections.abc import Callable, Iterator
from enum import Enum
from typing import Final

from starlette.requests import HTTPConnection

from opstrace.tenants import Keyring, Tenant

KEY_REQUIRED = "API key required"

# Makes the exception that an Access raises for a request it refuses, from a sentence for the client.
Refusal = Callable[[str], Exception]


class Page(Enum):
    """Whose page sends a request."""

    NONE = "none"  # somebody typed the address, or it is no browser
    OWN = "own"
    OTHERS = "others"


_SITES: Final = {"same-origin": Page.OWN, "none": Page.NONE}


class Access:
    """Says which tenant a request is of."""

    def __init__(self, keyring: Keyring, host: str, *, authentication_disabled: bool = False) -> None:
        """Know the tenants by their keys; `host` is the instance's own name, below which each tenant has one."""
        self.keyring = keyring
        self._open = authentication_disabled
        self._host = host

    @property
    def is_open(self) -> bool:
        """Whether no key is needed."""
        return self._open

    @property
    def keyring(self) -> Keyring:
        """The tenants there are and the keys that are good now; given anew when some came or went."""
        return self._keyring

    @keyring.setter
    def keyring(self, keyring: Keyring) -> None:
        self._keyring = keyring
        self._tenants = {tenant.name: tenant for tenant in keyring.tenants}

    def tenant(
        self, request: HTTPConnection, refusal: Refusal, *, probe: bool = False, last_resort: str = ""
    ) -> Tenant:
        """Return the tenant of a request, or raise a refusal.

        `probe=True` also accepts the instance's own probe key: for routes that the instance's own command asks.
        `last_resort` is the key of a request that has none where keys are.
        """
        label = self._label(request)
        named = self._tenants.get(label)
        key = next(keys(request), last_resort)
        if not key:
            if not self._open:
                raise refusal(KEY_REQUIRED)
            if label and named is None:
                raise refusal("the host name is of no tenant")
            if page_of(request) is Page.OTHERS:
                raise refusal("a page of another site needs a key")
            return named or self._keyring.tenants[0]
        tenant = self._keyring.tenant_for(key, probe=probe)
        if tenant is None:
            raise refusal("the API key is not one of this server's")
        if named is not None and named != tenant:
            raise refusal("the API key is not of the tenant in the host name")
        return tenant

    def _label(self, request: HTTPConnection) -> str:
        """Return what stands before the instance's own name in the host name the request was sent to: a tenant."""
        name = request.headers.get("host", "").rsplit(":", 1)[0].lower().removesuffix(".")
        if not name.endswith(f".{self._host}"):
            return ""
        return name.removesuffix(f".{self._host}").rpartition(".")[2]


def page_of(request: HTTPConnection) -> Page:
    """Return whose page sends a request, as far as a browser says so."""
    site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin")
    if site is not None:
        return _SITES.get(site, Page.OTHERS)
    if origin is None:
        return Page.NONE
    return Page.OWN if origin.partition("://")[2] == request.headers.get("host", "") else Page.OTHERS


def keys(request: HTTPConnection) -> Iterator[str]:
    """Yield the keys a request carries, the most trustworthy place first."""
    # The process Agents of Agents up to 7.22 send only the second of these headers.
    for name in ("dd-api-key", "x-dd-apikey"):
        if header := request.headers.get(name, "").strip():
            yield header
    for name in ("api_key", "dd-api-key"):
        if query := request.query_params.get(name, "").strip():
            yield query
    if in_path := _path_key(request.scope["path"]):
        yield in_path
    scheme, _, credentials = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        yield credentials.strip()
    elif scheme.lower() == "basic":
        yield from _password(credentials)


def _path_key(path: str) -> str:
    """Return the key of the path of a log shipper: /v1/input/<key>."""
    _, found, rest = path.partition("/v1/input/")
    return rest.partition("/")[0] if found else ""


def _password(credentials: str) -> Iterator[str]:
    try:
        text = base64.b64decode(credentials.strip(), validate=True).decode()
    except ValueError:  # no base64, no ASCII, no UTF-8
        return
    yield text.partition(":")[2].strip()
