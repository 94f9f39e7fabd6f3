"""Group commit: payloads that arrive together become durable together, then all are answered.

The queue is bounded by bodies and by bytes; whoever does not fit is told to come again. One thread writes; while it
does, the next batch gathers. Who can wait waits for others a while. Stopping refuses what is new and finishes what is
here.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Final, TypeVar

from opstrace.errors import BudgetExceeded, Forbidden, Overloaded, StoreError
from opstrace.intake.payload import Body, Verdict
from opstrace.log_lines import Outage
from opstrace.recurring import watched
from opstrace.right_of_way import RightOfWay
from opstrace.store.backend import Block
from opstrace.telemetry import Telemetry

logger = logging.getLogger(__name__)

# How long a batch gathers before it is committed: in that time the senders that the commit before has answered send
# their next body, and a commit costs 20 ms whatever it holds.
LINGER_S: Final = 0.01
# How long a patient body waits, unless one comes that cannot: otherwise fifty Agents that send small bodies at
# different moments would cause a commit for each, which costs most of a core.
PATIENCE_S: Final = 0.2
# Bodies that together are as large are committed at once: by then what a commit costs is theirs.
ENOUGH_BYTES: Final = 1024 * 1024
# A batch ends here: bounds the memory of decoding, and how long the last of a batch waits for the first.
MAX_BATCH_BYTES: Final = 32 * 1024 * 1024
# A thing of a body, a series or a point say, costs as much as these do where it has fewer.
_THING_BYTES: Final = 64

# Writes bodies and blocks of tenants; returns a verdict a body and the number of series rows added.
Write = Callable[[Sequence[Body], Sequence[tuple[str, Block]]], tuple[list[Verdict], int]]

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True, eq=False)
class _Waiting:
    """Something that waits for its commit: a body, or a block of a tenant."""

    body: Body | None
    block: tuple[str, Block] | None
    size: int
    due_s: float  # on the event loop's clock: when it is to be committed
    done: "asyncio.Future[Verdict]"

    @property
    def weight(self) -> int:
        """How many bytes cost as much to decode."""
        return max(self.size, self.body.things * _THING_BYTES) if self.body else self.size

    @property
    def tenant(self) -> str:
        return self.body.tenant if self.body else self.block[0] if self.block else ""


class Commit:
    """The queue in front of the store's one writer. Use it on one event loop."""

    def __init__(
        self,
        write: Write,
        telemetry: Telemetry,
        *,
        max_bodies: int,
        max_bytes: int,
        patience_s: float = PATIENCE_S,
        right_of_way: RightOfWay | None = None,
    ) -> None:
        """While it writes, it has the right of way."""
        self._write = write
        self._right_of_way = right_of_way or RightOfWay()
        self._telemetry = telemetry
        self._max_bodies = max_bodies
        self._max_bytes = max_bytes
        self._patience_s = patience_s
        self._waiting: list[_Waiting] = []
        self._bytes = 0
        self._arrival = asyncio.Event()
        self._hurry = asyncio.Event()  # what waits is to be committed sooner than it was before
        self._stopping = False
        self._shut: set[str] = set()
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="commit")
        self._task: asyncio.Task[None] | None = None
        self._failing = Outage("writing to the store")

    def start(self) -> None:
        """Begin to commit what is submitted."""
        self._task = watched(self._run(), "the queue of payloads")

    async def submit(self, body: Body, *, patiently: bool = False) -> Verdict:
        """Wait until a body is durable, or found broken; raise Overloaded when it cannot be taken now.

        `patiently` is for senders that do not mind to wait for others.
        """
        return await self._enqueue(body, None, len(body.content), self._patience_s if patiently else 0.0)

    async def append(self, tenant: str, block: Block) -> None:
        """Wait until a block is durable; raise Overloaded when it cannot be taken now."""
        await self._enqueue(None, (tenant, block), 16 * len(block.timestamps), 0.0)

    async def shut(self, tenant: str) -> None:
        """Take nothing of a tenant any more, refuse what waits, and return once nothing of it is under way."""
        self._shut.add(tenant)
        refused = [waiting for waiting in self._waiting if waiting.tenant == tenant]
        self._waiting = [waiting for waiting in self._waiting if waiting.tenant != tenant]
        self._bytes -= sum(waiting.size for waiting in refused)
        self._show_queue()
        _forbid(refused)
        await self.between(lambda: None)

    def open(self, tenant: str) -> None:
        """Take what comes of a tenant again."""
        self._shut.discard(tenant)

    async def between(self, work: Callable[[], _T]) -> _T:
        """Run work that needs the writer for itself, between two commits."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    async def drain(self) -> None:
        """Refuse what is new, finish what waits, stop."""
        self._stopping = True
        self._arrival.set()
        self._hurry.set()
        if self._task:
            await self._task
        self._thread.shutdown()

    async def _enqueue(
        self, body: Body | None, block: tuple[str, Block] | None, size: int, patience_s: float
    ) -> Verdict:
        if self._stopping:
            raise Overloaded("the server is stopping; try again")
        if len(self._waiting) >= self._max_bodies or (self._waiting and self._bytes + size > self._max_bytes):
            raise Overloaded("too many payloads wait for their commit; try again")
        loop = asyncio.get_running_loop()
        waiting = _Waiting(body, block, size, loop.time() + patience_s, loop.create_future())
        if waiting.tenant in self._shut:
            raise _gone(waiting.tenant)
        self._waiting.append(waiting)
        self._bytes += size
        self._arrival.set()
        if not patience_s or self._is_enough():
            self._hurry.set()
        self._show_queue()
        return await waiting.done

    async def _run(self) -> None:
        while True:
            await self._arrival.wait()
            if self._stopping and not self._waiting:
                return
            if not self._stopping:
                await asyncio.sleep(LINGER_S)
                await self._gathered()
            await self._commit(self._take())

    async def _gathered(self) -> None:
        """Return when the first of what waits is due, or there is enough of it."""
        loop = asyncio.get_running_loop()
        self._hurry.clear()
        due_s = min((waiting.due_s for waiting in self._waiting), default=0.0)
        if self._stopping or self._is_enough() or due_s <= loop.time():
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout_at(due_s):
                await self._hurry.wait()
                await asyncio.sleep(LINGER_S)

    def _is_enough(self) -> bool:
        """Say whether to wait for more gains nothing, or fills the queue."""
        half_full = 2 * len(self._waiting) >= self._max_bodies or 2 * self._bytes >= self._max_bytes
        return half_full or self._bytes >= ENOUGH_BYTES

    def _take(self) -> list[_Waiting]:
        weight = count = 0
        for waiting in self._waiting:
            weight += waiting.weight
            if count and weight > MAX_BATCH_BYTES:
                break
            count += 1
        batch, self._waiting = self._waiting[:count], self._waiting[count:]
        self._bytes -= sum(waiting.size for waiting in batch)
        if not self._waiting and not self._stopping:
            self._arrival.clear()
        self._show_queue()
        return batch

    async def _commit(self, batch: list[_Waiting]) -> None:
        batch = self._without_shut(batch)
        if not batch:
            return
        try:
            await self._write_all(batch)
        except Exception as error:  # noqa: BLE001 (whatever it was, each sender must hear of it)
            if isinstance(error, BudgetExceeded | MemoryError) and len(batch) > 1:
                await self._commit_halves(batch)
                return
            self._failing.failed()
            _refuse(batch, error)

    def _without_shut(self, batch: list[_Waiting]) -> list[_Waiting]:
        """Refuse what is of tenants that were shut since the batch was taken, which half of one may be."""
        _forbid([waiting for waiting in batch if waiting.tenant in self._shut])
        return [waiting for waiting in batch if waiting.tenant not in self._shut]

    async def _write_all(self, batch: list[_Waiting]) -> None:
        bodies = [waiting for waiting in batch if waiting.body]
        blocks = [waiting.block for waiting in batch if waiting.block]
        started = time.perf_counter()
        work = partial(self._written, [waiting.body for waiting in bodies if waiting.body], blocks)
        verdicts, added = await self.between(work)
        self._failing.worked()
        self._telemetry.commit_duration.observe(time.perf_counter() - started)
        self._telemetry.committed_bodies.inc(len(bodies))
        self._telemetry.new_series.inc(added)
        for waiting, verdict in zip(bodies, verdicts, strict=True):
            _answer(waiting, verdict)
        for waiting in batch:
            _answer(waiting, Verdict())

    def _written(self, bodies: Sequence[Body], blocks: Sequence[tuple[str, Block]]) -> tuple[list[Verdict], int]:
        with self._right_of_way.taken():
            return self._write(bodies, blocks)

    async def _commit_halves(self, batch: list[_Waiting]) -> None:
        """Commit what took too much memory in parts: one body that does so alone costs its neighbours nothing.

        What of it was written before is written again, as if it had been sent again.
        """
        logger.warning("a commit of %d payloads needs more memory than there is: it is done in halves", len(batch))
        middle = len(batch) // 2
        for half in (batch[:middle], batch[middle:]):
            await self._commit(half)

    def _show_queue(self) -> None:
        self._telemetry.queue_bodies.set(len(self._waiting))
        self._telemetry.queue_bytes.set(self._bytes)


def _gone(tenant: str) -> Forbidden:
    return Forbidden(f"tenant {tenant} was removed")


def _forbid(batch: list[_Waiting]) -> None:
    for waiting in batch:
        if not waiting.done.done():
            waiting.done.set_exception(_gone(waiting.tenant))


def _answer(waiting: _Waiting, verdict: Verdict) -> None:
    if not waiting.done.done():
        waiting.done.set_result(verdict)


def _refuse(batch: list[_Waiting], error: Exception) -> None:
    if isinstance(error, StoreError):
        logger.error("a commit of %d payloads failed, their senders are told to come again: %s", len(batch), error)
    else:
        logger.error(
            "a commit of %d payloads failed, their senders are told to come again", len(batch), exc_info=error
        )
    for waiting in batch:
        if not waiting.done.done():
            waiting.done.set_exception(Overloaded("the payload could not be stored now; try again"))
