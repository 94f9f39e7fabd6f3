"""What hearing DogStatsD costs: lines per CPU-second, lines lost, how long an acknowledgement takes meanwhile.

The lines are those of an application with 10 k contexts, in the mix of Datadog's own load generator (DataDog/lading).
"""

import http.client
import multiprocessing
import random
import re
import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench import payloads
from bench.client import connected, post_all, post_paced
from bench.payloads import V1, population
from bench.process import Server
from bench.products import OPSTRACE, free_port, opstrace
from bench.report import Better, Row

CONTEXTS = 10_000
LINES_PER_S = 150_000
SENDING_S = 30
TICK_S = 0.005
BURST_S = 0.02
DATAGRAM_BYTES = 1432  # what clients fill that buffer
TYPES = (*["c"] * 34, *["g"] * 34, *["h"] * 25, *["ms"] * 5, "d", "s")
PAYLOADS_PER_S = 20
SERIES_A_PAYLOAD = 100
AGENTS = 200  # a payload each in 10 s
SENDERS = 8
PROBE_PAUSE_S = 0.02
REPORTED_WITHIN_S = 30


@dataclass(frozen=True)
class Alone:
    """Lines sent, how many a second; lines heard; CPU seconds of the whole server."""

    sent: int
    per_s: float
    heard: int
    cpu_s: float


@dataclass(frozen=True)
class Beside:
    """What 99 of 100 acknowledgements, and answers that wait for no commit, are below."""

    acknowledgement_s: float
    answer_s: float


def lines() -> list[bytes]:
    """Return a line of each context, in no order."""
    chance = random.Random(1)
    kinds = [TYPES[number % len(TYPES)] for number in range(CONTEXTS)]
    made = [
        f"shop.{kind}.metric_{number % 200}:{chance.randrange(1, 1000)}|{kind}"
        f"{'|@0.5' if number % 4 == 0 else ''}|#env:production,service:checkout-{number % 20},route:r{number}"
        for number, kind in enumerate(kinds)
    ]
    chance.shuffle(made)
    return [line.encode() for line in made]


def packed(every: Sequence[bytes]) -> Iterator[tuple[bytes, int]]:
    """Yield datagrams as clients fill them, with the number of their lines."""
    packet: list[bytes] = []
    for line in every:
        if sum(map(len, packet)) + len(packet) + len(line) > DATAGRAM_BYTES:
            yield b"\n".join(packet), len(packet)
            packet = []
        packet.append(line)
    yield b"\n".join(packet), len(packet)


