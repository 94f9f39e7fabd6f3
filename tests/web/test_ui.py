"""The page where it was not built; where it was, the end-to-end tests speak to it."""

import asyncio
from pathlib import Path

import pytest
from starlette.requests import Request
from starlette.responses import Response

from opstrace.access import Access
from opstrace.tenants import Keyring
from opstrace.web import ui
from opstrace.web.sessions import Sessions


def answered(static: Path, path: str, **parameters: str) -> Response:
    """Return what the route of this path answers with these files."""
    sessions = Sessions(Access(Keyring({"one": []}), "demo.localhost"), "demo", static / "sessions.json")
    route = next(route for route in ui.routes(sessions, "demo", lambda: ("one",), static) if route.path == path)
    scope = {"type": "http", "method": "GET", "path": path, "headers": [], "path_params": parameters}
    response: Response = asyncio.run(route.endpoint(Request(scope)))
    return response


@pytest.mark.parametrize("reason", ["npm could not fetch what the build needs: no network", None])
def test_a_page_that_was_not_built_is_a_sentence(tmp_path: Path, reason: str | None) -> None:
    if reason:
        (tmp_path / "unbuilt.txt").write_text(f"{reason}\n")
    response = answered(tmp_path, "/")
    text = bytes(response.body).decode()
    assert response.status_code == 503
    assert text.startswith(f"The web UI is not there: {reason or 'it was not built'}\n")
    assert "Everything else works." in text


@pytest.mark.parametrize("name", ["absent.js", "..", "../index.html", ".hidden", "/etc/passwd"])
def test_no_file_but_the_pages_own_is_answered(tmp_path: Path, name: str) -> None:
    (tmp_path / "assets").mkdir()
    (tmp_path / "index.html").write_text("secret")
    (tmp_path / "assets" / ".hidden").write_text("secret")
    response = answered(tmp_path, "/ui/assets/{name}", name=name)
    assert response.status_code == 404
    assert b"secret" not in bytes(response.body)
