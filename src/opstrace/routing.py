"""Addresses: the part of a route that stands for anything, and slashes that count once."""

from typing import Final

from starlette.convertors import PathConvertor, register_url_convertor
from starlette.types import ASGIApp, Receive, Scope, Send

# What a route says of such a part, as in `/label/{name:anything}/values`; Starlette's own kind for paths leaves out
# line feeds.
ANYTHING: Final = "anything"


class _AnythingConvertor(PathConvertor):
    regex = "(?s:.*)"


register_url_convertor(ANYTHING, _AnythingConvertor())


def collapsed(path: str) -> str:
    """Return a path whose repeated slashes are one, and that has none at its end."""
    return "/" + "/".join(part for part in path.split("/") if part)


def collapsed_slashes(application: ASGIApp) -> ASGIApp:
    """Make `//api/v1/series/` the same address as `/api/v1/series`, without a redirect.

    Agents write the configured URL and the route one after the other (datadog-intake.md, section 2.2).
    """

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and ("//" in scope["path"] or scope["path"].endswith("/")):
            scope = {**scope, "path": collapsed(scope["path"])}
        await application(scope, receive, send)

    return answer