def send(port: int, datagrams: Sequence[tuple[bytes, int]], enough: int) -> None:
    """Send datagrams round and round, at an even pace, until there were enough lines.

    Who was held up does not make up for it at once: no client sends a tenth of a second's lines in one burst.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.connect(("127.0.0.1", port))
        before, sent, due, place = time.monotonic(), 0, 0.0, 0
        while sent < enough:
            now = time.monotonic()
            due += min(now - before, BURST_S) * LINES_PER_S
            before = now
            while sent < min(due, enough):
                packet, number = datagrams[place]
                udp.send(packet)
                sent += number
                place = (place + 1) % len(datagrams)
            time.sleep(TICK_S)


def rows(directory: Path) -> list[Row]:
    """Return the rows for datagrams that clients filled, and for those of one line each."""
    every = lines()
    found: list[Row] = []
    for name, datagrams in {
        "full datagrams": [*packed(every)],
        "a line a datagram": [(one, 1) for one in every],
    }.items():
        place = directory / name.replace(" ", "-")
        place.mkdir()
        alone, beside = measured(place, datagrams)
        lost = f"DogStatsD, {name}: lines lost of {alone.sent:,} at {alone.per_s:,.0f} a second"
        found += [
            Row(f"DogStatsD, {name}: lines per CPU-second", "lines/s", Better.HIGHER,
                {OPSTRACE: alone.heard / alone.cpu_s}, float(LINES_PER_S)),
            Row(lost, "lines", Better.LOWER, {OPSTRACE: float(alone.sent - alone.heard)}, 0.0),
            Row(f"acknowledgement beside DogStatsD, {name}, p99", "ms", Better.LOWER,
                {OPSTRACE: beside.acknowledgement_s * 1000}, 100.0),
            Row(f"an answer that waits for no commit beside DogStatsD, {name}, p99", "ms", Better.LOWER,
                {OPSTRACE: beside.answer_s * 1000}, 100.0),
        ]  # fmt: skip
    return found


def measured(place: Path, datagrams: Sequence[tuple[bytes, int]]) -> tuple[Alone, Beside]:
    """Send at a steady pace to a fresh server, first alone, then with payloads of an Agent beside that."""
    port = free_port()
    dogstatsd = {"enabled": True, "listeners": [{"url": f"udp://127.0.0.1:{port}"}]}
    with opstrace(place, dogstatsd=dogstatsd) as server:
        server.settle()
        return _alone(server, port, datagrams), _beside(server, port, datagrams)


def _alone(server: Server, port: int, datagrams: Sequence[tuple[bytes, int]]) -> Alone:
    cpu_s, started = server.cpu_s(), time.monotonic()
    with sending(port, datagrams) as sent:
        pass
    per_s = sent / (time.monotonic() - started)
    deadline = time.monotonic() + REPORTED_WITHIN_S
    while (heard := sum(counters(server, "lines_total"))) < sent and time.monotonic() < deadline:
        time.sleep(1)
    server.settle()
    return Alone(sent, per_s, heard, server.cpu_s() - cpu_s)


def _beside(server: Server, port: int, datagrams: Sequence[tuple[bytes, int]]) -> Beside:
    start_s = int(time.time()) - 3600
    bodies = [
        payloads.v1(list(population(SERIES_A_PAYLOAD, number % AGENTS, [(start_s + number // AGENTS * 10, 1.5)])))
        for number in range(PAYLOADS_PER_S * SENDING_S)
    ]
    answers: multiprocessing.Queue[list[float]] = multiprocessing.Queue()
    prober = multiprocessing.Process(target=probe, args=(server.port, answers))
    # What Agents send are known series, but for their first payloads.
    first = [
        payloads.v1(list(population(SERIES_A_PAYLOAD, number, [(start_s - 10, 1.5)]))) for number in range(AGENTS)
    ]
    post_all(server, "", V1, first, SENDERS)
    with sending(port, datagrams):
        prober.start()
        latencies = post_paced(server, "", V1, bodies, PAYLOADS_PER_S, SENDERS)
        probed = answers.get()
        prober.join()
    return Beside(p99(latencies), p99(probed))


@contextmanager
def sending(port: int, datagrams: Sequence[tuple[bytes, int]]) -> Iterator[int]:
    """Send meanwhile, from a process of its own, and wait for its end; hand over how many lines that will be."""
    enough = LINES_PER_S * SENDING_S
    sender = multiprocessing.Process(target=send, args=(port, datagrams, enough))
    sender.start()
    yield enough
    sender.join()


def p99(latencies: Sequence[float]) -> float:
    """Return what 99 of 100 are below."""
    return sorted(latencies)[int(0.99 * len(latencies))]


def probe(port: int, answers: "multiprocessing.Queue[list[float]]") -> None:
    """Ask again and again for what the event loop answers by itself, and put down how long each answer took."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    latencies, end = [], time.monotonic() + SENDING_S
    while time.monotonic() < end:
        asked = time.monotonic()
        connection.request("GET", "/_health")
        connection.getresponse().read()
        latencies.append(time.monotonic() - asked)
        time.sleep(PROBE_PAUSE_S)
    connection.close()
    answers.put(latencies)


def counters(server: Server, name: str) -> list[int]:
    """Return the values of one of the server's own counters about DogStatsD."""
    token = Path(f"/proc/{server.pid}/cwd", "tenant-api-token-system").read_text().strip()
    with connected(server) as connection:
        connection.request("GET", "/metrics", headers={"DD-API-KEY": token})
        text = connection.getresponse().read().decode()
    return [
        int(float(value)) for value in re.findall(rf"^opstrace_dogstatsd_{name}{{.*}} (\S+)$", text, re.MULTILINE)
    ]
