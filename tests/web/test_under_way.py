"""How much of bodies is in memory at once."""

import asyncio
from typing import Any

import pytest
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from opstrace.errors import Overloaded
from opstrace.web import under_way
from opstrace.web.under_way import UnderWay


def test_bodies_under_way_are_bounded_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(under_way, "MAX_BYTES_UNDER_WAY", 1000)
    answers: list[tuple[str, int]] = []

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        try:
            size = len(await request.body())
        except Overloaded:
            size = -1
        answers.append((scope["path"], size))
        await go_on.wait()
        await Response()(scope, receive, send)

    async def sent(server: UnderWay, path: str) -> None:
        async def receive() -> Any:
            return {"type": "http.request", "body": b"x" * 300, "more_body": False}

        async def send(_: Any) -> None:
            pass

        await server({"type": "http", "method": "POST", "path": path, "headers": []}, receive, send)

    async def all_of_them() -> None:
        server = UnderWay(application)
        for _ in range(2):
            go_on.clear()
            paths = ["/a", "/b", "/c", "//support/flare", "/d"]
            tasks = [asyncio.create_task(sent(server, path)) for path in paths]
            for _ in range(20):  # turns of the event loop
                await asyncio.sleep(0)
            go_on.set()
            await asyncio.gather(*tasks)
            assert answers == [("/a", 300), ("/b", 300), ("/c", 300), ("//support/flare", 300), ("/d", -1)]
            answers.clear()

    go_on = asyncio.Event()
    asyncio.run(all_of_them())
