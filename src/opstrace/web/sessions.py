"""Who is logged in: browsers show a cookie instead of a key.

A session is a random token; the server keeps its digest, in memory and in a file: a restart ends none. The cookie is
HttpOnly and SameSite=Strict. Ports and subdomains of one host are the same *site*, so a request that shows a
cookie must also come from the same *origin*: browsers say so themselves (W3C Fetch Metadata; else Origin).
"""

import hashlib
import logging
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from opstrace import atomic_file
from opstrace.access import Access, Page, Refusal, keys, page_of
from opstrace.errors import QueryUnauthorized
from opstrace.tenants import Tenant, key_digest

logger = logging.getLogger(__name__)

SESSION_S: Final = 7 * 86_400.0
MAX_SESSIONS: Final = 10_000
MAX_FAILED_LOGINS: Final = 10
FAILED_LOGIN_WINDOW_S: Final = 60.0
MAX_REMEMBERED_CLIENTS: Final = 10_000

_READING: Final = ("GET", "HEAD")


class TooManyLogins(QueryUnauthorized):
    """A client showed so many wrong keys that it has to wait."""


class _Session(msgspec.Struct, frozen=True):
    tenant: str
    key: str  # the digest of the key it was opened with; empty where none is needed
    ends_s: float  # since the epoch


class Sessions:
    """The sessions of one server; says which tenant a request is of, by key or by cookie."""

    def __init__(self, access: Access, instance: str, file: Path, clock: Callable[[], float] = time.time) -> None:
        """Name the cookie after the instance, as cookies do not know ports; `clock` gives seconds since the epoch.

        The sessions of an earlier start are read from the file; where it is damaged, everybody logs in again.
        """
        self._access = access
        self._cookie = f"opstrace-{instance}"
        self._file = file
        self._clock = clock
        self._sessions = _read(file)
        self._failures: OrderedDict[str, list[float]] = OrderedDict()

    def tenant(self, request: Request, refusal: Refusal, *, probe: bool = False) -> Tenant:
        """Return the tenant of a request, or raise a refusal; a key counts before a cookie."""
        session = None if any(keys(request)) else self._session(request)
        if session is None:
            return self._access.tenant(request, refusal, probe=probe)
        if not same_origin(request):
            raise refusal("a session is good for requests of this server's own pages only")
        return Tenant(session.tenant)

    def log_in(self, request: Request, response: Response) -> Tenant:
        """Begin a session for the tenant of the request's key; raise QueryUnauthorized, TooManyLogins among them."""
        client = request.client.host if request.client else ""
        if not same_origin(request):
            raise QueryUnauthorized("a login is taken from this server's own page only")
        try:
            tenant = self._access.tenant(request, QueryUnauthorized)
        except QueryUnauthorized:
            # Whoever has a key logs in, whatever others at the same address tried.
            if len(self._recent_failures(client)) >= MAX_FAILED_LOGINS:
                raise TooManyLogins("too many wrong keys came from your address; wait a minute") from None
            self._remember_failure(client)
            raise
        token, key = secrets.token_urlsafe(32), next(keys(request), "")
        self._sessions[_digest(token)] = _Session(tenant.name, key and key_digest(key), self._clock() + SESSION_S)
        self._drop_ended()
        while len(self._sessions) > MAX_SESSIONS:
            self._sessions.popitem(last=False)
        self._write()
        self._set(request, response, token, int(SESSION_S))
        return tenant

    def log_out(self, request: Request, response: Response) -> None:
        """End the session the request shows, if it shows one."""
        if self._sessions.pop(_digest(request.cookies.get(self._cookie, "")), None):
            self._write()
        self._set(request, response, "", 0)

    def _session(self, request: Request) -> _Session | None:
        digest = _digest(request.cookies.get(self._cookie, ""))
        session = self._sessions.get(digest)
        if session is not None and not self._holds(session):
            del self._sessions[digest]
            self._write()
            return None
        return session

    def _drop_ended(self) -> None:
        for digest in [digest for digest, session in self._sessions.items() if not self._holds(session)]:
            del self._sessions[digest]

    def _write(self) -> None:
        try:
            atomic_file.write(self._file, msgspec.json.encode(self._sessions))
        except OSError as error:
            logger.warning("sessions will end with the server: %s: %s", self._file, error.strerror)

    def _holds(self, session: _Session) -> bool:
        """Say whether a session has time left, its tenant is there and its key has not been revoked."""
        keyring = self._access.keyring
        # One that was opened without a key is good while none is needed.
        revoked = not keyring.holds(session.key) if session.key else not self._access.is_open
        return session.ends_s > self._clock() and keyring.knows(Tenant(session.tenant)) and not revoked

    def _set(self, request: Request, response: Response, token: str, max_age_s: int) -> None:
        secure = request.url.scheme == "https"
        response.set_cookie(
            self._cookie, token, max_age=max_age_s, path="/", secure=secure, httponly=True, samesite="strict"
        )

    def _recent_failures(self, client: str) -> list[float]:
        since_s = self._clock() - FAILED_LOGIN_WINDOW_S
        return [moment_s for moment_s in self._failures.get(client, ()) if moment_s > since_s]

    def _remember_failure(self, client: str) -> None:
        self._failures[client] = [*self._recent_failures(client), self._clock()]
        self._failures.move_to_end(client)
        while len(self._failures) > MAX_REMEMBERED_CLIENTS:
            self._failures.popitem(last=False)


def same_origin(request: Request) -> bool:
    """Say whether a request comes from a page of the server it is sent to, or from no page at all."""
    page = page_of(request)
    return page is Page.OWN or (page is Page.NONE and request.method in _READING)


def _read(file: Path) -> OrderedDict[str, _Session]:
    """Return the sessions of a file, the oldest first; none where it is not there or damaged."""
    try:
        return OrderedDict(msgspec.json.decode(file.read_bytes(), type=dict[str, _Session]))
    except FileNotFoundError:
        return OrderedDict()
    except (OSError, msgspec.DecodeError) as error:
        logger.warning("everybody has to log in again, as %s cannot be read: %s", file, error)
        return OrderedDict()


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
