import asyncio
import logging
import threading
from collections.abc import Sequence
from contextlib import suppress
from itertools import count

import numpy as np
import pytest

from opstrace.errors import BudgetExceeded, Forbidden, Overloaded, StoreError
from opstrace.intake.commit import ENOUGH_BYTES, PATIENCE_S, Commit
from opstrace.intake.payload import Body, Family, Verdict
from opstrace.right_of_way import RightOfWay
from opstrace.store.backend import Block
from opstrace.telemetry import Telemetry

BLOCK = Block(labels=[{"__name__": "m"}], offsets=np.array([0, 1]), times_ms=np.array([1]), values=np.array([1.0]))


def body(content: bytes = b"x") -> Body:
    return Body(Family.SERIES_V1, "t", content)


class Writer:
    """What a commit writes with, under the test's control."""

    def __init__(self) -> None:
        self.batches: list[tuple[list[bytes], int]] = []
        self.may_write = threading.Event()
        self.may_write.set()
        self.began = threading.Event()
        self.failures: dict[int, Exception] = {}
        self.too_much: tuple[bytes, Exception] | None = None
        self._calls = count()

    def __call__(self, bodies: Sequence[Body], blocks: Sequence[tuple[str, Block]]) -> tuple[list[Verdict], int]:
        call = next(self._calls)
        self.batches.append(([b.content for b in bodies], len(blocks)))
        self.began.set()
        assert self.may_write.wait(30)
        if call in self.failures:
            raise self.failures[call]
        if self.too_much and any(b.content == self.too_much[0] for b in bodies):
            raise self.too_much[1]
        return [Verdict({"stored": len(b.content)}) for b in bodies], 0


def started(writer: Writer, max_bodies: int = 100, max_bytes: int = 1000, patience_s: float = PATIENCE_S) -> Commit:
    commit = Commit(writer, Telemetry(), max_bodies=max_bodies, max_bytes=max_bytes, patience_s=patience_s)
    commit.start()
    return commit


def test_bodies_that_arrive_together_are_one_commit_and_each_has_its_own_verdict() -> None:
    async def scene() -> None:
        writer = Writer()
        commit = started(writer)
        verdicts = await asyncio.gather(
            *(commit.submit(body(b"x" * n)) for n in range(1, 6)), commit.append("t", BLOCK)
        )
        assert [v.points["stored"] for v in verdicts[:5] if v] == [1, 2, 3, 4, 5]
        assert [(len(written), blocks) for written, blocks in writer.batches] == [(5, 1)]
        await commit.drain()

    asyncio.run(scene())


FOREVER_S = 3600.0


def test_who_can_wait_waits_for_one_that_cannot() -> None:
    async def scene() -> None:
        writer = Writer()
        commit = started(writer, patience_s=FOREVER_S)
        patient = []
        for content in (b"first", b"second"):
            patient.append(asyncio.create_task(commit.submit(body(content), patiently=True)))
            await asyncio.sleep(0.05)  # a commit would have begun by now
        assert writer.batches == []
        await commit.submit(body(b"third"))
        await asyncio.gather(*patient)
        assert writer.batches == [([b"first", b"second", b"third"], 0)]
        await commit.drain()

    asyncio.run(scene())


def test_nobody_waits_longer_than_that() -> None:
    async def scene() -> None:
        writer = Writer()
        commit = started(writer)
        await asyncio.gather(*(commit.submit(body(b"x"), patiently=True) for _ in range(3)))
        assert [len(contents) for contents, _ in writer.batches] == [3]
        await commit.drain()

    asyncio.run(scene())


