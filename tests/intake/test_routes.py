"""Which requests the table of endpoints answers, and which are left to the other routes."""

import asyncio
from typing import Any

import pytest
from starlette.types import Receive, Scope, Send

from intake.storeless import KEY, storeless
from opstrace.intake.routes import ENDPOINTS
from opstrace.web import datadog_events, datadog_hosts
from opstrace.web.prometheus import ENDPOINTS as PROMETHEUS

ELSEWHERE = 599


def status(method: str, path: str, kind: str = "http") -> int:
    """Return how a request is answered where every other route says ELSEWHERE."""
    headers = [(b"dd-api-key", KEY.encode())]
    scope = {"type": kind, "method": method, "path": path, "query_string": b"", "headers": headers}
    sent: list[Any] = []

    async def others(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": ELSEWHERE, "headers": []})

    async def receive() -> Any:
        return {"type": "http.request", "body": b"{}", "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run(storeless().before(others)(scope, receive, send))
    return int(sent[0]["status"])


@pytest.mark.parametrize("path", [path for path, endpoint in ENDPOINTS.items() if not endpoint.files])
def test_what_senders_post_is_answered_by_the_table(path: str) -> None:
    assert status("POST", path) == ENDPOINTS[path].status


@pytest.mark.parametrize(
    ("method", "path", "kind"),
    [
        ("GET", "/api/v1/events", "http"),
        ("PUT", "/api/v2/series", "http"),
        ("POST", "/prometheus/api/v1/query", "http"),
        ("POST", "/api/v2/nobody_knows", "http"),
        ("POST", "/v1/input/" + KEY, "http"),
        ("POST", "/api/v2/series", "websocket"),
        ("", "", "lifespan"),
    ],
)
def test_all_else_is_left_to_the_other_routes(method: str, path: str, kind: str) -> None:
    assert status(method, path, kind) == ELSEWHERE


def test_no_other_route_takes_what_senders_post() -> None:
    """It would never be asked."""
    nothing: Any = None
    reading = [*datadog_hosts.endpoints(nothing), *datadog_events.endpoints(nothing)]
    posted = {path for method, path, _, _ in reading if method == "POST"}
    posted |= {path for path, methods, _ in PROMETHEUS if "POST" in methods}
    assert posted
    assert not posted & ENDPOINTS.keys()
