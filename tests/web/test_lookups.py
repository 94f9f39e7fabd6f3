"""What is asked beside PromQL waits for itself, and is refused when too much waits."""

import asyncio
import threading
from typing import Any

import pytest
from starlette.requests import Request

from opstrace.errors import TooManyQueries
from opstrace.telemetry import Telemetry
from opstrace.web.lookups import MAX_LOOKUPS, MAX_TENANT_WAITING_LOOKUPS, Lookups


def request() -> Request:
    async def receive() -> Any:
        await asyncio.Event().wait()

    return Request({"type": "http", "method": "GET", "path": "/", "headers": []}, receive)


def test_slow_lookups_keep_nobody_else_waiting() -> None:
    telemetry = Telemetry()
    end, begun = threading.Event(), threading.Semaphore(0)

    def slow() -> str:
        begun.release()
        end.wait()
        return "slow"

    async def asked() -> None:
        lookups = Lookups(telemetry)
        try:
            waiting = [
                asyncio.create_task(lookups.run(request(), "busy", slow))
                for _ in range(MAX_LOOKUPS + MAX_TENANT_WAITING_LOOKUPS)
            ]
            for _ in range(MAX_LOOKUPS):
                await asyncio.to_thread(begun.acquire)
            # The threads of the event loop, which inflate bodies, are free.
            async with asyncio.timeout(20):
                await asyncio.gather(*(asyncio.to_thread(int) for _ in range(10)))
            with pytest.raises(TooManyQueries):
                await lookups.run(request(), "busy", slow)
            other = asyncio.create_task(lookups.run(request(), "other", str, 7))
            await asyncio.sleep(0)
            end.set()
            assert await other == "7"
            assert await asyncio.gather(*waiting) == ["slow"] * len(waiting)
        finally:
            end.set()
            lookups.close()

    asyncio.run(asked())
    refused = [value for name, labels, value in telemetry.samples() if name == "opstrace_query_refused_total"]
    assert refused == [1.0]
