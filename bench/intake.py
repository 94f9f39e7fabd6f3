"""What taking data in costs: series per CPU-second and per second, and how long an acknowledgement takes."""

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from bench import payloads
from bench.client import Spent, post_all, post_paced
from bench.payloads import V1, V2, WRITE, Family, OneSeries, population
from bench.process import Server
from bench.products import API, DATADOG_API, OPSTRACE, PRODUCTS, PROMETHEUS, VICTORIA
from bench.report import Better, Row

SERIES_A_BODY = 5000
BODIES = 60
SENDERS = 4
PACED_SERIES_A_BODY = 500
PACED_SERIES_PER_S = 20_000
PACED_S = 15
PACED_SENDERS = 16
LITTLE_A_SECOND = 15
LITTLE_SERIES = 100
HOURS_BACK_S = 3600
STEP_S = 10

Encode = Callable[[Sequence[OneSeries]], bytes]


@dataclass(frozen=True)
class Way:
    """How one product is sent series: where, in which format, made by what."""

    prefix: str
    family: Family
    encode: Encode


DATADOG_V1 = {product: Way(DATADOG_API[product], V1, payloads.v1) for product in (OPSTRACE, VICTORIA)}
REMOTE_WRITE = Way(API[PROMETHEUS], WRITE, payloads.remote_write)
# VictoriaMetrics of Debian knows v1 only, Prometheus nothing of Datadog's: each is sent what it understands best.
FORMATS: dict[str, dict[str, Way]] = {
    "v1 JSON": {**DATADOG_V1, PROMETHEUS: REMOTE_WRITE},
    "v2 protobuf": {
        OPSTRACE: Way(DATADOG_API[OPSTRACE], V2, payloads.v2),
        VICTORIA: DATADOG_V1[VICTORIA],
        PROMETHEUS: REMOTE_WRITE,
    },
}
TARGETS = {"v1 JSON": 300_000.0}  # series per CPU-second


def known_bodies(way: Way, start_s: int, rounds: int) -> list[bytes]:
    """Return bodies that repeat the same series, some for each sender, at one time after another."""
    return [
        way.encode(list(population(SERIES_A_BODY, sender, [(start_s + number * STEP_S, 1.5)])))
        for number in range(rounds)
        for sender in range(SENDERS)
    ]


def new_bodies(way: Way, start_s: int, generation: int) -> list[bytes]:
    """Return bodies none of whose series was seen before."""
    return [way.encode(list(population(SERIES_A_BODY, generation + n, [(start_s, 1.5)]))) for n in range(BODIES)]


def throughput(directory: Path, runs: int) -> list[Row]:
    """Return the rows on series per CPU-second and per second, a fresh store for each run and product."""
    found: dict[tuple[str, str, str], list[Spent]] = {}
    for run in range(runs):
        for wire_format, ways in FORMATS.items():
            for product, way in ways.items():
                place = directory / f"intake-{wire_format.split()[0]}-{product}-{run}"
                place.mkdir()
                for kind, spent in _one_run(place, product, way).items():
                    found.setdefault((wire_format, kind, product), []).append(spent)
    return _rows(found)


