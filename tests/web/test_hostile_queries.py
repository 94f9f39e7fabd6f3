"""What no request may do: hang, end in a 500, keep working for nobody, or starve the others."""

import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from opstrace.errors import StoreError
from opstrace.store.backend import EXACTLY, Block, Labels, Manner, Matcher, MetricMetadata
from opstrace.store.budget import Budget
from opstrace.store.embedded import Store
from opstrace.web.query_pool import QueryLimits
from web.serving import Answer, Server, serving

TENANT = "hostile"
PREFIX = "/prometheus/api/v1"
KEY = {"DD-API-KEY": TENANT}


@pytest.fixture(scope="module", autouse=True)
def loaded(server: Server) -> None:
    server.load(TENANT, "load 15s\n" + "".join(f'  m{{i="{i}"}} 0+{i}x40\n' for i in range(50)))


def get(server: Server, path: str, **parameters: Any) -> Answer:
    return server.ask("GET", f"{PREFIX}{path}?{urlencode(parameters, doseq=True)}", KEY)


def refused(answer: Answer) -> tuple[int, str, str]:
    assert answer.json["status"] == "error"
    return answer.status, answer.json["errorType"], answer.json["error"]


# ---------------------------------------------------------------------------------------------------------------
# Queries that are too much


@pytest.mark.parametrize(
    "query",
    [
        pytest.param("(" * 30_000 + "m" + ")" * 30_000, id="parentheses"),
        pytest.param("-" * 60_000 + "m", id="signs"),
        pytest.param("abs(" * 10_000 + "m" + ")" * 10_000, id="calls"),
        pytest.param("+".join(["m"] * 20_000), id="a sum of many"),
        pytest.param("m" + "[1m:1m]" * 5_000, id="subqueries of subqueries"),
        pytest.param('m{a="' + "x" * 200_000 + '"}', id="a long value"),
        pytest.param("m{" + 'a="b",' * 20_000 + "}", id="many matchers"),
        pytest.param("{" * 50_000, id="braces"),
        pytest.param("\x00", id="a zero byte"),
        pytest.param("m[99999999999999999999y]", id="a duration without end"),
        pytest.param("1" * 60_000, id="a number without end"),
        pytest.param("m @ 1e300", id="a moment without end"),
        pytest.param('m{i=~"(((a{1,1000}){1,1000}){1,1000})"}', id="a pattern that explodes"),
        pytest.param('m{i=~"(a*)*(b*)*[^c]+\\\\1"}', id="a pattern with a reference back"),
        pytest.param('m{i=~"("}', id="a broken pattern"),
        pytest.param('label_replace(m, "a", "$1", "i", "(")', id="a broken pattern in a function"),
        pytest.param("m{" + 'a!="b",' * 9_000 + "}", id="many matchers, shorter"),
        pytest.param("sum(", id="an end too soon"),
        pytest.param('count_values("", m)', id="an empty label"),
    ],
)
@pytest.mark.parametrize("path", ["/query", "/format_query", "/series"])
def test_a_query_that_is_too_much_is_refused(path: str, query: str, server: Server) -> None:
    form = urlencode({"query": query, "match[]": query}).encode()
    headers = {**KEY, "Content-Type": "application/x-www-form-urlencoded"}
    answer = server.ask("POST", PREFIX + path, headers, form)
    assert answer.status == 200 or refused(answer)[0] in (400, 422), answer.body
    if path == "/query" and "1" * 10 not in query:
        assert answer.status in (400, 422)


def test_a_pattern_that_would_backtrack_for_ever_answers(server: Server) -> None:
    server.load(TENANT, f'load 15s\n  long{{a="{"a" * 5_000}"}} 1')
    answer = get(server, "/query", query='long{a=~"(a+)+b|(a|aa)+c"}', time=0)
    assert answer.json["data"]["result"] == []


def test_a_form_that_is_too_large_is_refused(server: Server) -> None:
    headers = {**KEY, "Content-Type": "application/x-www-form-urlencoded"}
    answer = server.ask("POST", PREFIX + "/query", headers, b"query=" + b"1" * (2 << 20))
    assert refused(answer) == (400, "bad_data", f"the form is larger than the {1 << 20} bytes a request may have")


