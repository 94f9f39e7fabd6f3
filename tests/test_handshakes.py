"""Clients of TLS that do not shake hands: they count, and have little time."""

import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from loopback import TIMEOUT_S
from opstrace import handshakes, tls
from opstrace.config import DEFAULT
from opstrace.connections import Connection
from opstrace.listeners import Listener

MOST = 4
GET = b"GET / HTTP/1.1\r\nHost: a\r\n"


async def length(request: Request) -> PlainTextResponse:
    return PlainTextResponse(f"{request.url.scheme} {len(await request.body())}")


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    names, now = tls.names_of("demo", DEFAULT), datetime.now(UTC)
    pair = tls.issue(tls.make_authority("demo", names, now), names, now)
    directory = tmp_path_factory.mktemp("tls")
    certificate, key = directory / "server.pem", directory / "server-key.pem"
    certificate.write_bytes(pair.certificate)
    key.write_bytes(pair.key)
    return certificate, key


@contextmanager
def serving(files: tuple[Path, Path], loop: str) -> Iterator[int]:
    app = Starlette(routes=[Route("/", length, methods=["GET", "POST"])])
    certificate, key = files
    config = uvicorn.Config(
        app,
        http=Connection,
        loop=loop,
        lifespan="off",
        log_level="error",
        limit_concurrency=MOST + 1,
        ssl_certfile=certificate,
        ssl_keyfile=key,
    )
    with socket.create_server(("127.0.0.1", 0)) as bound:
        listener = Listener(config)
        thread = threading.Thread(target=listener.run, args=([bound],))
        thread.start()
        try:
            deadline = time.monotonic() + TIMEOUT_S
            while not listener.started:
                assert time.monotonic() < deadline
                time.sleep(0.01)
            yield bound.getsockname()[1]
        finally:
            listener.should_exit = True
            thread.join(TIMEOUT_S)


@pytest.fixture(scope="module", params=["uvloop", "asyncio"])
def port(request: pytest.FixtureRequest, files: tuple[Path, Path]) -> Iterator[int]:
    with serving(files, request.param) as port:
        yield port


def plain(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT_S)


def secure(port: int) -> ssl.SSLSocket:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context.wrap_socket(plain(port))


def answered(connection: ssl.SSLSocket, *requests: bytes) -> bytes:
    for request in requests:
        connection.sendall(request)
    came = b""
    while more := connection.recv(65536):
        came += more
    return came


def until_closed(connection: socket.socket) -> bytes:
    """Return all that comes before the end, which is a reset where the server has left something unread."""
    came = b""
    with suppress(ConnectionResetError):
        while more := connection.recv(65536):
            came += more
    return came


def is_closed(connection: socket.socket) -> bool:
    try:
        return connection.recv(1) == b""
    except ConnectionResetError:
        return True


def test_whoever_shakes_hands_is_answered(port: int) -> None:
    close = b"Connection: close\r\n\r\n"
    for _ in range(3 * MOST):
        with secure(port) as connection:
            assert answered(connection, GET + b"\r\n", GET + close).count(b"https 0") == 2
    body = b"x" * 3_000_000
    with secure(port) as connection:
        head = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n" % len(body)
        assert answered(connection, head + close + body).endswith(b"https 3000000")


def test_whoever_does_not_counts_as_any_other(port: int) -> None:
    with ExitStack() as held:
        silent = [held.enter_context(plain(port)) for _ in range(MOST)]
        # They are accepted one after the other, and before the next one.
        for _ in range(2):
            with plain(port) as one_too_many:
                assert is_closed(one_too_many)
        silent.pop().close()
        eventually_answered(port)


def eventually_answered(port: int) -> None:
    """The server hears of an end in its own time."""
    deadline = time.monotonic() + TIMEOUT_S
    while True:
        try:
            with secure(port) as connection:
                assert b"https 0" in answered(connection, GET + b"Connection: close\r\n\r\n")
            return
        except (OSError, AssertionError):
            assert time.monotonic() < deadline
            time.sleep(0.02)


def test_what_is_no_tls_is_closed(port: int) -> None:
    with plain(port) as connection:
        connection.sendall(GET + b"\r\n")
        assert b"HTTP" not in until_closed(connection)
    eventually_answered(port)


def test_whoever_takes_too_long_is_closed(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handshakes, "HANDSHAKE_S", 0.2)
    with ExitStack() as held:
        silent = [held.enter_context(plain(port)) for _ in range(MOST)]
        silent[0].sendall(b"\x16\x03\x01")  # a handshake begins so
        assert all(map(is_closed, silent))
    eventually_answered(port)
