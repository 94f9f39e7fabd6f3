"""Whose turn it is, and what is counted."""

import asyncio
import os
import threading
import time
from collections.abc import Iterator

import pytest
from starlette.requests import Request
from starlette.types import Message

from opstrace.errors import BudgetExceeded, QueryCanceled, QueryError, QueryTimeout
from opstrace.right_of_way import RightOfWay
from opstrace.store.budget import Budget, Lane, Lanes, Share
from opstrace.store.embedded import Store
from opstrace.telemetry import Telemetry
from opstrace.web import query_pool
from opstrace.web.query_pool import QueryLimits, QueryPool, Turns
from web.serving import Server, serving


class Line:
    """Turns, and in which order they came."""

    def __init__(self, slots: int) -> None:
        self.turns = Turns(slots)
        self.waiting: list[tuple[str, asyncio.Future[None]]] = []

    def join(self, *tenants: str) -> None:
        for tenant in tenants:
            turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self.waiting.append((tenant, turn))
            self.turns.join(tenant, turn)

    def running(self) -> list[str]:
        return [tenant for tenant, turn in self.waiting if turn.done()]

    def end(self, tenant: str) -> None:
        """End the tenant's oldest query that runs."""
        entry = next(one for one in self.waiting if one[0] == tenant and one[1].done())
        self.waiting.remove(entry)
        self.turns.leave(*entry)


def test_a_tenant_alone_has_everything() -> None:
    async def story() -> None:
        line = Line(2)
        line.join("a", "a", "a")
        assert line.running() == ["a", "a"]
        line.end("a")
        assert line.running() == ["a", "a"]
        assert line.turns.waiting("a") == 0

    asyncio.run(story())


def test_a_tenant_with_many_queries_does_not_keep_others_waiting() -> None:
    """Whoever comes later with one query is next, not the hundredth."""

    async def story() -> None:
        line = Line(2)
        line.join(*["a"] * 100, "b")
        line.end("a")
        assert sorted(line.running()) == ["a", "b"]
        line.join("c", "b")
        line.end("a")
        assert sorted(line.running()) == ["b", "c"]
        line.end("b")
        assert sorted(line.running()) == ["a", "c"]

    asyncio.run(story())


def test_tenants_take_turns() -> None:
    async def story() -> None:
        line = Line(1)
        line.join(*["a"] * 3, *["b"] * 3)
        order = []
        while running := line.running():
            order += running
            line.end(running[0])
        assert order == ["a", "b", "a", "b", "a", "b"]

    asyncio.run(story())


def test_whoever_leaves_the_line_gives_his_place_to_the_next() -> None:
    async def story() -> None:
        line = Line(1)
        line.join("a", "b", "b")
        leaving = line.waiting.pop(1)
        line.turns.leave(*leaving)
        assert line.turns.waiting() == 1
        line.end("a")
        assert line.running() == ["b"]
        line.end("b")
        assert (line.turns.free, line.turns.waiting()) == (1, 0)

    asyncio.run(story())


def test_a_tenants_queries_share_a_budget() -> None:
    """Together they may use what it says; what ends gives back what it held, also what it held too much."""
    share = Share(100)
    first, second = Budget(share=share), Budget(share=share)
    first.spend(60)
    with pytest.raises(BudgetExceeded, match="this tenant's queries"):
        second.spend(60)
    second.release()
    first.spend(40)
    first.release()
    first.release()
    Budget(share=share).spend(100)


def test_heavy_queries_go_one_by_one() -> None:
    """A second heavy query waits for the first one's end; a light one passes; who is not wanted any more gives up."""
    lanes = Lanes(Lane(1), heavy_from=10)
    first, second, light, third, fourth = (Budget(lanes=lanes) for _ in range(5))
    entered, ending = threading.Event(), threading.Event()

    def compute() -> None:
        with second.computing():
            second.spend(10)
            entered.set()
            assert ending.wait(10)

    thread = threading.Thread(target=compute)
    with first.computing():
        first.spend(10)
        thread.start()
        with light.computing():
            light.spend(9)
        assert not entered.wait(0.2)
    assert entered.wait(10)
    third.deadline = time.monotonic()
    with pytest.raises(QueryTimeout), third.computing():
        third.spend(10)
    ending.set()
    thread.join()
    with fourth.computing():
        fourth.spend(10)