@pytest.mark.parametrize("kind", ["application/x-www-form-urlencoded", "application/x-protobuf"])
def test_a_body_that_never_comes_is_refused(kind: str, store: Store) -> None:
    head = f"POST {PREFIX}/query HTTP/1.1\r\nHost: a\r\nDD-API-KEY: {TENANT}\r\nContent-Type: {kind}\r\n"
    with (
        serving(store, body_timeout_s=0.2) as impatient,
        socket.create_connection(("127.0.0.1", impatient.port), timeout=30) as connection,
    ):
        connection.sendall(head.encode() + b"Content-Length: 100\r\n\r\nquery=")
        answer = connection.recv(65536)
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"did not arrive within 0.2 s" in answer


@pytest.fixture(scope="module")
def narrow(store: Store) -> Iterator[Server]:
    with serving(store, QueryLimits(max_samples=1_000, max_series=100, max_answer_bytes=2_000)) as started:
        yield started


def test_more_samples_than_a_query_may_touch(narrow: Server) -> None:
    status, kind, message = refused(get(narrow, "/query", query="m[10m]", time=600))
    assert (status, kind) == (422, "execution")
    assert "too many samples" in message


def test_more_bytes_than_an_answer_may_have(narrow: Server) -> None:
    assert refused(get(narrow, "/query", query="m", time=0)) == (
        422,
        "execution",
        "the answer is larger than 2000 bytes",
    )


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from(("/query", "/query_range", "/series", "/labels", "/metadata", "/format_query", "/nothing")),
    st.dictionaries(
        st.sampled_from(("query", "time", "start", "end", "step", "limit", "timeout", "match[]", "lookback_delta")),
        st.one_of(
            st.text(max_size=20), st.sampled_from(("0", "1", "600", "m", "1e9", "-1", "NaN", "5s", '{a=~"."}'))
        ),
    ),
)
def test_any_parameters_get_a_proper_answer(server: Server, path: str, parameters: dict[str, str]) -> None:
    target = f"{PREFIX}{path}?{urlencode(parameters, errors='surrogatepass')}"
    answer = server.ask("GET", target, KEY)
    assert answer.status in (200, 400, 404, 422, 503), answer.body
    assert answer.json["status"] == ("success" if answer.status == 200 else "error")


# ---------------------------------------------------------------------------------------------------------------
# A store that takes its time: the embedded one cannot be told when to


@dataclass
class Slow:
    """A backend whose reads wait, looking at their budget as an engine does, or not looking."""

    minds_budget: bool
    reading: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    stopped: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    release: threading.Event = field(default_factory=threading.Event)

    def querier(self, tenant: str, budget: Budget) -> "SlowQuerier":
        return SlowQuerier(self, budget)

    def appender(self, tenant: str) -> Any:
        raise NotImplementedError


@dataclass
class SlowQuerier:
    store: Slow
    budget: Budget

    def label_names(self, selectors: Sequence[Sequence[Matcher]], start_ms: int, end_ms: int) -> list[str]:
        self.store.reading.release()
        try:
            while not self.store.release.wait(0.01):
                if self.store.minds_budget:
                    self.budget.check()
        finally:
            self.store.stopped.release()
        return ["done"]

    def select(self, matchers: Sequence[Matcher], start_ms: int, end_ms: int, manner: Manner = EXACTLY) -> Block:
        raise StoreError("secret detail: /var/lib")

    def series(self, selectors: Sequence[Sequence[Matcher]], start_ms: int, end_ms: int) -> list[Labels]:
        raise RuntimeError("secret detail: a bug")

    def label_values(
        self, name: str, selectors: Sequence[Sequence[Matcher]], start_ms: int, end_ms: int
    ) -> list[str]:
        return ["quick"]

    def metadata(self, metric: str | None = None) -> list[MetricMetadata]:
        return []


@pytest.fixture
def slow() -> Iterator[Callable[..., tuple[Server, Slow]]]:
    """Start servers over slow stores; let all reads end afterwards."""
    closers: list[Callable[[], Any]] = []

    def start(*, minds_budget: bool = True, **limits: Any) -> tuple[Server, Slow]:
        backend = Slow(minds_budget)
        context = serving(backend, QueryLimits(**limits))
        server = context.__enter__()
        closers.append(lambda: (backend.release.set(), context.__exit__(None, None, None)))
        return server, backend

    yield start
    for close in closers:
        close()


