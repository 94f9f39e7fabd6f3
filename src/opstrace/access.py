"""Which tenant a request belongs to: proved by its key, and checked against the host name it was sent to.

Senders put the key in several places (datadog-intake.md, section 2.1); the first that holds one decides.
"""

import base64
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum
from ipaddress import ip_address
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


# In a request's scope: an Owner, which learns whose request it is.
OWNER: Final = "opstrace.owner"
# In a request's scope: the keyring by which its key was last looked up.
_KEYRING: Final = "opstrace.keyring"
_SITES: Final = {"same-origin": Page.OWN, "none": Page.NONE}


@dataclass(slots=True)
class Owner:
    """Whose a request is; copies of its scope share it."""

    tenant: str = ""  # as long as nobody asked


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
        request.scope[_KEYRING] = self._keyring
        label = self._label(request)
        named = self._tenants.get(label)
        key = next(keys(request), last_resort)
        if not key:
            if not self._open:
                raise refusal(KEY_REQUIRED)
            if label and named is None:
                raise refusal("the host name is of no tenant")
            if page_of(request) is Page.OTHERS or not self._may_be_ours(request):
                raise refusal("a page of another site needs a key")
            return named or self._keyring.tenants[0]
        tenant = self._keyring.tenant_for(key, probe=probe)
        if tenant is None:
            raise refusal("the API key is not one of this server's")
        if named is not None and named != tenant:
            raise refusal("the API key is not of the tenant in the host name")
        if (owner := request.scope.get(OWNER)) is not None:
            owner.tenant = tenant.name
        return tenant

    def check_still(self, request: HTTPConnection, tenant: str, refusal: Refusal) -> None:
        """Raise a refusal where the key of a request does not open its tenant any more, which it did at first.

        To be called once a body has come, which may take a while.
        """
        if request.scope.get(_KEYRING) is not self._keyring and self.tenant(request, refusal).name != tenant:
            raise refusal("the API key is no longer one of this tenant's")

    def _may_be_ours(self, request: HTTPConnection) -> bool:
        """Say whether a page that a browser took for ours came from here, judging by the name it was asked for by.

        The owner of any other name can have it lead to us once the page is there (DNS rebinding).
        """
        if not any(name in request.headers for name in ("sec-fetch-site", "origin")):
            return True
        name = _host_name(request)
        is_ours = name == self._host or name.endswith((f".{self._host}", ".localhost")) or name == "localhost"
        return is_ours or _is_address(name)

    def _label(self, request: HTTPConnection) -> str:
        """Return what stands before the instance's own name in the host name the request was sent to: a tenant."""
        name = _host_name(request)
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
    if scheme.lower() == "bearer" and (token := credentials.strip()):
        yield token
    elif scheme.lower() == "basic" and (password := _password(credentials)):
        yield password


def _path_key(path: str) -> str:
    """Return the key of the path of a log shipper: /v1/input/<key>."""
    _, found, rest = path.partition("/v1/input/")
    return rest.partition("/")[0] if found else ""


def _password(credentials: str) -> str:
    try:
        text = base64.b64decode(credentials.strip(), validate=True).decode()
    except ValueError:  # no base64, no ASCII, no UTF-8
        return ""
    return text.partition(":")[2].strip()


def _host_name(request: HTTPConnection) -> str:
    """Return the name that a request was sent to, without the port."""
    return request.headers.get("host", "").rsplit(":", 1)[0].lower().removesuffix(".")


def _is_address(name: str) -> bool:
    try:
        ip_address(name.strip("[]"))
    except ValueError:
        return False
    return True
