"""Runs queries on a bounded number of threads, each until its deadline or until its client goes away."""

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import TypeVar

from starlette.requests import Request

from opstrace.errors import QueryCanceled, QueryTimeout
from opstrace.store.backend import Budget

T = TypeVar("T")

# A query looks at its budget between array operations; one that has not stopped this long after its deadline is
# answered without waiting for it.
_GRACE_S = 1.0


@dataclass(frozen=True, slots=True)
class QueryLimits:
    """What queries may use: one of them, and all of them together."""

    max_points: int = 11_000  # steps of a range query, as in Prometheus
    max_samples: int = 50_000_000  # one query may read or compute
    max_series: int = 500_000  # one query may touch
    max_answer_bytes: int = 1 << 30  # of one answer, before compression
    max_form_bytes: int = 1 << 20  # of a posted form
    timeout_s: float = 120.0  # of one query, its wait included; `timeout` may ask for less
    concurrency: int = 4  # queries evaluated at once
    max_waiting: int = 256  # queries waiting for their turn; one more is refused

    def budget(self, timeout_ms: int) -> Budget:
        """Return a fresh budget; a timeout of 0 stands for the longest allowed."""
        timeout_s = min(timeout_ms / 1000, self.timeout_s) if timeout_ms > 0 else self.timeout_s
        return Budget(self.max_samples, self.max_series, time.monotonic() + timeout_s)


class QueryPool:
    """The threads on which queries run, in the order in which they came."""

    def __init__(self, limits: QueryLimits) -> None:
        self.limits = limits
        self._threads = ThreadPoolExecutor(limits.concurrency, thread_name_prefix="query")
        self._unfinished = 0

    async def run(self, request: Request, budget: Budget, work: Callable[[], T]) -> T:
        """Return what `work` returns; raise what it raises, QueryTimeout, or QueryCanceled if the client left."""
        if self._unfinished >= self.limits.concurrency + self.limits.max_waiting:
            raise QueryTimeout(f"{self.limits.max_waiting} queries are waiting already; try again later")
        self._unfinished += 1
        future = asyncio.get_running_loop().run_in_executor(self._threads, _if_wanted, budget, work)
        future.add_done_callback(self._finished)
        departure = asyncio.create_task(_departure(request))
        try:
            await asyncio.wait(
                (future, departure),
                timeout=budget.deadline + _GRACE_S - time.monotonic(),
                return_when=asyncio.FIRST_COMPLETED,
            )
            if future.done():
                return future.result()
            raise QueryCanceled("the client went away") if departure.done() else QueryTimeout("query timed out")
        finally:
            budget.canceled = True  # whoever still works on it may stop
            future.cancel()
            departure.cancel()
            with suppress(asyncio.CancelledError):
                await departure

    def _finished(self, future: "asyncio.Future[T]") -> None:
        self._unfinished -= 1
        if not future.cancelled():
            future.exception()  # seen: an abandoned query's error is no news

    def close(self) -> None:
        """Let the running queries end, then refuse."""
        self._threads.shutdown(wait=True, cancel_futures=True)


def _if_wanted(budget: Budget, work: Callable[[], T]) -> T:
    """Work, unless the wait took all the time or the client left meanwhile."""
    budget.check()
    return work()


async def _departure(request: Request) -> None:
    """Return when the client has closed the connection."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