def test_light_queries_compute_one_by_one() -> None:
    """A second one goes on while the first waits for the engine, or when it has waited for long."""
    lanes = Lanes(Lane(1), heavy_from=10)
    first, second = Budget(lanes=lanes), Budget(lanes=lanes)
    with first.computing():
        with first.waiting(), second.computing():
            assert second.has_place
        with second.computing():
            assert not second.has_place
        assert first.has_place
    with second.computing():
        assert second.has_place


def test_a_query_that_fails_leaves_its_lane() -> None:
    """Also where it fails in the engine, or waiting for the heavy ones."""
    lanes = Lanes(Lane(1), heavy_from=10)
    failing, next_one = Budget(lanes=lanes, max_samples=5), Budget(lanes=lanes)
    with pytest.raises(BudgetExceeded), failing.computing():
        failing.spend(6)
    with pytest.raises(ValueError, match="engine"), failing.computing(), failing.waiting():
        raise ValueError("engine")
    with next_one.computing():
        assert next_one.has_place
        next_one.spend(10)
        assert next_one.has_place


def test_queries_leave_the_processor_to_others() -> None:
    """The threads that evaluate and those that write answers are nicer than the one that asks them to."""

    async def nothing() -> Message:
        await asyncio.Event().wait()
        raise AssertionError

    def niceness() -> bytes:
        return str(os.getpriority(os.PRIO_PROCESS, threading.get_native_id())).encode()

    async def story() -> None:
        pool = QueryPool(QueryLimits())
        before = niceness()
        budget = pool.budget("a", 5_000)
        found = [await pool.run(Request({"type": "http"}, nothing), "a", budget, niceness)]
        found += [piece async for piece in pool.piece_by_piece("a", 0, (niceness() for _ in range(1)))]
        pool.close()
        assert found == [b"10", b"10"]
        assert niceness() == before != b"10"

    asyncio.run(story())


def test_a_large_answer_waits_for_a_commit_and_not_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    async def story() -> None:
        right_of_way = RightOfWay()
        pool = QueryPool(QueryLimits(), right_of_way=right_of_way)
        with right_of_way.taken():
            monkeypatch.setattr(query_pool, "GIVES_WAY_S", 60)
            sent = pool.piece_by_piece("a", 0, iter([b"1", b"2", b"3"]))
            first = asyncio.ensure_future(anext(sent))
            assert not (await asyncio.wait([first], timeout=0.05))[0]
        assert await first == b"1"
        with right_of_way.taken():
            monkeypatch.setattr(query_pool, "GIVES_WAY_S", 0.001)
            assert [piece async for piece in sent] == [b"2", b"3"]
        pool.close()

    asyncio.run(story())


def test_closing_ends_the_queries_that_run() -> None:
    """None of them goes on until its deadline."""
    ends: list[type[Exception]] = []
    started = threading.Event()

    async def nothing() -> Message:
        await asyncio.Event().wait()
        raise AssertionError

    def work(budget: Budget) -> None:
        started.set()
        try:
            while True:
                budget.check()
                time.sleep(0.01)
        except QueryError as error:
            ends.append(type(error))
            raise

    async def story() -> None:
        pool = QueryPool(QueryLimits())
        budget = pool.budget("a", 5_000)
        query = asyncio.create_task(pool.run(Request({"type": "http"}, nothing), "a", budget, lambda: work(budget)))
        assert await asyncio.to_thread(started.wait, 10)
        pool.close()
        with pytest.raises(QueryCanceled):
            await query

    asyncio.run(story())
    assert ends == [QueryCanceled]


