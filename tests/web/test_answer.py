"""Large answers are made while they are sent: whole, no further ahead than the client takes them, within limits."""

import asyncio
import json
import logging
import socket
import time
from collections.abc import Iterator
from http.client import HTTPConnection, IncompleteRead
from itertools import repeat
from urllib.parse import urlencode

import pytest

from opstrace.errors import BudgetExceeded, QueryTimeout
from opstrace.store.budget import Budget, Share
from opstrace.store.embedded import Store
from opstrace.web import answer
from opstrace.web.answer import STREAM_FROM_BYTES, Answer, Body
from opstrace.web.query_pool import MAX_PIECES_AHEAD, QueryLimits, QueryPool
from web.serving import Server, serving

TENANT = "answers"
KEY = {"DD-API-KEY": TENANT}
SERIES, STEPS = 50, 10_001  # some 16 MB
PIECE = b"1," * (STREAM_FROM_BYTES // 8)


@pytest.fixture(scope="module", autouse=True)
def loaded(server: Server) -> None:
    server.load(TENANT, "load 15s\n" + "".join(f'  m{{i="{i}"}} 0+{i}.5x40\n' for i in range(SERIES)))


def target(**changed: object) -> str:
    asked = {"query": "m", "start": 0, "end": 600, "step": 0.06} | changed
    return f"/prometheus/api/v1/query_range?{urlencode(asked)}"


@pytest.mark.parametrize("accepted", ["identity", "gzip"])
def test_a_large_answer_arrives_whole(accepted: str, server: Server) -> None:
    found = server.ask("GET", target(), {**KEY, "Accept-Encoding": accepted})
    assert found.headers["transfer-encoding"] == "chunked"
    assert found.headers.get("content-encoding") == (None if accepted == "identity" else "gzip")
    series = found.json["data"]["result"]
    assert [len(one["values"]) for one in series] == [STEPS] * SERIES
    assert series[-1]["metric"] == {"__name__": "m", "i": "9"}
    assert series[-1]["values"][-1] == [600, "380"]


def of_http_1_0(server: Server, path: str) -> tuple[bytes, bytes]:
    """Return head and body as they come."""
    with socket.create_connection(("127.0.0.1", server.port)) as connection:
        connection.sendall(f"GET {path} HTTP/1.0\r\nDD-API-KEY: {TENANT}\r\n\r\n".encode())
        head, _, content = b"".join(iter(lambda: connection.recv(1 << 20), b"")).partition(b"\r\n\r\n")
    return head, content


def test_a_client_of_http_1_0_gets_a_large_answer_in_no_chunks(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    head, content = of_http_1_0(server, target())
    assert b"transfer-encoding" not in head
    assert len(json.loads(content)["data"]["result"]) == SERIES
    monkeypatch.setattr(answer, "MAX_WHOLE_BYTES", 2 << 20)
    head, content = of_http_1_0(server, target())
    assert b" 505 " in head.splitlines()[0]
    assert json.loads(content)["error"] == "an answer of more than 2097152 bytes needs HTTP/1.1"


def test_a_small_answer_tells_its_length(server: Server) -> None:
    found = server.ask("GET", target(step=60), KEY)
    assert found.headers["content-length"] == str(len(found.body))


def pieces_of(number: int) -> Iterator[bytes]:
    return repeat(PIECE, number)


def body(found: Answer, max_bytes: int = 1 << 40) -> Body:
    return Body.of(found, Budget(), max_bytes, may_zip=False)


def test_no_more_is_made_than_the_beginning() -> None:
    made: list[bytes] = []

    def pieces() -> Iterator[bytes]:
        for piece in pieces_of(1000):
            made.append(piece)
            yield piece

    begun = body(Answer(pieces(), bytes_at_most=lambda: 0))
    assert STREAM_FROM_BYTES <= sum(map(len, begun.head)) < STREAM_FROM_BYTES + 2 * len(PIECE)
    assert len(made) < 10
    before = len(made)
    next(begun.rest)
    assert len(made) == before + 1


def test_what_may_be_too_large_is_made_before_the_first_byte() -> None:
    """So that its refusal has a status, whoever cannot say how large it becomes included."""
    found = body(Answer(pieces_of(20)), 30 * len(PIECE))
    assert len(b"".join(found.head)) > 20 * len(PIECE)
    assert next(found.rest, None) is None
    with pytest.raises(BudgetExceeded, match="the answer is larger"):
        body(Answer(pieces_of(20)), 19 * len(PIECE))
    with pytest.raises(BudgetExceeded, match="the answer is larger"):
        body(Answer(pieces_of(20), bytes_at_most=lambda: 20 * len(PIECE)), 19 * len(PIECE))


def test_an_answer_is_begun_within_the_querys_time() -> None:
    late = Budget(deadline=0.0)
    with pytest.raises(QueryTimeout):
        Body.of(Answer(pieces_of(20)), late, 1 << 30, may_zip=False)


def test_pieces_are_made_while_the_one_before_is_sent() -> None:
    """What is made of samples counts towards the tenant's share until the last piece; also where nobody takes it."""
    pool = QueryPool(QueryLimits(max_tenant_samples=100))
    share = pool.budget(TENANT, 0).share
    assert isinstance(share, Share)
    made: list[int] = []

    def pieces() -> Iterator[bytes]:
        for number in range(5):
            made.append(number)
            yield bytes([number])

    async def story() -> None:
        sent = pool.piece_by_piece(TENANT, 101, pieces())
        assert [await anext(sent), await anext(sent)] == [b"\0", b"\1"]
        with pytest.raises(BudgetExceeded, match="this tenant's queries"):
            share.check()
        await sent.aclose()
        share.check()
        assert made == list(range(len(made)))
        assert 2 <= len(made) <= 2 + MAX_PIECES_AHEAD
        made.clear()
        assert [piece async for piece in pool.piece_by_piece(TENANT, 101, pieces())] == [bytes([n]) for n in range(5)]
        share.check()

    asyncio.run(story())
    pool.close()


def test_a_client_that_takes_nothing_is_cut_off(
    store: Store, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It finds a broken answer, which cannot be taken for a whole one; others are answered meanwhile and after."""
    monkeypatch.setattr(answer, "SEND_TIMEOUT_S", 0.2)
    with serving(store, QueryLimits(concurrency=1)) as server:
        connection = HTTPConnection("127.0.0.1", server.port, timeout=30)
        connection.sock = socket.socket()
        connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
        connection.sock.settimeout(30)
        connection.sock.connect(("127.0.0.1", server.port))
        with caplog.at_level(logging.WARNING, logger=answer.__name__):
            connection.request("GET", target(), headers=KEY)
            response = connection.getresponse()
            assert json.loads(server.ask("GET", target(step=60), KEY).body)["status"] == "success"
            until = time.monotonic() + 30
            while not caplog.records and time.monotonic() < until:
                time.sleep(0.01)
            assert "took none of its answer" in caplog.text
            with pytest.raises(IncompleteRead):
                response.read()
        connection.close()
        assert len(server.ask("GET", target(), KEY).json["data"]["result"]) == SERIES