@pytest.mark.parametrize(
    ("sizes", "limits"),
    [
        ([ENOUGH_BYTES], {"max_bytes": 10 * ENOUGH_BYTES}),
        ([ENOUGH_BYTES // 2, ENOUGH_BYTES // 2], {"max_bytes": 10 * ENOUGH_BYTES}),
        ([1] * 5, {"max_bodies": 10}),  # half of the queue
        ([300, 300], {"max_bytes": 1000}),
    ],
)
def test_nobody_waits_once_there_is_enough(sizes: list[int], limits: dict[str, int]) -> None:
    async def scene() -> None:
        writer = Writer()
        commit = started(writer, patience_s=FOREVER_S, **limits)
        await asyncio.gather(*(commit.submit(body(b"x" * size), patiently=True) for size in sizes))
        assert [len(contents) for contents, _ in writer.batches] == [len(sizes)]
        await commit.drain()

    asyncio.run(scene())


def test_a_stop_ends_the_waiting() -> None:
    async def scene() -> None:
        writer = Writer()
        commit = started(writer, patience_s=FOREVER_S)
        patient = asyncio.create_task(commit.submit(body(), patiently=True))
        await asyncio.sleep(0.05)
        await commit.drain()
        assert (await patient).points == {"stored": 1}

    asyncio.run(scene())


def test_a_full_queue_refuses_and_recovers() -> None:
    async def scene() -> None:
        writer = Writer()
        commit = started(writer, max_bodies=3)
        writer.may_write.clear()
        under_way = asyncio.create_task(commit.submit(body(b"first")))
        assert await asyncio.to_thread(writer.began.wait, 30)
        waiting = [asyncio.create_task(commit.submit(body())) for _ in range(3)]
        await asyncio.sleep(0)
        with pytest.raises(Overloaded) as refusal:
            await commit.submit(body())
        assert refusal.value.retry_after_s > 0
        writer.may_write.set()
        await asyncio.gather(under_way, *waiting)
        await commit.submit(body())
        await commit.drain()

    asyncio.run(scene())


def test_the_queue_is_bounded_in_bytes_and_takes_one_large_body_all_the_same() -> None:
    async def scene() -> None:
        commit = started(Writer(), max_bytes=1000)
        large = asyncio.create_task(commit.submit(body(b"x" * 5000)))
        await asyncio.sleep(0)
        with pytest.raises(Overloaded):
            await commit.submit(body())
        assert (await large).points == {"stored": 5000}
        await commit.drain()

    asyncio.run(scene())


@pytest.mark.parametrize("error", [StoreError("disk full"), RuntimeError("a bug")])
def test_a_failed_commit_is_not_now_for_its_bodies_and_nothing_to_the_next(error: Exception) -> None:
    async def scene() -> None:
        writer = Writer()
        writer.failures[0] = error
        commit = started(writer)
        results = await asyncio.gather(commit.submit(body()), commit.append("t", BLOCK), return_exceptions=True)
        assert all(isinstance(result, Overloaded) for result in results)
        assert (await commit.submit(body())).points == {"stored": 1}
        await commit.drain()

    asyncio.run(scene())


@pytest.mark.parametrize("error", [BudgetExceeded("too much memory"), MemoryError()])
def test_a_body_that_takes_too_much_memory_costs_its_neighbours_nothing(error: Exception) -> None:
    async def scene() -> None:
        writer = Writer()
        writer.too_much = b"large", error
        commit = started(writer)
        contents = [b"one", b"two", b"large", b"four", b"five"]
        told = await asyncio.gather(*(commit.submit(body(one)) for one in contents), return_exceptions=True)
        assert [isinstance(one, Verdict) for one in told] == [True, True, False, True, True]
        assert isinstance(told[2], Overloaded)
        await commit.drain()

    asyncio.run(scene())


def test_that_commits_work_again_is_told(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "opstrace")
    writer = Writer()
    writer.failures = {0: StoreError("the disk is full"), 1: ValueError()}

    async def scene() -> None:
        commit = started(writer)
        for _ in writer.failures:
            with pytest.raises(Overloaded):
                await commit.submit(body())
        for _ in range(2):
            assert (await commit.submit(body())).points == {"stored": 1}
        await commit.drain()

    asyncio.run(scene())
    failed = "a commit of 1 payloads failed, their senders are told to come again"
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("ERROR", f"{failed}: the disk is full"),
        ("ERROR", failed),
        ("INFO", "writing to the store works again; it failed 2 times in 0 s"),
    ]


def test_a_drain_finishes_what_waits_and_refuses_what_comes() -> None:
    async def scene() -> None:
        writer = Writer()
        commit = started(writer)
        waiting = [asyncio.create_task(commit.submit(body())) for _ in range(5)]
        await asyncio.sleep(0)
        draining = asyncio.create_task(commit.drain())
        await asyncio.sleep(0)
        with pytest.raises(Overloaded, match="stopping"):
            await commit.submit(body())
        await draining
        assert [(await verdict).points for verdict in waiting] == [{"stored": 1}] * 5

    asyncio.run(scene())


def test_a_sender_that_went_away_does_not_disturb_the_others() -> None:
    async def scene() -> None:
        writer = Writer()
        commit = started(writer)
        gone, stays = asyncio.create_task(commit.submit(body())), asyncio.create_task(commit.submit(body()))
        await asyncio.sleep(0)
        gone.cancel()
        assert (await stays).points == {"stored": 1}
        await commit.drain()

    asyncio.run(scene())


def test_a_batch_ends_at_its_size(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scene() -> None:
        writer = Writer()
        commit = started(writer, max_bytes=10_000)
        monkeypatch.setattr("opstrace.intake.commit.MAX_BATCH_BYTES", 1000)
        await asyncio.gather(*(commit.submit(body(b"x" * 400)) for _ in range(5)))
        assert [len(bodies) for bodies, _ in writer.batches] == [2, 2, 1]
        await commit.drain()

    asyncio.run(scene())


def test_a_tenant_that_is_shut_out_has_nothing_under_way_afterwards() -> None:
    """What is being written ends first, what waits is refused, others notice nothing; until it is let in again."""

    async def scene() -> None:
        writer = Writer()
        writer.may_write.clear()
        commit = started(writer)
        written = asyncio.ensure_future(commit.submit(body(b"written")))
        await asyncio.to_thread(writer.began.wait, 30)
        waiting = asyncio.ensure_future(commit.submit(body(b"waiting")))
        other = asyncio.ensure_future(commit.submit(Body(Family.SERIES_V1, "u", b"other")))
        await asyncio.sleep(0)
        shut = asyncio.ensure_future(commit.shut("t"))
        with pytest.raises(Forbidden, match="tenant t was removed"):
            await waiting
        with pytest.raises(Forbidden):
            await commit.submit(body(b"late"))
        assert not shut.done()
        writer.may_write.set()
        await shut
        assert written.done()
        assert (await other).points == {"stored": 5}
        commit.open("t")
        assert (await commit.submit(body(b"again"))).points == {"stored": 5}
        await commit.drain()
        assert [content for bodies, _ in writer.batches for content in bodies] == [b"written", b"other", b"again"]

    asyncio.run(scene())


def test_nothing_of_a_tenant_is_written_once_it_is_shut_not_even_half_of_a_batch() -> None:
    async def scene() -> None:
        writer = Writer()
        writer.failures[0] = BudgetExceeded("too much memory")
        writer.may_write.clear()
        commit = started(writer)
        kept, gone = (
            asyncio.create_task(commit.submit(Body(Family.SERIES_V1, tenant, tenant.encode())))
            for tenant in ("other", "gone")
        )
        await asyncio.to_thread(writer.began.wait, 30)
        shut = asyncio.create_task(commit.shut("gone"))
        await asyncio.sleep(0)
        writer.may_write.set()
        await shut
        with pytest.raises(Forbidden):
            await gone
        assert (await kept).points == {"stored": 5}
        assert [contents for contents, _ in writer.batches[1:]] == [[b"other"]]
        await commit.drain()

    asyncio.run(scene())


def test_a_commit_has_the_right_of_way_while_it_is_written_and_no_longer() -> None:
    async def scene() -> None:
        right_of_way, passed = RightOfWay(), threading.Event()
        during: list[bool] = []

        def other() -> None:
            right_of_way.give(60)
            passed.set()

        def write(bodies: Sequence[Body], _blocks: Sequence[tuple[str, Block]]) -> tuple[list[Verdict], int]:
            giving = threading.Thread(target=other)
            giving.start()
            giving.join(0.05)
            during.append(passed.is_set())
            if bodies[0].content == b"bad":
                raise StoreError("no")
            return [Verdict({"stored": 1})], 0

        commit = Commit(write, Telemetry(), max_bodies=10, max_bytes=1000, right_of_way=right_of_way)
        commit.start()
        for content in (b"good", b"bad"):
            passed.clear()
            with suppress(Overloaded):
                await commit.submit(body(content))
            assert await asyncio.to_thread(passed.wait, 30)
        assert during == [False, False]
        await commit.drain()

    asyncio.run(scene())


def test_a_writer_that_answers_nonsense_costs_its_batch_and_no_other() -> None:
    """Every sender hears of it, whatever went wrong, and the queue goes on."""

    async def scene() -> None:
        answers = [([], 0), ([Verdict({"stored": 1})], 0)]
        commit = Commit(lambda _bodies, _blocks: answers.pop(0), Telemetry(), max_bodies=10, max_bytes=1000)
        commit.start()
        with pytest.raises(Overloaded):
            await commit.submit(body())
        assert (await commit.submit(body())).points == {"stored": 1}
        await commit.drain()

    asyncio.run(scene())
