"""Pages in browsers that send to us from sites of their own: Datadog's SDKs for them, and whatever sends JSON."""

from typing import Final

from starlette.requests import Request
from starlette.responses import Response

# Behind it a page's SDK puts the path and the query that a proxy of its site is to pass on to Datadog: for us that is
# the request (docs.datadoghq.com: real_user_monitoring/guide/proxy-rum-data).
FORWARDED: Final = "ddforward"
# How long a browser remembers that a page may send, in seconds.
_REMEMBERED_S: Final = "86400"


def forwarded(request: Request) -> Request:
    """Return what a page sends as to a proxy as if it had been sent here; any other request as it is."""
    target = request.query_params.get(FORWARDED, "")
    if not target.startswith("/"):
        return request
    path, _, query = target.partition("?")
    inner = {
        "path": path,
        "raw_path": path.encode("utf-8", "replace"),
        "query_string": query.encode("utf-8", "replace"),
    }
    return Request({**request.scope, **inner}, request.receive)


def may_send(request: Request) -> Response:
    """Answer a browser that asks whether a page of another site may send: it may, its key decides."""
    wanted = request.headers.get("access-control-request-headers", "*")
    headers = {
        "access-control-allow-methods": "GET, HEAD, POST, PUT, PATCH",
        "access-control-allow-headers": wanted,
        "access-control-max-age": _REMEMBERED_S,
    }
    return Response(status_code=204, headers=headers)


def open_to_pages(response: Response, request: Request) -> Response:
    """Let a page of another site see an answer; else a browser reports a failure, and SDKs send again or give up."""
    if "origin" in request.headers:
        response.headers["access-control-allow-origin"] = "*"
    return response