def _one_run(place: Path, product: str, way: Way) -> dict[str, Spent]:
    start_s = int(time.time()) - HOURS_BACK_S
    first, known = known_bodies(way, start_s - STEP_S, 1), known_bodies(way, start_s, BODIES // SENDERS)
    new = new_bodies(way, start_s, SENDERS)
    with PRODUCTS[product](place) as server:
        post_all(server, way.prefix, way.family, first, SENDERS)
        return {
            "known": post_all(server, way.prefix, way.family, known, SENDERS),
            "new": post_all(server, way.prefix, way.family, new, SENDERS),
        }


def _rows(found: dict[tuple[str, str, str], list[Spent]]) -> list[Row]:
    rows = []
    for wire_format in FORMATS:
        for kind in ("known", "new"):
            name = f"intake {wire_format}, {kind} series"
            spent = {product: runs for (f, k, product), runs in found.items() if (f, k) == (wire_format, kind)}
            rows.append(_row(f"{name}: per CPU-second", spent, lambda one: one.cpu_s, TARGETS.get(wire_format)))
            rows.append(_row(f"{name}: per second", spent, lambda one: one.wall_s, None))
    return rows


def _row(name: str, spent: dict[str, list[Spent]], seconds: Callable[[Spent], float], target: float | None) -> Row:
    series = BODIES * SERIES_A_BODY
    rates = {product: median(series / seconds(one) for one in runs) for product, runs in spent.items()}
    return Row(name, "series/s", Better.HIGHER, rates, target)


def acknowledgement(directory: Path) -> list[Row]:
    """Return the row on the time to an acknowledgement at a steady rate; only ours means that the data is on disk."""
    rate = PACED_SERIES_PER_S / PACED_SERIES_A_BODY
    slowest: dict[str, float] = {}
    for product, way in DATADOG_V1.items():
        place = directory / f"paced-{product}"
        place.mkdir()
        with ExitStack() as stack:
            server = stack.enter_context(PRODUCTS[product](place))
            latencies = post_paced(server, way.prefix, way.family, paced_bodies(way, rate), rate, PACED_SENDERS)
        slowest[product] = sorted(latencies)[int(0.99 * len(latencies))] * 1000
    return [Row("acknowledgement at 20 k series/s, p99", "ms", Better.LOWER, slowest, 300.0)]


def agents(directory: Path) -> list[Row]:
    """Return the row on what Agents cost that send a little each: most of it is the price of a commit."""
    burnt: dict[str, float] = {}
    for product, way in DATADOG_V1.items():
        place = directory / f"agents-{product}"
        place.mkdir()
        with PRODUCTS[product](place) as started:
            server = started.of_agents()
            bodies = paced_bodies(way, LITTLE_A_SECOND, LITTLE_SERIES, STEP_S + PACED_S)
            first, others = bodies[: STEP_S * LITTLE_A_SECOND], bodies[STEP_S * LITTLE_A_SECOND :]
            post_paced(server, way.prefix, way.family, first, LITTLE_A_SECOND, PACED_SENDERS)
            server.settle()
            cpu_s = server.cpu_s()
            post_paced(server, way.prefix, way.family, others, LITTLE_A_SECOND, PACED_SENDERS)
            burnt[product] = 100 * (server.cpu_s() - cpu_s) / PACED_S
    name = f"{LITTLE_A_SECOND} payloads a second of {LITTLE_SERIES} series: CPU"
    return [Row(name, "% of a core", Better.LOWER, burnt)]


def paced_bodies(way: Way, rate: float, series: int = PACED_SERIES_A_BODY, seconds: float = PACED_S) -> list[bytes]:
    """Return the bodies of many Agents, so many series each, sent round and round, a point later each time."""
    start_s, agents = int(time.time()) - HOURS_BACK_S, round(rate * STEP_S)
    return [
        way.encode(list(population(series, number % agents, [(start_s + number // agents * STEP_S, 1.5)])))
        for number in range(round(rate * seconds))
    ]


def idle(directory: Path) -> list[Row]:
    """Return the rows on a server with nothing in it: how soon it is ready, what it occupies."""
    ready: dict[str, float] = {}
    resident: dict[str, float] = {}
    for product, start in PRODUCTS.items():
        place = directory / f"idle-{product}"
        place.mkdir()
        with start(place) as server:
            server.settle()
            ready[product], resident[product] = server.ready_s, _mib(server)
    return [
        Row("start to ready, empty store", "s", Better.LOWER, ready, 3.0),
        Row("memory when idle (RSS)", "MiB", Better.LOWER, resident, 400.0),
    ]


def _mib(server: Server) -> float:
    return server.rss_bytes() / 2**20