@pytest.fixture
def counted(store: Store) -> Iterator[tuple[Server, Telemetry]]:
    telemetry = Telemetry()
    limits = QueryLimits(max_samples=50, max_series=3, max_answer_bytes=5000, timeout_s=60)
    with serving(store, limits, telemetry) as server:
        yield server, telemetry


def test_every_request_is_measured(counted: tuple[Server, Telemetry]) -> None:
    """By endpoint, status and tenant, refusals by the budget they went over."""
    server, telemetry = counted
    tenant = "query-pool"
    server.load(
        tenant, 'load 1m\n  few{i="a"} 1x200\n  many{i="1"} 1\n' + "".join(f'  many{{i="{n}"}} 1\n' for n in "2345")
    )
    key = {"DD-API-KEY": tenant}
    prefix = "/prometheus/api/v1"
    for path, headers in (
        ("/query?query=1", key),
        ("/query?query=(", key),
        ("/query?query=few[1d]&time=20000", key),
        ("/query?query=many&time=0", key),
        ("/query?query=1&timeout=1ms", key),
        ("/label/i/values", key),
        ("/status/buildinfo", key),
        ("/nothing", key),
        ("/query?query=1", {}),
    ):
        server.ask("GET", prefix + path, headers)
    count = "opstrace_query_duration_seconds_count"
    seen = {
        (labels["endpoint"], labels["status_code"], labels["tenant"]): value
        for name, labels, value in telemetry.samples()
        if name == count
    }
    assert seen.pop(("query", "200", tenant)) >= 1
    seen.pop(("query", "503", tenant), None)
    assert seen == {
        ("query", "400", tenant): 1,
        ("query", "422", tenant): 2,
        ("label_values", "200", tenant): 1,
        ("status_buildinfo", "200", tenant): 1,
        ("other", "404", tenant): 1,
        ("query", "403", ""): 1,
    }
    refused = {
        labels["budget"]: value
        for name, labels, value in telemetry.samples()
        if name == "opstrace_query_refused_total" and labels["budget"] != "time"
    }
    assert refused == {"samples": 1, "series": 1}


def test_statistics(counted: tuple[Server, Telemetry]) -> None:
    server, _ = counted
    tenant = "statistics"
    server.load(
        tenant, 'load 1m\n  a{job="x", i="1"} 1 2\n  a{job="x", i="2"} 1\n  b{job="x"} {{schema:0 count:1 sum:1}}\n'
    )
    answer = server.ask("GET", "/prometheus/api/v1/status/tsdb?limit=2", {"DD-API-KEY": tenant})
    found = answer.json["data"]
    assert found["headStats"] == {
        "numSeries": 3,
        "numLabelPairs": 5,
        "chunkCount": 3,
        "minTime": 0,
        "maxTime": 600_000,
    }
    assert found["seriesCountByMetricName"] == [{"name": "a", "value": 2}, {"name": "b", "value": 1}]
    assert found["labelValueCountByLabelName"] == [{"name": "__name__", "value": 2}, {"name": "i", "value": 2}]
    assert found["memoryInBytesByLabelName"] == [{"name": "__name__", "value": 18}, {"name": "i", "value": 4}]
    assert found["seriesCountByLabelValuePair"] == [{"name": "job=x", "value": 3}, {"name": "__name__=a", "value": 2}]


def test_statistics_of_nothing(counted: tuple[Server, Telemetry]) -> None:
    server, _ = counted
    answer = server.ask("GET", "/prometheus/api/v1/status/tsdb", {"DD-API-KEY": "nobody"})
    assert set(answer.json["data"]["headStats"].values()) == {0}
    info = server.ask("GET", "/prometheus/api/v1/status/runtimeinfo", {"DD-API-KEY": "nobody"}).json["data"]
    assert info["storageRetention"] == "30d"
    assert info["goroutineCount"] >= threading.active_count() - 2
