"""Runs queries on a bounded number of threads, each until its deadline or until its client goes away.

Whose turn it is: of the tenants that wait, the one with the fewest queries under way; among those, the one that has
waited longest since its last turn. Within a tenant, first come, first served. Use a pool on one event loop.
"""

import asyncio
import os
import threading
import time
from collections import Counter, defaultdict, deque
from collections.abc import AsyncGenerator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from typing import Final, TypeVar

from starlette.requests import Request

from opstrace.config import Limits
from opstrace.errors import QueryCanceled, QueryTimeout, TooManyQueries
from opstrace.right_of_way import RightOfWay
from opstrace.store.budget import Budget, Lane, Lanes, Share
from opstrace.web.encode import Piece

T = TypeVar("T")

_USUAL: Final = Limits()  # where nobody says otherwise

# A query looks at its budget between array operations; one that has not stopped this long after its deadline is
# answered without waiting for it.
_GRACE_S = 1.0
# Pieces of an answer, of some 1 MB, that are made before they can be sent: so nobody waits for one to be handed over.
MAX_PIECES_AHEAD = 2
# Of the threads that evaluate, and of the one that writes answers: commits beside two heavy queries take 1.7 times as
# long as alone so, and not 2.2 times.
NICENESS: Final = 10
# For so long each piece of a large answer waits for a commit under way: both want the interpreter, and beside answers
# that do not wait a commit takes half as long again. A piece takes some 5 ms, so where commits follow each other
# without a pause an answer takes five times as long. With half of this, commits gain half as much.
GIVES_WAY_S: Final = 0.02


@dataclass(frozen=True, slots=True)
class QueryLimits:
    """What queries may use: one of them, those of a tenant, and all of them together."""

    max_points: int = 11_000  # steps from the first point of a range query to its last, as in Prometheus
    max_samples: int = _USUAL.max_query_samples  # one query may read or compute
    max_series: int = _USUAL.max_query_series  # one query may touch
    max_memory_bytes: int = _USUAL.max_query_memory_bytes  # one query may use, for reading and for its arrays
    max_tenant_samples: int = 100_000_000  # all queries of a tenant that are under way
    max_answer_bytes: int = 1 << 30  # of one answer, before compression
    max_form_bytes: int = 1 << 20  # of a posted form, or of a remote read request
    timeout_s: float = _USUAL.query_timeout_s  # of one query, its wait included; `timeout` may ask for less
    concurrency: int = _USUAL.query_concurrency  # queries evaluated at once
    max_waiting: int = 256  # queries waiting for their turn; one more is refused
    max_tenant_waiting: int = 128  # those of one tenant
    heavy_from_samples: int = 1_000_000  # a query that reads or computes so many is heavy
    max_heavy: int = 0  # heavy queries evaluated at once; 0: one fewer than there are cores, and one at least

    def lanes(self) -> Lanes:
        """Return the lanes that queries share."""
        return Lanes(Lane(self.max_heavy or max((os.cpu_count() or 1) - 1, 1)), self.heavy_from_samples)

    def budget(self, timeout_ms: int, share: Share | None = None, lanes: Lanes | None = None) -> Budget:
        """Return a fresh budget; a timeout of 0 stands for the longest allowed."""
        timeout_s = min(timeout_ms / 1000, self.timeout_s) if timeout_ms > 0 else self.timeout_s
        return Budget(
            self.max_samples,
            self.max_series,
            time.monotonic() + timeout_s,
            max_memory_bytes=self.max_memory_bytes,
            share=share,
            lanes=lanes,
        )


class Turns:
    """Whose query runs next; pure."""

    def __init__(self, slots: int) -> None:
        self.free = slots
        self._running: Counter[str] = Counter()
        self._waiting: defaultdict[str, deque[asyncio.Future[None]]] = defaultdict(deque)
        self._last_turns: dict[str, int] = {}
        self._numbers = count()

    def waiting(self, tenant: str | None = None) -> int:
        """Return how many wait, of one tenant or of all."""
        return sum(len(line) for one, line in self._waiting.items() if tenant in (None, one))

    def join(self, tenant: str, turn: "asyncio.Future[None]") -> None:
        """Wait for a turn: the future is done once it has come."""
        self._waiting[tenant].append(turn)
        self._give()

    def leave(self, tenant: str, turn: "asyncio.Future[None]") -> None:
        """Give a turn back, or stop waiting for it."""
        if turn in self._waiting[tenant]:
            self._waiting[tenant].remove(turn)
            return
        self.free += 1
        self._running[tenant] -= 1
        self._give()

    def _give(self) -> None:
        while self.free and (lines := [tenant for tenant, line in self._waiting.items() if line]):
            tenant = min(lines, key=lambda one: (self._running[one], self._last_turns.get(one, -1)))
            self.free -= 1
            self._running[tenant] += 1
            self._last_turns[tenant] = next(self._numbers)
            self._waiting[tenant].popleft().set_result(None)


