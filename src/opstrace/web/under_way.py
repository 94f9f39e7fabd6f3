"""Requests that are under way, and their end when the server stops and has waited long enough."""

import asyncio
import json
from collections import Counter
from collections.abc import Callable
from typing import Final

from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from opstrace.access import OWNER, Owner
from opstrace.errors import Overloaded
from opstrace.web import encode

MAX_BYTES_UNDER_WAY: Final = 512 << 20  # of the bodies of all requests, as they were sent
MAX_TENANT_BYTES_UNDER_WAY: Final = 256 << 20  # of those of one tenant, and of those without a key
_STOPPING: Final = Overloaded("the server is stopping; try again")


class UnderWay:
    """An application whose requests can be ended: who waits for an answer hears that the server stops."""

    def __init__(self, application: ASGIApp, to_disk: Callable[[Scope], bool]) -> None:
        """`to_disk` says which requests have a body that goes to disk as it comes."""
        self._application = application
        self._to_disk = to_disk
        self._tasks: set[asyncio.Task[object]] = set()
        self._bytes = Counter[str]()  # of bodies, as sent, by tenant

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("a request is answered by a task")
        answering, came = False, Counter[str]()
        scope[OWNER] = owner = Owner()
        to_disk = self._to_disk(scope)

        async def counted() -> Message:
            message = await receive()
            if size := 0 if to_disk else len(message.get("body", b"")):
                self._check_room(owner.tenant, size)
                came[owner.tenant] += size
                self._bytes[owner.tenant] += size
            return message

        async def watched(message: Message) -> None:
            nonlocal answering
            answering = True
            await send(message)

        self._tasks.add(task)
        try:
            await self._application(scope, counted, watched)
        except asyncio.CancelledError:
            if not answering:
                await _refusal(scope["path"])(scope, receive, send)
        finally:
            self._tasks.discard(task)
            self._bytes -= came  # a tenant with none left is forgotten

    def _check_room(self, tenant: str, size: int) -> None:
        of_tenant, of_all = self._bytes[tenant] + size, self._bytes.total() + size
        if of_all > MAX_BYTES_UNDER_WAY or of_tenant > MAX_TENANT_BYTES_UNDER_WAY:
            raise Overloaded("too many bodies come at once; try again")

    def end(self) -> None:
        """End every request that is under way."""
        for task in self._tasks:
            task.cancel()


def _refusal(path: str) -> Response:
    """Return the answer to a request that was ended, in the form of its route."""
    document = json.dumps({"errors": [str(_STOPPING)]}).encode()
    content = encode.error("unavailable", str(_STOPPING)) if path.startswith("/prometheus/") else document
    return Response(content, 503, _STOPPING.headers, "application/json")
