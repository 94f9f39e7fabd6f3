"""What the other kinds of payloads cost: metrics v3 and sketches a point, beside v2, and logs a line."""

import json
import time
import zlib
from collections.abc import Sequence
from pathlib import Path
from statistics import median

from bench.client import post_all
from bench.payloads import LOGS, SKETCHES, V2, V3, Family, OneSeries, population, v2
from bench.products import OPSTRACE, PRODUCTS
from bench.report import Better, Row
from end_to_end import columnar, wire

SERIES_A_BODY = 5000
BODIES = 64
SENDERS = 4
LOG_SENDERS = 16
LINES_A_BODY = 1000
LOG_BODIES = 400
HOURS_BACK_S = 3600
STEP_S = 10
LINES_PER_CPU_S = 100_000.0
_VALUES = [round(0.001 * 1.17**n, 6) for n in range(30)]  # of one distribution and 10 s


def families(directory: Path, runs: int) -> list[Row]:
    """Return a row for each kind of payload; a point of v3, and a sketch, are to cost what a point of v2 does."""
    start_s = int(time.time()) - HOURS_BACK_S
    points = {
        "v2 protobuf": (V2, [v2(series) for series in _rounds(start_s)]),
        "v3 protobuf": (V3, [_v3(series) for series in _rounds(start_s)]),
        "sketches": (SKETCHES, [_sketches(series) for series in _rounds(start_s)]),
    }
    rates = {name: _rate(directory, name, *sent, SERIES_A_BODY, SENDERS, runs) for name, sent in points.items()}
    rows = [
        Row(
            f"{name}, known series: points per CPU-second",
            "points/s",
            Better.HIGHER,
            {OPSTRACE: rate},
            None if name == "v2 protobuf" else rates["v2 protobuf"],
        )
        for name, rate in rates.items()
    ]
    logs = [_logs(start_s + n) for n in range(LOG_BODIES)]
    lines = _rate(directory, "logs", LOGS, logs, LINES_A_BODY, LOG_SENDERS, runs)
    return [*rows, Row("logs: lines per CPU-second", "lines/s", Better.HIGHER, {OPSTRACE: lines}, LINES_PER_CPU_S)]


def _rate(
    directory: Path, name: str, family: Family, bodies: Sequence[bytes], things: int, senders: int, runs: int
) -> float:
    """Return how many things a CPU-second takes in; the first bodies make the series known, and do not count."""
    found = []
    for run in range(runs):
        place = directory / f"{name.split()[0]}-{run}"
        place.mkdir()
        with PRODUCTS[OPSTRACE](place) as server:
            post_all(server, "", family, bodies[:senders], senders)
            spent = post_all(server, "", family, bodies[senders:], senders)
        found.append((len(bodies) - senders) * things / spent.cpu_s)
    return median(found)


def _rounds(start_s: int) -> list[list[OneSeries]]:
    """Return the same series of each sender, at one time after another."""
    return [
        list(population(SERIES_A_BODY, number % SENDERS, [(start_s + number // SENDERS * STEP_S, 1.5)]))
        for number in range(BODIES)
    ]


def _v3(series: Sequence[OneSeries]) -> bytes:
    document = [
        {
            "metric": one.metric,
            "type": "gauge",
            "points": one.points,
            "tags": [f"{key}:{value}" for key, value in one.tags],
            "resources": [["host", one.host]],
        }
        for one in series
    ]
    return zlib.compress(columnar.payload({"series": document}), 6)


def _sketches(series: Sequence[OneSeries]) -> bytes:
    bins = sorted({1338 + n * 10 for n in range(len(_VALUES))})
    sketch = {
        "cnt": len(_VALUES),
        "min": min(_VALUES),
        "max": max(_VALUES),
        "avg": sum(_VALUES) / len(_VALUES),
        "sum": sum(_VALUES),
        "k": bins,
        "n": [1] * len(bins),
    }
    document = [
        {
            "metric": one.metric,
            "host": one.host,
            "tags": [f"{key}:{value}" for key, value in one.tags],
            "dogsketches": [{"ts": timestamp, **sketch} for timestamp, _ in one.points],
        }
        for one in series
    ]
    return zlib.compress(wire.sketch_payload({"sketches": document}), 6)


def _logs(second: int) -> bytes:
    document = [
        {
            "message": f'10.0.{n % 256}.7 - - "GET /cart/{second}/{n} HTTP/1.1" 200 {n * 37} "-" "Mozilla/5.0 (X11)"',
            "status": "info",
            "timestamp": second * 1000 + n % 1000,
            "hostname": f"host-{n % 20:03d}",
            "service": f"checkout-{n % 5}",
            "ddsource": "nginx",
            "ddtags": f"env:production,region:eu-west-{n % 3},filename:access.log",
        }
        for n in range(LINES_A_BODY)
    ]
    return zlib.compress(json.dumps(document, separators=(",", ":")).encode(), 6)
