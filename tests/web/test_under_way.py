"""How much of bodies is in memory at once."""

import asyncio
from typing import Any

import pytest
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from opstrace.access import Access
from opstrace.errors import Forbidden, Overloaded
from opstrace.intake.routes import goes_to_disk
from opstrace.tenants import Keyring, key_digest
from opstrace.web import under_way
from opstrace.web.under_way import UnderWay

KEYS = {"one": "1" * 32, "two": "2" * 32}


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


def test_no_tenant_takes_all_the_room_for_bodies(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(under_way, "MAX_BYTES_UNDER_WAY", 1000)
    monkeypatch.setattr(under_way, "MAX_TENANT_BYTES_UNDER_WAY", 500)
    access = Access(Keyring({name: [key_digest(key)] for name, key in KEYS.items()}), "demo.localhost")
    taken: list[tuple[str, bool]] = []
    go_on = asyncio.Event()

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        # As where an address is forwarded, or has its slashes collapsed.
        request = Request({**scope}, receive)
        tenant = access.tenant(request, Forbidden).name
        try:
            await request.body()
        except Overloaded:
            taken.append((tenant, False))
        else:
            taken.append((tenant, True))
        await go_on.wait()
        await Response()(scope, receive, send)

    async def sent(server: UnderWay, key: str) -> None:
        async def receive() -> Any:
            return {"type": "http.request", "body": b"x" * 300, "more_body": False}

        async def send(_: Any) -> None:
            pass

        headers = [(b"dd-api-key", key.encode())]
        scope = {"type": "http", "method": "POST", "path": "/a", "headers": headers, "query_string": b""}
        await server(scope, receive, send)

    async def all_of_them() -> None:
        server = UnderWay(application, goes_to_disk)
        for _ in range(2):
            taken.clear()
            go_on.clear()
            senders = [KEYS[name] for name in ("one", "one", "two", "two")]
            tasks = [asyncio.create_task(sent(server, key)) for key in senders]
            for _ in range(20):  # turns of the event loop
                await asyncio.sleep(0)
            go_on.set()
            await asyncio.gather(*tasks)
            assert taken == [("one", True), ("one", False), ("two", True), ("two", False)]

    asyncio.run(all_of_them())
