"""The web UI's pages and its session: what a browser gets from `/` and from below `/ui`.

One HTML page, the same for every address, and files whose names change with their content. The page's policy lets
it load from this server only; the few styles its libraries write carry a nonce, made anew for every answer.
"""

import gzip
import mimetypes
import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from opstrace import __version__
from opstrace.config import SYSTEM_TENANT
from opstrace.errors import QueryUnauthorized
from opstrace.tenants import Tenant
from opstrace.web.document_answer import Document, document_answer, errors_answer
from opstrace.web.sessions import FAILED_LOGIN_WINDOW_S, Sessions, TooManyLogins
from opstrace.web.whole_numbers import whole_number

STATIC: Final = Path(__file__).parent / "static"
# Where hatch_build.py says why it could not build.
_REASON: Final = "unbuilt.txt"
_FILE: Final = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]*")
_NONCE: Final = b"OPSTRACE_NONCE"
_FOR_EVER: Final = "public, max-age=31536000, immutable"
_COMPRESSIBLE: Final = {".js", ".css", ".svg", ".html"}

_POLICY: Final = (
    "default-src 'none'; script-src 'self' 'nonce-{nonce}'; style-src 'self' 'nonce-{nonce}'; img-src 'self' data:; "
    "font-src 'self'; connect-src 'self'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
)
_HARDENED: Final = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
}


def routes(
    sessions: Sessions, instance: str, tenants: Callable[[], tuple[str, ...]], static: Path = STATIC
) -> list[Route]:
    """Return the routes of the UI. The page is answered to GET alone: other methods at `/` are Datadog's."""
    pages = _Pages(static)
    session = _Session(sessions, instance, tenants)
    return [
        Route("/ui/session", session.shown, methods=["GET"]),
        Route("/ui/session", session.begun, methods=["POST"]),
        Route("/ui/session", session.ended, methods=["DELETE"]),
        Route("/ui/assets/{name}", pages.asset, methods=["GET"]),
        Route("/", pages.page, methods=["GET"]),
        Route("/ui", pages.page, methods=["GET"]),
        Route("/ui/{path:path}", pages.page, methods=["GET"]),
        Route("/event/event", _event, methods=["GET"]),
    ]


async def _event(request: Request) -> Response:
    """Lead from the address that answers name an event by, which is Datadog's, to where it is shown."""
    if (number := whole_number(request.query_params.get("id", ""), 0, 1 << 63)) is None:
        return Response("id: which event?\n", 404, media_type="text/plain", headers=_HARDENED)
    return RedirectResponse(f"/ui/events?query=id:{number}&from=now-10y", 303, headers=_HARDENED)


@dataclass(frozen=True, slots=True)
class _Pages:
    static: Path
    _zipped: dict[str, bytes] = field(default_factory=dict)

    async def page(self, _request: Request) -> Response:
        """Answer the one page, or why there is none."""
        index = self.static / "index.html"
        if not index.is_file():
            return Response(_unbuilt(self.static), 503, media_type="text/plain", headers=_HARDENED)
        nonce = secrets.token_urlsafe(16)
        headers = {"content-security-policy": _POLICY.format(nonce=nonce), "cache-control": "no-store", **_HARDENED}
        body = index.read_bytes().replace(_NONCE, nonce.encode())
        return Response(body, media_type="text/html", headers=headers)

    async def asset(self, request: Request) -> Response:
        """Answer a file, which never changes under its name."""
        name = request.path_params["name"]
        path = self.static / "assets" / name
        if not _FILE.fullmatch(name) or not path.is_file():
            return Response("there is no such file\n", 404, media_type="text/plain", headers=_HARDENED)
        headers = {"cache-control": _FOR_EVER, "vary": "Accept-Encoding", **_HARDENED}
        kind = mimetypes.types_map.get(path.suffix, "application/octet-stream")
        if path.suffix not in _COMPRESSIBLE or "gzip" not in request.headers.get("accept-encoding", ""):
            return Response(path.read_bytes(), media_type=kind, headers=headers)
        if name not in self._zipped:
            self._zipped[name] = gzip.compress(path.read_bytes(), mtime=0)
        return Response(self._zipped[name], media_type=kind, headers={"content-encoding": "gzip", **headers})


def _unbuilt(static: Path) -> str:
    reason = static / _REASON
    why = reason.read_text(encoding="utf-8").strip() if reason.is_file() else "it was not built"
    return (
        f"The web UI is not there: {why}\n"
        "Everything else works. Build it by installing opstrace again; docs/ui.md says what that needs.\n"
    )


@dataclass(frozen=True, slots=True)
class _Session:
    sessions: Sessions
    instance: str
    tenants: Callable[[], tuple[str, ...]]

    async def shown(self, request: Request) -> Response:
        """Answer who asks, by cookie or key."""
        return _answered(lambda: self._described(self.sessions.tenant(request, QueryUnauthorized)))

    async def begun(self, request: Request) -> Response:
        """Log in with the key that the request carries where keys are."""
        response = Response()
        answer = _answered(lambda: self._described(self.sessions.log_in(request, response)))
        if "set-cookie" in response.headers:
            answer.headers["set-cookie"] = response.headers["set-cookie"]
        return answer

    async def ended(self, request: Request) -> Response:
        """Log out."""
        response = Response(status_code=204, headers={"cache-control": "no-store"})
        self.sessions.log_out(request, response)
        return response

    def _described(self, tenant: Tenant) -> Document:
        operator = tenant.name == SYSTEM_TENANT
        return {
            "tenant": tenant.name,
            "operator": operator,
            "tenants": list(self.tenants()) if operator else [tenant.name],
            "instance": self.instance,
            "version": __version__,
        }


def _answered(work: Callable[[], Document]) -> Response:
    try:
        return document_answer(work())
    except TooManyLogins as error:
        refusal = errors_answer(str(error), 429)
        refusal.headers["retry-after"] = str(int(FAILED_LOGIN_WINDOW_S))
        return refusal
    except QueryUnauthorized as error:
        return errors_answer(str(error), 403)