def test_a_query_ends_at_its_timeout(slow: Callable[..., tuple[Server, Slow]]) -> None:
    server, backend = slow()
    assert refused(get(server, "/labels", timeout="100ms")) == (503, "timeout", "query timed out")
    assert backend.stopped.acquire(timeout=10)


def test_a_query_that_does_not_look_at_the_clock_is_answered_all_the_same(
    slow: Callable[..., tuple[Server, Slow]],
) -> None:
    server, backend = slow(minds_budget=False, timeout_s=0.1)
    assert refused(get(server, "/labels")) == (503, "timeout", "query timed out")
    assert not backend.stopped.acquire(blocking=False)


def test_a_client_that_leaves_ends_its_query(slow: Callable[..., tuple[Server, Slow]]) -> None:
    server, backend = slow()
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection:
        connection.sendall(f"GET {PREFIX}/labels HTTP/1.1\r\nHost: x\r\nDD-API-KEY: {TENANT}\r\n\r\n".encode())
        assert backend.reading.acquire(timeout=10)
    assert backend.stopped.acquire(timeout=10)
    assert not backend.release.is_set()


def test_what_waits_for_its_turn_times_out_too(slow: Callable[..., tuple[Server, Slow]]) -> None:
    server, backend = slow(concurrency=1)
    first = threading.Thread(target=get, args=(server, "/labels"))
    first.start()
    assert backend.reading.acquire(timeout=10)
    assert refused(get(server, "/label/a/values", timeout="50ms")) == (503, "timeout", "query timed out")
    backend.release.set()
    first.join(10)
    assert get(server, "/label/a/values").json["data"] == ["quick"]


def test_a_full_queue_refuses(slow: Callable[..., tuple[Server, Slow]]) -> None:
    server, backend = slow(concurrency=1, max_waiting=0)
    first = threading.Thread(target=get, args=(server, "/labels"))
    first.start()
    assert backend.reading.acquire(timeout=10)
    assert refused(get(server, "/label/a/values")) == (
        503,
        "timeout",
        "too many queries are waiting already; try again later",
    )
    backend.release.set()
    first.join(10)


def test_what_goes_wrong_inside_stays_inside(slow: Callable[..., tuple[Server, Slow]]) -> None:
    server, _ = slow()
    store_failure = get(server, "/query", query="m")
    assert refused(store_failure)[:2] == (503, "unavailable")
    bug = get(server, "/series", **{"match[]": "m"})
    assert refused(bug)[:2] == (500, "internal")
    for answer in (store_failure, bug):
        assert b"secret" not in answer.body
        assert b"Traceback" not in answer.body


# ---------------------------------------------------------------------------------------------------------------
# Encodings


@pytest.mark.parametrize(
    ("accepted", "zipped"),
    [
        ("gzip", True),
        ("deflate, gzip;q=0.5", True),
        ("*", True),
        ("GZIP", True),
        ("gzip;q=0", False),
        ("gzip; q=0.0", False),
        ("identity", False),
        ("", False),
    ],
)
def test_compression_is_what_the_client_accepts(accepted: str, zipped: bool, server: Server) -> None:
    target = f"{PREFIX}/query?{urlencode({'query': 'm', 'time': 600})}"
    answer = server.ask("GET", target, {**KEY, "Accept-Encoding": accepted})
    assert answer.headers.get("content-encoding") == ("gzip" if zipped else None)
    assert answer.headers["vary"] == "Accept-Encoding"
    assert len(answer.json["data"]["result"]) == 50


class NoMemory(MemoryError):
    """Such as numpy's own."""


def test_what_no_memory_is_found_for_is_over_its_budget(
    slow: Callable[..., tuple[Server, Slow]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def select(*_: Any) -> Block:
        raise NoMemory

    monkeypatch.setattr(SlowQuerier, "select", select)
    server, _ = slow()
    status, kind, message = refused(get(server, "/query", query="m"))
    assert (status, kind) == (422, "execution")
    assert "memory" in message
