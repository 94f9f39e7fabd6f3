"""What asking costs: five queries over 10 k series × 1 h at 10 s, the same data and the same answers everywhere."""

import json
import math
import subprocess
import time
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import Any

from bench.client import Spent, ask, connected, post, post_all
from bench.intake import DATADOG_V1
from bench.payloads import Family, OneSeries, labels
from bench.process import Server
from bench.products import API, OPSTRACE, PRODUCTS, PROMETHEUS, VICTORIA, program
from bench.report import Better, Row

SERIES = 10_000
SPAN_S, SCRAPE_S, STEP_S = 3600, 10, 15
POINTS = SPAN_S // SCRAPE_S
POINTS_A_BODY = 18
HOSTS = 100
INTAKE = Family("/intake/", "application/json", "identity")
SHARDS = 1000
OFF_GRID_S = 3  # no sample lies on a window's edge, which Prometheus 2 counts in and Prometheus 3 does not
REPEATS = 7
TOLERANCE = 1e-9

# Name → expression, target in ms. VictoriaMetrics extrapolates neither rate nor increase, so those of its answers
# are compared for their shape only.
QUERIES: dict[str, tuple[str, float | None]] = {
    "10 series of 10 k": ('bench_requests{shard="7"}', 30.0),
    "sum by (rate)": ("sum by (service) (rate(bench_requests[5m]))", None),
    "max by (avg_over_time)": ("max by (service) (avg_over_time(bench_requests[5m]))", None),
    "quantile by": ("quantile by (service) (0.9, bench_requests)", None),
    "count by, filtered": ("count by (service) (bench_requests > 500)", None),
}


def dataset(start_s: int, first: int, points: int) -> list[OneSeries]:
    """Return a piece of every series: counters that grow by what their number says."""
    return [
        OneSeries(
            "bench_requests",
            f"host-{number % HOSTS:03d}",
            [("service", f"checkout-{number % 20}"), ("shard", str(number % SHARDS)), ("pod", f"pod-{number:05d}")],
            [(start_s + i * SCRAPE_S, float(i * (1 + number % 10))) for i in range(first, first + points)],
        )
        for number in range(SERIES)
    ]


def queries(directory: Path) -> list[Row]:
    """Return a row for each query: the median of the times to its whole answer."""
    start_s = (int(time.time()) - 3 * SPAN_S) // SPAN_S * SPAN_S
    spent: dict[str, dict[str, Spent]] = {name: {} for name in QUERIES}
    answers: dict[str, dict[str, Any]] = {name: {} for name in QUERIES}
    for product in PRODUCTS:
        place = directory / f"query-{product}"
        place.mkdir()
        with ExitStack() as stack:
            server = _loaded(stack, place, product, start_s)
            for name, (expression, _) in QUERIES.items():
                answers[name][product], spent[name][product] = _asked(server, expression, start_s)
    for name, of_products in answers.items():
        _same(name, of_products)
    return [
        Row(f"query {name}, {unit_of}", "ms", Better.LOWER, _milliseconds(spent[name], unit_of), target)
        for name, (_, wall_target) in QUERIES.items()
        for unit_of, target in (("wall", wall_target), ("CPU", None))
    ]


def host_tags(directory: Path) -> list[Row]:
    """Return a row for each query of hosts with tags: these are joined, and may cost a fifth more than without."""
    start_s = (int(time.time()) - 3 * SPAN_S) // SPAN_S * SPAN_S
    rows = []
    place = directory / "host-tags"
    place.mkdir()
    with ExitStack() as stack:
        server = _loaded(stack, place, OPSTRACE, start_s)
        plain = {name: _asked(server, expression, start_s)[1] for name, (expression, _) in QUERIES.items()}
        _tag_hosts(server)
        for name, (expression, _) in QUERIES.items():
            wall_ms = _asked(server, expression, start_s)[1].wall_s * 1000
            target = plain[name].wall_s * 1000 * 1.2
            rows.append(Row(f"query {name}, hosts tagged, wall", "ms", Better.LOWER, {OPSTRACE: wall_ms}, target))
    return rows


