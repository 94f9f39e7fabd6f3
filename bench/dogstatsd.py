"""What hearing DogStatsD costs: lines per CPU-second, lines lost, how long an acknowledgement takes meanwhile.

The lines are those of an application with 10 k contexts, in the mix of Datadog's own load generator (DataDog/lading).
"""

import multiprocessing
import random
import re
import socket
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench import payloads
from bench.client import connected, post_paced
from bench.payloads import V1, population
from bench.process import Server
from bench.products import OPSTRACE, free_port, opstrace
from bench.report import Better, Row

CONTEXTS = 10_000
LINES_PER_S = 150_000
SENDING_S = 40
TICK_S = 0.005
DATAGRAM_BYTES = 1432  # what clients fill that buffer
TYPES = (*["c"] * 34, *["g"] * 34, *["h"] * 25, *["ms"] * 5, "d", "s")
PAYLOADS_PER_S = 20
SERIES_A_PAYLOAD = 100
SENDERS = 8
REPORTED_WITHIN_S = 30


@dataclass(frozen=True)
class Found:
    """One run: lines sent and heard, datagrams the kernel dropped, CPU seconds, and the slowest of 100 answers."""

    sent: int
    heard: int
    drops: int
    cpu_s: float
    p99_s: float


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
    """Send datagrams round and round, at an even pace, until there were enough lines."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.connect(("127.0.0.1", port))
        started, sent, place = time.monotonic(), 0, 0
        while sent < enough:
            due = min((time.monotonic() - started) * LINES_PER_S, enough)
            while sent < due:
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
        run = measured(place, datagrams)
        lost = f"DogStatsD, {name}: lines lost of {run.sent:,}, {run.drops} datagrams dropped by the kernel"
        found += [
            Row(f"DogStatsD, {name}: lines per CPU-second", "lines/s", Better.HIGHER,
                {OPSTRACE: run.heard / run.cpu_s}, float(LINES_PER_S)),
            Row(lost, "lines", Better.LOWER, {OPSTRACE: float(run.sent - run.heard)}, 0.0),
            Row(f"acknowledgement meanwhile ({LINES_PER_S // 1000} k lines/s), p99", "ms", Better.LOWER,
                {OPSTRACE: run.p99_s * 1000}, 100.0),
        ]  # fmt: skip
    return found


def measured(place: Path, datagrams: Sequence[tuple[bytes, int]]) -> Found:
    """Send at a steady pace to a fresh server, and payloads of an Agent beside that."""
    port = free_port()
    dogstatsd = {"enabled": True, "listeners": [{"url": f"udp://127.0.0.1:{port}"}]}
    start_s = int(time.time()) - 3600
    bodies = [
        payloads.v1(list(population(SERIES_A_PAYLOAD, number % 200, [(start_s + number // 200 * 10, 1.5)])))
        for number in range(PAYLOADS_PER_S * SENDING_S)
    ]
    with opstrace(place, dogstatsd=dogstatsd) as server:
        server.settle()
        cpu_s = server.cpu_s()
        enough = LINES_PER_S * SENDING_S
        sender = multiprocessing.Process(target=send, args=(port, datagrams, enough))
        sender.start()
        latencies = post_paced(server, "", V1, bodies, PAYLOADS_PER_S, SENDERS)
        sender.join()
        sent = heard = enough
        deadline = time.monotonic() + REPORTED_WITHIN_S
        while (heard := sum(counters(server, "lines_total"))) < sent and time.monotonic() < deadline:
            time.sleep(1)
        drops = sum(counters(server, "kernel_drops_total"))
        server.settle()
        p99_s = sorted(latencies)[int(0.99 * len(latencies))]
        return Found(sent, heard, drops, server.cpu_s() - cpu_s, p99_s)


def counters(server: Server, name: str) -> list[int]:
    """Return the values of one of the server's own counters about DogStatsD."""
    token = Path(f"/proc/{server.pid}/cwd", "tenant-api-token-system").read_text().strip()
    with connected(server) as connection:
        connection.request("GET", "/metrics", headers={"DD-API-KEY": token})
        text = connection.getresponse().read().decode()
    return [
        int(float(value)) for value in re.findall(rf"^opstrace_dogstatsd_{name}{{.*}} (\S+)$", text, re.MULTILINE)
    ]