class QueryPool:
    """The threads on which queries run, and the line in front of them."""

    def __init__(
        self,
        limits: QueryLimits,
        limits_of: Callable[[str], QueryLimits] | None = None,
        threads: str = "query",
        right_of_way: RightOfWay | None = None,
    ) -> None:
        """`limits_of` says what a query of a tenant may use now, if that is not the same for all.

        Large answers give way to whoever has the right of way.
        """
        self.limits = limits
        self.limits_of = limits_of or (lambda _tenant: limits)
        self._threads = ThreadPoolExecutor(limits.concurrency, thread_name_prefix=threads, initializer=_step_back)
        # Large answers are turned to text on one thread, a piece of each after the other: none waits for a query.
        self._answers = ThreadPoolExecutor(1, thread_name_prefix="answer", initializer=_step_back)
        self._right_of_way = right_of_way or RightOfWay()
        self._turns = Turns(limits.concurrency)
        self._shares: dict[str, Share] = {}
        self._running: dict[int, Budget] = {}  # by their identity: two may be equal
        self._lanes = limits.lanes()

    def budget(self, tenant: str, timeout_ms: int) -> Budget:
        """Return a fresh budget of a tenant's query; a timeout of 0 stands for the longest allowed."""
        return self.limits_of(tenant).budget(timeout_ms, self._share(tenant), self._lanes)

    def _share(self, tenant: str) -> Share:
        return self._shares.setdefault(tenant, Share(self.limits.max_tenant_samples))

    async def run(self, request: Request, tenant: str, budget: Budget, work: Callable[[], T]) -> T:
        """Return what `work` returns; raise what it raises, QueryTimeout, or QueryCanceled if the client left.

        Raises TooManyQueries where too many wait already.
        """
        turn = self._line_up(tenant)
        departure = asyncio.create_task(_departure(request))
        try:
            await _first(turn, departure, budget.deadline)
            future = asyncio.get_running_loop().run_in_executor(self._threads, _if_wanted, budget, work)
        except BaseException:
            self._turns.leave(tenant, turn)
            await _ended(departure)
            raise
        self._running[id(budget)] = budget
        # The turn ends with the thread's work, which may be after the answer.
        future.add_done_callback(lambda done: self._finished(tenant, turn, budget, done))
        try:
            await _first(future, departure, budget.deadline + _GRACE_S)
            return future.result()
        finally:
            budget.canceled = True  # whoever still works on it may stop
            future.cancel()
            await _ended(departure)

    async def piece_by_piece(self, tenant: str, samples: int, pieces: Iterator[Piece]) -> AsyncGenerator[Piece]:
        """Yield the pieces of an answer, the next ones being made while one is sent.

        The samples it is made of count towards the tenant's share until then.
        """
        share = self._share(tenant)
        share.take(samples)
        # One thread makes them, so they come in order.
        coming = deque(self._coming(pieces) for _ in range(MAX_PIECES_AHEAD))
        try:
            while (piece := await coming.popleft()) is not None:
                coming.append(self._coming(pieces))
                yield piece
        finally:
            for future in coming:
                future.cancel()
            share.take(-samples)

    def _coming(self, pieces: Iterator[Piece]) -> "asyncio.Future[Piece | None]":
        return asyncio.get_running_loop().run_in_executor(self._answers, self._next, pieces)

    def _next(self, pieces: Iterator[Piece]) -> Piece | None:
        self._right_of_way.give(GIVES_WAY_S)
        return next(pieces, None)

    def _line_up(self, tenant: str) -> "asyncio.Future[None]":
        limits, turns = self.limits, self._turns
        full = turns.waiting() >= limits.max_waiting or turns.waiting(tenant) >= limits.max_tenant_waiting
        if full and not turns.free:
            raise TooManyQueries("too many queries are waiting already; try again later")
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._turns.join(tenant, turn)
        return turn

    def _finished(
        self, tenant: str, turn: "asyncio.Future[None]", budget: Budget, future: "asyncio.Future[T]"
    ) -> None:
        self._running.pop(id(budget), None)
        budget.release()
        self._turns.leave(tenant, turn)
        if not future.cancelled():
            future.exception()  # seen: an abandoned query's error is no news

    def close(self) -> None:
        """Cancel the running queries, those nobody waits for any more too, and refuse others once they have ended."""
        for budget in self._running.values():
            budget.canceled = True
        for threads in (self._threads, self._answers):
            threads.shutdown(wait=True, cancel_futures=True)


def _step_back() -> None:
    """Leave the processor to the intake, and to the loop, where both want it: on Linux each thread has its own."""
    os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)


async def _first(wanted: "asyncio.Future[T]", departure: "asyncio.Task[None]", until: float) -> None:
    """Return once what is wanted is there; raise QueryCanceled or QueryTimeout if something else comes first."""
    await asyncio.wait((wanted, departure), timeout=until - time.monotonic(), return_when=asyncio.FIRST_COMPLETED)
    if not wanted.done():
        raise QueryCanceled("the client went away") if departure.done() else QueryTimeout("query timed out")


async def _ended(departure: "asyncio.Task[None]") -> None:
    departure.cancel()
    with suppress(asyncio.CancelledError):
        await departure


def _if_wanted(budget: Budget, work: Callable[[], T]) -> T:
    """Work, unless the wait took all the time or the client left meanwhile."""
    with budget.computing():
        budget.check()
        return work()


async def _departure(request: Request) -> None:
    """Return when the client has closed the connection."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
