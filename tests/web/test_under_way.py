"""How much of bodies is in memory at once."""

import asyncio
from typing import Any

import pytest
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from opstrace.errors import Overloaded
from opstrace.intake.routes import goes_to_disk
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

    async def sent(server: UnderWay, address: str) -> None:
        path, _, query = address.partition("?")

        async def receive() -> Any:
            return {"type": "http.request", "body": b"x" * 300, "more_body": False}

        async def send(_: Any) -> None:
            pass

        scope = {"type": "http", "method": "POST", "path": path, "headers": [], "query_string": query.encode()}
        await server(scope, receive, send)

    async def all_of_them() -> None:
        server = UnderWay(application, goes_to_disk)
        for _ in range(2):
            go_on.clear()
            paths = ["/a", "/b", "/c", "//support/flare", "/support/flares", "/support/flare?ddforward=/d"]
            tasks = [asyncio.create_task(sent(server, path)) for path in paths]
            for _ in range(20):  # turns of the event loop
                await asyncio.sleep(0)
            go_on.set()
            await asyncio.gather(*tasks)
            taken = [("/a", 300), ("/b", 300), ("/c", 300), ("//support/flare", 300)]
            assert answers == [*taken, ("/support/flares", -1), ("/support/flare", -1)]
            answers.clear()

    go_on = asyncio.Event()
    asyncio.run(all_of_them())
