"""Connections whose requests have large heads, or never come: a server on loopback closes them."""

import socket
from collections.abc import Iterator

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from loopback import TIMEOUT_S, serving_app
from opstrace.connections import MAX_HEAD_BYTES, Connection

GET = b"GET / HTTP/1.1\r\nHost: a\r\n"
POST = b"POST / HTTP/1.1\r\nHost: a\r\n"


async def length(request: Request) -> PlainTextResponse:
    return PlainTextResponse(f"{len(await request.body())} bytes")


async def early(_request: Request) -> PlainTextResponse:
    return PlainTextResponse("refused", 403)


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    app = Starlette(routes=[Route("/", length, methods=["GET", "POST"]), Route("/early", early, methods=["POST"])])
    with serving_app(app, http=Connection, log_level="error", timeout_keep_alive=1) as port:
        yield port


def answer(port: int, *pieces: bytes) -> bytes:
    """Send pieces, and return all that comes until the server closes the connection."""
    with socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT_S) as connection:
        came = b""
        try:
            for piece in pieces:
                connection.sendall(piece)
            while more := connection.recv(65536):
                came += more
        except (BrokenPipeError, ConnectionResetError):
            pass  # it was closed before all was sent
        return came


@pytest.mark.parametrize(
    "head", [b"GET / HTTP/1.1\r\n", GET + b"host: b\r\n", b"GET / HTTP/1.0\r\nHost: a\r\nHost: a\r\n"]
)
def test_a_request_is_for_one_host(port: int, head: bytes) -> None:
    came = answer(port, head + b"\r\n" + GET + b"\r\n")
    assert came.startswith(b"HTTP/1.1 400 ")
    assert b"one header Host" in came
    assert came.count(b"HTTP/1.1") == 1


def test_before_http_1_1_there_was_no_host(port: int) -> None:
    assert answer(port, b"GET / HTTP/1.0\r\n\r\n").startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize("start", [GET + b"X: ", b"GET /", GET + b"a: b\r\n" * 9000])
def test_a_large_head_is_refused(port: int, start: bytes) -> None:
    assert answer(port, start, b"a" * (MAX_HEAD_BYTES + 1 - len(start))).startswith(b"HTTP/1.1 431 ")


def test_no_header_is_put_together_without_end(port: int) -> None:
    """The server hangs up long before all is sent, whether its answer arrives or not."""
    assert answer(port, GET + b"X: ", *[b"a" * 65536] * 1600)[:12] in (b"", b"HTTP/1.1 431")


def test_large_trailers_end_a_connection(port: int) -> None:
    head = POST + b"Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nX: "
    assert answer(port, head, b"a" * (3 * MAX_HEAD_BYTES)) == b""


def test_a_head_as_large_as_it_may_be_is_taken(port: int) -> None:
    start, end = GET + b"Connection: close\r\nX: ", b"\r\n\r\n"
    fill = b"a" * (MAX_HEAD_BYTES - len(start) - len(end))
    assert answer(port, start + fill + end).startswith(b"HTTP/1.1 200 ")
    assert answer(port, start + fill, end).startswith(b"HTTP/1.1 200 ")


def test_large_bodies_and_many_requests_are_no_head(port: int) -> None:
    size = 10 * MAX_HEAD_BYTES + 7
    body = b"a" * size
    one = POST + b"Content-Length: %d\r\n\r\n" % size + body
    chunks = b"".join(b"1000\r\n" + body[:4096] + b"\r\n" for _ in range(100)) + b"0\r\n\r\n"
    came = answer(port, one, one, POST + b"Transfer-Encoding: chunked\r\n\r\n" + chunks, (GET + b"\r\n") * 40)
    assert came.count(b"HTTP/1.1 200 ") == 43
    assert came.count(b"%d bytes" % size) == 2
    assert came.count(b"409600 bytes") == 1


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"GET / HT",
        GET,
        GET + b"\r\n" + GET,  # half of a second one
        b"POST /early HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\na",  # answered before all of it came
    ],
)
def test_a_connection_that_never_finishes_a_request_is_closed(port: int, sent: bytes) -> None:
    answers = answer(port, *(sent[at : at + 1] for at in range(len(sent))))
    assert answers.count(b"HTTP/1.1") == (b"\r\n\r\n" in sent)


def test_a_connection_too_many_is_closed_and_the_others_are_answered() -> None:
    app = Starlette(routes=[Route("/", length, methods=["GET"])])
    # As `listeners.py` has it: one more than there may be.
    with serving_app(app, http=Connection, log_level="error", limit_concurrency=4, timeout_keep_alive=20) as port:
        for _ in range(2):
            held = [socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT_S) for _ in range(3)]
            for connection in held:
                connection.sendall(GET + b"\r\n")
                assert connection.recv(65536).startswith(b"HTTP/1.1 200 ")
            assert answer(port, GET + b"\r\n") == b""
            held[0].sendall(GET + b"\r\n")
            assert held[0].recv(65536).startswith(b"HTTP/1.1 200 ")
            for connection in held:
                connection.sendall(GET + b"Connection: close\r\n\r\n")
                while connection.recv(65536):
                    pass
                connection.close()