def _tag_hosts(server: Server) -> None:
    """Send the tags of all hosts of the data set, as their Agents would."""
    with connected(server) as connection:
        for number in range(HOSTS):
            tags = ["team:shop", f"zone:eu-{number % 3}", f"rack:{number % 20}", "os:linux", f"image:v{number % 7}"]
            document = {"internalHostname": f"host-{number:03d}", "host-tags": {"system": tags}}
            post(connection, server, "", INTAKE, json.dumps(document).encode())


def _milliseconds(spent: dict[str, Spent], kind: str) -> dict[str, float]:
    return {product: (one.wall_s if kind == "wall" else one.cpu_s) * 1000 for product, one in spent.items()}


def _loaded(stack: ExitStack, place: Path, product: str, start_s: int) -> Server:
    """Return a server with the data set in it, at rest."""
    if product == PROMETHEUS:
        _write_blocks(place, start_s)
    server = stack.enter_context(PRODUCTS[product](place))
    if product != PROMETHEUS:
        _post_dataset(server, start_s)
    server.settle()
    return server


def _post_dataset(server: Server, start_s: int) -> None:
    way = DATADOG_V1[server.product]
    for first in range(0, POINTS, POINTS_A_BODY):
        series = dataset(start_s, first, POINTS_A_BODY)
        bodies = [way.encode(series[n : n + 2000]) for n in range(0, SERIES, 2000)]
        post_all(server, way.prefix, way.family, bodies, 2, settle=False)


def _write_blocks(place: Path, start_s: int) -> None:
    """Lay the data set into Prometheus's directory as blocks, with its own tool."""
    text = place / "dataset.openmetrics"
    with text.open("w") as file:
        file.write("# TYPE bench_requests gauge\n")
        for one in dataset(start_s, 0, POINTS):
            pairs = ",".join(f'{name}="{value}"' for name, value in labels(one).items() if name != "__name__")
            file.writelines(f"bench_requests{{{pairs}}} {value} {at_s}\n" for at_s, value in one.points)
        file.write("# EOF\n")
    command = [program(PROMETHEUS, "promtool"), "tsdb", "create-blocks-from", "openmetrics", str(text)]
    subprocess.run([*command, str(place / "prometheus")], check=True, capture_output=True)
    text.unlink()


def _asked(server: Server, expression: str, start_s: int) -> tuple[Any, Spent]:
    """Return the answer, and the medians over the repetitions; the first one warms up and is not counted."""
    first_s, last_s = start_s + 300 + OFF_GRID_S, start_s + SPAN_S - OFF_GRID_S
    bounds = {"start": str(first_s), "end": str(last_s), "step": f"{STEP_S}s", "nocache": "1"}
    tries = [
        ask(server, f"{API[server.product]}/query_range", {"query": expression, **bounds}) for _ in range(REPEATS)
    ]
    spent = [one for _, one in tries[1:]]
    typical = Spent(median(one.wall_s for one in spent), sum(one.cpu_s for one in spent) / len(spent))
    return _values(json.loads(tries[-1][0])["data"]["result"]), typical


def _values(result: Any) -> dict[str, list[float]]:
    """Return each series' values under the labels that all three products give it."""
    return {
        ",".join(f"{k}={v}" for k, v in sorted(row["metric"].items()) if k in {"service", "shard", "pod"}): [
            float(value) for _, value in row["values"]
        ]
        for row in result
    }


def _same(name: str, answers: dict[str, dict[str, list[float]]]) -> None:
    """End the bench when the products did not answer the same question."""
    ours = answers[OPSTRACE]
    for peer in (PROMETHEUS, VICTORIA):
        theirs = answers[peer]
        same = ours.keys() == theirs.keys()
        if same and not (peer == VICTORIA and "rate" in name):
            same = all(_close(ours[key], theirs[key]) for key in ours)
        if not same:
            raise SystemExit(f"bench: opstrace and {peer} answer {name!r} differently")


def _close(ours: list[float], theirs: list[float]) -> bool:
    return len(ours) == len(theirs) and all(
        math.isclose(a, b, rel_tol=TOLERANCE) for a, b in zip(ours, theirs, strict=True)
    )
