"""Many series at once: a million of them, from 2,000 Agents that send every 10 s, for five minutes."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import zstandard

from bench.client import connected, in_threads, post
from bench.payloads import V2_ZSTD, OneSeries, v2_message
from bench.process import Server
from bench.products import OPSTRACE, PRODUCTS
from bench.report import Better, Row

AGENTS = 2000
SERIES_AN_AGENT = 500
STEP_S = 10
ROUNDS = 30
# 2,000 Agents do not wait for each other: few senders would bound how many bodies a commit can have.
SENDERS = 128
_NAMES = 500
_STAND_IN_S = 1_700_000_001  # what bodies have where the time belongs: as many bytes as any time until 2038


def scale(directory: Path, _runs: int = 1) -> list[Row]:
    """Return the rows on memory, acknowledgements and a restart with a million active series."""
    place = directory / "scale"
    place.mkdir()
    bodies = [v2_message(list(_series(agent))) for agent in range(AGENTS)]
    with PRODUCTS[OPSTRACE](place) as server:
        server.settle()
        idle = server.rss_bytes()
        with _watched(server) as most:
            latencies = _paced(server, bodies)
        resident = server.rss_bytes()
    with PRODUCTS[OPSTRACE](place) as server:
        ready_s = server.ready_s
    series = AGENTS * SERIES_AN_AGENT
    slowest = sorted(latencies)[int(0.99 * len(latencies))] * 1000
    rows = (
        ("memory at most (RSS)", "MiB", max(most) / 2**20, 1536.0),
        ("memory a series", "B", (resident - idle) / series, None),
        ("acknowledgement, p99", "ms", slowest, 500.0),
        ("restart to ready", "s", ready_s, 5.0),
    )
    return [
        Row(f"1 M series of 2,000 Agents: {what}", unit, Better.LOWER, {OPSTRACE: value}, target)
        for what, unit, value, target in rows
    ]


def _series(agent: int) -> Iterator[OneSeries]:
    """Yield the series of one Agent, with the tags that its checks give them."""
    for number in range(SERIES_AN_AGENT):
        tags = [
            ("env", "production"),
            ("service", f"checkout-{number % 20}"),
            ("version", f"2.{number % 7}.{number % 13}"),
            ("pod", f"pod-{agent:04d}-{number:03d}"),
        ]
        yield OneSeries(f"scale_metric_{number % _NAMES}", f"host-{agent:04d}", tags, [(_STAND_IN_S, number / 8)])


def _paced(server: Server, bodies: list[bytes]) -> list[float]:
    """Send every Agent's body once a round, evenly; return how late each answer came, in seconds."""
    latencies = [0.0] * (AGENTS * ROUNDS)
    started, wall_s = time.monotonic() + 1.0, int(time.time())
    old = _varint(_STAND_IN_S)

    def send(sender: int) -> None:
        compressor = zstandard.ZstdCompressor(level=1)
        with connected(server) as connection:
            for number in range(sender, AGENTS * ROUNDS, SENDERS):
                due = started + number * STEP_S / AGENTS
                at_s = wall_s + number // AGENTS * STEP_S
                body = compressor.compress(bodies[number % AGENTS].replace(old, _varint(at_s)))
                time.sleep(max(0.0, due - time.monotonic()))
                post(connection, server, "", V2_ZSTD, body)
                latencies[number] = time.monotonic() - due

    in_threads(send, SENDERS)
    return latencies


def _varint(number: int) -> bytes:
    septets = [number >> shift & 0x7F for shift in range(0, number.bit_length(), 7)]
    return bytes([septet | 0x80 for septet in septets[:-1]] + septets[-1:])


class _watched:  # noqa: N801 (reads as a verb where it is used)
    """Look at a server's memory every second; inside, a list that grows."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._seen: list[int] = [0]
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._look)

    def __enter__(self) -> list[int]:
        self._thread.start()
        return self._seen

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._ended.wait(1.0):
            self._seen.append(self._server.rss_bytes())
