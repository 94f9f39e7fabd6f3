"""Senders: keep-alive connections in threads, bodies made beforehand, so that the servers are what is measured."""

import http.client
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from urllib.parse import urlencode

from bench.payloads import Family
from bench.process import Server

_TIMEOUT_S = 120.0
_PIECE_BYTES = 1 << 20


@dataclass(frozen=True)
class Spent:
    """What a piece of work took."""

    wall_s: float
    cpu_s: float


@contextmanager
def connected(server: Server) -> Iterator[http.client.HTTPConnection]:
    """Hand out one keep-alive connection."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=_TIMEOUT_S)
    try:
        yield connection
    finally:
        connection.close()


def post(connection: http.client.HTTPConnection, server: Server, prefix: str, family: Family, body: bytes) -> None:
    """Send one body; anything but a success ends the bench."""
    sent = {"Content-Type": family.media_type, "Content-Encoding": family.encoding}
    connection.request("POST", prefix + family.path, body, {**server.headers, **sent})
    response = connection.getresponse()
    answer = response.read()
    if response.status // 100 != 2:
        raise SystemExit(f"bench: {server.product} answered {response.status} to {family.path}: {answer[:300]!r}")


def post_all(
    server: Server, prefix: str, family: Family, bodies: Sequence[bytes], senders: int, *, settle: bool = True
) -> Spent:
    """Send the bodies as fast as answers come, each sender its share in order; count what the server put off, too."""

    def send(sender: int) -> None:
        with connected(server) as connection:
            for body in bodies[sender::senders]:
                post(connection, server, prefix, family, body)

    cpu_s, started = server.cpu_s(), time.monotonic()
    in_threads(send, senders)
    wall_s = time.monotonic() - started
    if settle:
        server.settle()
    return Spent(wall_s, server.cpu_s() - cpu_s)


def post_paced(
    server: Server, prefix: str, family: Family, bodies: Sequence[bytes], per_s: float, senders: int
) -> list[float]:
    """Send each body at its own moment, and return how long after it the answer came, in seconds."""
    numbers, latencies = count(), [0.0] * len(bodies)
    started = time.monotonic() + 0.2

    def send(_: int) -> None:
        with connected(server) as connection:
            for number in iter(lambda: next(numbers), None):
                if number >= len(bodies):
                    return
                due = started + number / per_s
                time.sleep(max(0.0, due - time.monotonic()))
                post(connection, server, prefix, family, bodies[number])
                latencies[number] = time.monotonic() - due

    in_threads(send, senders)
    return latencies


def in_threads(work: Callable[[int], None], threads: int) -> None:
    """Run the work once in each thread."""
    with ThreadPoolExecutor(threads) as pool:
        for _ in pool.map(work, range(threads)):
            pass


def ask_and_drop(server: Server, path: str, parameters: dict[str, str]) -> None:
    """Read an answer and keep nothing of it: while a large one is put together, other threads of the bench wait."""
    with connected(server) as connection:
        connection.request("GET", f"{path}?{urlencode(parameters)}", headers=dict(server.headers))
        response = connection.getresponse()
        while response.read(_PIECE_BYTES):
            pass
    if response.status != http.HTTPStatus.OK:
        raise SystemExit(f"bench: {server.product} answered {response.status} to {parameters}")


def ask(server: Server, path: str, parameters: dict[str, str]) -> tuple[bytes, Spent]:
    """Return the answer to one query, and what it took; CPU time has a resolution of 10 ms."""
    with connected(server) as connection:
        connection.connect()
        cpu_s, started = server.cpu_s(), time.monotonic()
        connection.request("GET", f"{path}?{urlencode(parameters)}", headers=dict(server.headers))
        response = connection.getresponse()
        # To put the pieces together is the client's work, and no server's.
        pieces = list(iter(lambda: response.read(_PIECE_BYTES), b""))
        spent = Spent(time.monotonic() - started, server.cpu_s() - cpu_s)
    body = b"".join(pieces)
    if response.status != http.HTTPStatus.OK:
        raise SystemExit(f"bench: {server.product} answered {response.status} to {parameters}: {body[:300]!r}")
    return body, spent
