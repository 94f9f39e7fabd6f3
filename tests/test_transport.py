"""What a server on loopback sends in large pieces arrives as it was, however slowly it is taken."""

import asyncio
import hashlib
import socket
import time
from collections.abc import AsyncIterator, Iterator

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.routing import Route

from loopback import TIMEOUT_S, serving_app
from opstrace import transport
from opstrace.connections import Connection
from opstrace.transport import UNLOCKED_FROM_BYTES

# Small and large pieces in turn, more than a socket holds.
PIECES = [bytes([n % 251]) * size for n, size in enumerate([100, UNLOCKED_FROM_BYTES, 3 << 20, 1, 2 << 20] * 4)]


async def pieces(_request: Request) -> StreamingResponse:
    async def body() -> AsyncIterator[bytes]:
        for piece in PIECES:
            yield piece

    return StreamingResponse(body(), headers={"content-length": str(sum(map(len, PIECES)))})


@pytest.fixture(scope="module", params=["uvloop", "asyncio"])
def port(request: pytest.FixtureRequest) -> Iterator[int]:
    app = Starlette(routes=[Route("/", pieces)])
    with serving_app(app, http=Connection, loop=request.param, log_level="error") as port:
        yield port


def asked(port: int) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT_S)
    connection.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    return connection


@pytest.mark.parametrize("pause_s", [0, 0.01])
def test_all_arrives_in_its_order(port: int, pause_s: float) -> None:
    came = bytearray()
    with asked(port) as connection:
        while more := connection.recv(1 << 20):
            came += more
            time.sleep(pause_s)
    body = came.partition(b"\r\n\r\n")[2]
    assert hashlib.sha256(body).digest() == hashlib.sha256(b"".join(PIECES)).digest()


def test_a_client_that_leaves_ends_its_answer_alone(port: int) -> None:
    with asked(port) as connection:
        connection.recv(1000)
    test_all_arrives_in_its_order(port, 0)


def test_a_client_that_takes_nothing_of_the_rest_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever takes some of it in time gets all of it, however long that lasts."""
    monkeypatch.setattr(transport, "TAKEN_WITHIN_S", 0.01)
    left: list[int] = []

    class Rest(asyncio.Transport):
        """A transport whose client takes some twice, and then no more."""

        def __init__(self) -> None:
            super().__init__()
            self.aborted = asyncio.Event()

        sizes = iter([300, 200, 100, 100, 100])

        def get_write_buffer_size(self) -> int:
            left.append(next(self.sizes))
            return left[-1]

        def close(self) -> None:
            """Wait for what is left."""

        def abort(self) -> None:
            self.aborted.set()

    async def scene() -> None:
        rest = Rest()
        transport.UnlockedTransport(rest).close()
        await rest.aborted.wait()

    asyncio.run(asyncio.wait_for(scene(), TIMEOUT_S))
    assert left == [300, 200, 100, 100]
