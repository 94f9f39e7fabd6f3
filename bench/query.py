"""What asking costs: the same data and the same questions everywhere, and answers that must agree.

10 k series over 1 h, a sample each 10 s, asked every 15 s; and over 24 h, a sample a minute, asked every 6 minutes.
All products get the same remote writes.
"""

import json
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

from bench.client import Spent, ask, ask_and_drop, connected, post, post_all, post_paced
from bench.intake import DATADOG_V1, PACED_SENDERS, paced_bodies
from bench.payloads import WRITE, Family, OneSeries, remote_write
from bench.process import Server
from bench.products import API, OPSTRACE, PRODUCTS, PROMETHEUS, VICTORIA
from bench.report import Better, Row

SERIES = 10_000
A_SHARD = 10
HOSTS = 100
INTAKE = Family("/intake/", "application/json", "identity")
BOUNDS = ("0.1", "0.2", "0.5", "1", "2", "5", "10", "20", "50", "+Inf")
SERIES_A_BODY = 2000
OFF_GRID_S = 3  # no sample lies on a window's edge, which Prometheus 2 counts in and Prometheus 3 does not
REPEATS, MOST_REPEATS = 5, 40
LONG_ENOUGH_S = 0.6  # for which a quick question is repeated
TOLERANCE = 1e-9
SAMPLE_BYTES = 16  # a timestamp and a value
LIGHT_MS = 20.0
DASHBOARD = 20
DELAY_MS = 100.0  # by which heavy queries may put an acknowledgement off
PACED_PER_S = 40
OPENED_AGAIN = 12
SHOWN_AFTER_S = 1.5  # VictoriaMetrics shows what came a second ago


@dataclass(frozen=True)
class Span:
    """A stretch of time: how long, how dense the samples are, how far apart the steps."""

    name: str
    length_s: int
    scrape_s: int
    step_s: int
    points_a_body: int

    @property
    def points(self) -> int:
        """How many samples a series has."""
        return self.length_s // self.scrape_s


# Bodies that are sent side by side span less than an hour: a Prometheus takes nothing older than that.
HOUR = Span("1 h", 3600, 10, 15, 36)
DAY = Span("24 h", 24 * 3600, 60, 360, 45)

# Name → expression. VictoriaMetrics extrapolates neither rate nor increase, and has steps of subqueries and
# quantiles of its own, so those of its answers are compared for their series only.
HEAVY: dict[str, str] = {
    "everything": "bench_requests",
    "sum by (rate)": "sum by (service) (rate(bench_requests[{window}]))",
    "max by (avg_over_time)": "max by (service) (avg_over_time(bench_requests[{window}]))",
    "max_over_time": "max_over_time(bench_requests[{window}])",
    "topk": "topk(5, bench_requests)",
    "quantile by": "quantile by (service) (0.9, bench_requests)",
    "count by, filtered": "count by (service) (bench_requests > 500)",
    "join": "bench_requests / on (service) group_left () sum by (service) (bench_requests)",
    "subquery": "max_over_time(sum by (service) (rate(bench_requests[{window}]))[{twice}:{window}])",
    "histogram_quantile": "histogram_quantile(0.9, sum by (service, le) (rate(bench_requests[{window}])))",
}
LIGHT: dict[str, str] = {"10 series of 10 k": 'bench_requests{{shard="7"}}'}
ITS_OWN_WAY = ("rate", "subquery", "quantile", "everything", "topk", "join")


def dataset(span: Span, start_s: int, first: int) -> Iterator[list[OneSeries]]:
    """Yield a piece of every series, a body's worth at a time: counters that grow by what their number says."""
    places = range(first, min(first + span.points_a_body, span.points))
    for low in range(0, SERIES, SERIES_A_BODY):
        yield [
            OneSeries(
                "bench_requests",
                f"host-{number % HOSTS:03d}",
                [
                    ("service", f"checkout-{number // A_SHARD % 20}"),
                    ("shard", str(number // A_SHARD)),
                    ("pod", f"pod-{number:05d}"),
                    ("le", BOUNDS[number % A_SHARD]),
                ],
                # No two are alike: which of two equal ones is the largest, each product says for itself.
                [(start_s + i * span.scrape_s, float(i * (1 + number % A_SHARD)) + number / 16384) for i in places],
            )
            for number in range(low, low + SERIES_A_BODY)
        ]


def queries(directory: Path, span: Span) -> list[Row]:
    """Return a row for each query: the median of the times to its whole answer."""
    start_s = (int(time.time()) - span.length_s - 3600) // 3600 * 3600
    files = _written(directory / "bodies", span, start_s)
    spent: dict[str, dict[str, Spent]] = {}
    answers: dict[str, dict[str, Any]] = {}
    for product in PRODUCTS:
        place = directory / f"query-{product}"
        place.mkdir()
        with PRODUCTS[product](place) as server:
            _load(server, files)
            for name, question in _questions(span, start_s).items():
                body, (of_product,) = _repeated(question, [server])
                answers.setdefault(name, {})[product] = question.read(body)
                spent.setdefault(name, {})[product] = of_product
    for name, of_products in answers.items():
        _same(name, of_products)
    return [
        Row(
            f"query {name}, {span.name}, {unit_of}",
            "ms",
            Better.LOWER,
            {
                product: (one.wall_s if unit_of == "wall" else one.cpu_s) * 1000
                for product, one in of_products.items()
            },
            LIGHT_MS if unit_of == "wall" and (name in LIGHT or name == "label values") else None,
        )
        for name, of_products in spent.items()
        for unit_of in ("wall", "CPU")
    ]


def opened(directory: Path) -> list[Row]:
    """Return the rows on a page that was not opened before, and one whose metric gets samples before each opening."""
    start_s = int(time.time()) - HOUR.length_s - OPENED_AGAIN * HOUR.scrape_s
    files = _written(directory / "bodies", HOUR, start_s)
    first: dict[str, float] = {}
    again: dict[str, float] = {}
    answers: dict[str, Any] = {}
    for product in PRODUCTS:
        place = directory / f"opened-{product}"
        place.mkdir()
        with PRODUCTS[product](place) as server:
            _load(server, files)
            first[product] = _dashboard(server, HOUR, start_s)[1].wall_s
            walls = []
            for n in range(OPENED_AGAIN):
                _extend(server, start_s, HOUR.points + n)
                time.sleep(SHOWN_AFTER_S)
                panels, spent = _dashboard(server, HOUR, start_s + (n + 1) * HOUR.scrape_s)
                walls.append(spent.wall_s)
            again[product], answers[product] = median(walls[1:]), _of_panels(panels)
    _same("dashboard", answers)
    return [
        Row(
            f"dashboard of {DASHBOARD} at once, {when}, wall",
            "ms",
            Better.LOWER,
            {p: s * 1000 for p, s in of.items()},
        )
        for when, of in (("opened first", first), ("while samples come", again))
    ]


def _extend(server: Server, start_s: int, point: int) -> None:
    """Send the next sample of every series."""
    longer = replace(HOUR, length_s=(point + 1) * HOUR.scrape_s, points_a_body=1)
    bodies = [remote_write(series) for series in dataset(longer, start_s, point)]
    post_all(server, API[server.product], WRITE, bodies, 2, settle=False)


def query_memory(directory: Path) -> list[Row]:
    """Return the rows on the memory of one query beyond what was there, of what it reads; ours alone."""
    start_s = (int(time.time()) - HOUR.length_s - 3600) // 3600 * 3600
    files = _written(directory / "bodies", HOUR, start_s)
    read = SERIES * HOUR.points * SAMPLE_BYTES
    with PRODUCTS[OPSTRACE](directory) as server:
        _load(server, files)
        # What a first query leaves behind (code, caches of the engine) is no other query's.
        others = [replace(one, metric="bench_others") for one in next(dataset(HOUR, start_s, 0))]
        post_all(server, API[OPSTRACE], WRITE, [remote_write(others)], 1)
        _range_of(server, "bench_others", HOUR, start_s)
        grown = [_grown(server, text.format(window="300s", twice="600s"), start_s) for text in HEAVY.values()]
    return [
        Row(f"memory of a query, samples {where}", "x", Better.LOWER, {OPSTRACE: bytes_ / read}, 2.0)
        for where, bytes_ in (("from the store", grown[0]), ("in memory already, at most", max(grown[1:])))
    ]


def _grown(server: Server, expression: str, start_s: int) -> int:
    before = server.rss_bytes()
    server.forget_peak()
    _range_of(server, expression, HOUR, start_s)
    return server.peak_bytes() - before


def beside_queries(directory: Path) -> list[Row]:
    """Return the rows on what heavy queries do to the time to an acknowledgement; ours alone.

    Small payloads of Agents wait for others to be committed with, those of other senders do not.
    """
    start_s = (int(time.time()) - HOUR.length_s - 3600) // 3600 * 3600
    files = _written(directory / "bodies", HOUR, start_s)
    way = DATADOG_V1[OPSTRACE]
    with ExitStack() as stack:
        server = stack.enter_context(PRODUCTS[OPSTRACE](directory))
        _load(server, files)
        bodies = paced_bodies(way, PACED_PER_S)

        def p99_of(senders: Server) -> float:
            latencies = post_paced(senders, way.prefix, way.family, bodies, PACED_PER_S, PACED_SENDERS)
            return sorted(latencies)[int(0.99 * len(latencies))]

        # Whoever comes first makes the series known, which takes longer than what is compared.
        p99_of(server)
        senders = {"of an Agent": server.of_agents(), "of another sender": server}
        undisturbed = {name: p99_of(one) for name, one in senders.items()}
        pool = stack.enter_context(ThreadPoolExecutor(2))
        done: list[bool] = []
        asking = [pool.submit(_ask_until, server, start_s, done) for _ in range(2)]
        beside = {name: p99_of(one) for name, one in senders.items()}
        done.append(True)
        answered = sum(one.result() for one in asking)
    if not answered:
        raise SystemExit("bench: no heavy query was answered beside the intake")
    return [
        Row(
            f"acknowledgement {name} beside heavy queries, added to p99",
            "ms",
            Better.LOWER,
            {OPSTRACE: (beside[name] - undisturbed[name]) * 1000},
            DELAY_MS,
        )
        for name in senders
    ]


def _ask_until(server: Server, start_s: int, done: Sequence[bool]) -> int:
    answered = 0
    while not done:
        expression = HEAVY["max_over_time"].format(window="300s")
        ask_and_drop(server, f"{API[server.product]}/query_range", _of_range(expression, HOUR, start_s))
        answered += 1
    return answered


# ---------------------------------------------------------------------------------------------------------------
# Data


def _written(directory: Path, span: Span, start_s: int) -> list[list[Path]]:
    """Write the bodies once; those of one stretch of time together, as they may be sent side by side."""
    directory.mkdir()
    stretches = []
    for first in range(0, span.points, span.points_a_body):
        stretch = []
        for number, series in enumerate(dataset(span, start_s, first)):
            path = directory / f"{first}-{number}"
            path.write_bytes(remote_write(series))
            stretch.append(path)
        stretches.append(stretch)
    return stretches


def _load(server: Server, files: Sequence[Sequence[Path]]) -> None:
    for stretch in files:
        post_all(server, API[server.product], WRITE, [path.read_bytes() for path in stretch], 2, settle=False)
    server.settle()


# ---------------------------------------------------------------------------------------------------------------
# Questions


@dataclass(frozen=True)
class Question:
    """What is asked of each product alike, and how its answer is read."""

    once: Callable[[Server], tuple[Any, Spent]]
    read: Callable[[Any], dict[str, list[float]]]


def _questions(span: Span, start_s: int) -> dict[str, Question]:
    window_s = span.scrape_s * 30
    texts = {
        name: text.format(window=f"{window_s}s", twice=f"{2 * window_s}s") for name, text in (LIGHT | HEAVY).items()
    }

    def ranged(text: str) -> Question:
        return Question(lambda server: _range_of(server, text, span, start_s), _values)

    asked = {name: ranged(text) for name, text in texts.items()}
    return {
        **asked,
        "label values": Question(lambda server: _label_values(server, span, start_s), _listed),
        f"dashboard of {DASHBOARD} at once": Question(lambda server: _dashboard(server, span, start_s), _of_panels),
    }


def _repeated(question: Question, servers: Sequence[Server]) -> tuple[Any, list[Spent]]:
    """Ask the servers in turn; return the last answer, and the medians over each one's repetitions.

    The first one warms up and is not counted.
    """
    rounds: list[list[Spent]] = []
    body = None
    while len(rounds) < REPEATS or (
        len(rounds) < MOST_REPEATS and sum(one[0].wall_s for one in rounds) < LONG_ENOUGH_S
    ):
        spent = []
        for server in servers:
            body, one = question.once(server)
            spent.append(one)
        rounds.append(spent)
    assert body is not None
    return body, [
        Spent(median(one.wall_s for one in counted), sum(one.cpu_s for one in counted) / len(counted))
        for counted in zip(*rounds[1:], strict=True)
    ]


def _bounds(span: Span, start_s: int) -> dict[str, str]:
    first_s, last_s = start_s + span.scrape_s * 30 + OFF_GRID_S, start_s + span.length_s - OFF_GRID_S
    return {"start": str(first_s), "end": str(last_s)}


def _range_of(server: Server, expression: str, span: Span, start_s: int) -> tuple[bytes, Spent]:
    return ask(server, f"{API[server.product]}/query_range", _of_range(expression, span, start_s))


def _of_range(expression: str, span: Span, start_s: int) -> dict[str, str]:
    return {"query": expression, **_bounds(span, start_s), "step": f"{span.step_s}s", "nocache": "1"}


def _label_values(server: Server, span: Span, start_s: int) -> tuple[bytes, Spent]:
    parameters = {"match[]": "bench_requests", **_bounds(span, start_s)}
    return ask(server, f"{API[server.product]}/label/shard/values", parameters)


def _dashboard(server: Server, span: Span, start_s: int) -> tuple[list[bytes], Spent]:
    """Ask for what the panels of a page show, all at once; the page is there when the last one is."""
    window = f"{span.scrape_s * 30}s"
    panels = [
        f'sum by (le) (rate(bench_requests{{service="checkout-{number}"}}[{window}]))' for number in range(DASHBOARD)
    ]
    cpu_s, started = server.cpu_s(), time.monotonic()
    with ThreadPoolExecutor(DASHBOARD) as pool:
        answers = list(pool.map(lambda panel: _range_of(server, panel, span, start_s)[0], panels))
    return answers, Spent(time.monotonic() - started, server.cpu_s() - cpu_s)


def _listed(body: bytes) -> dict[str, list[float]]:
    return {value: [] for value in json.loads(body)["data"]}


def _of_panels(bodies: Sequence[bytes]) -> dict[str, list[float]]:
    return {f"{n} {key}": values for n, body in enumerate(bodies) for key, values in _values(body).items()}


def _values(body: bytes) -> dict[str, list[float]]:
    """Return each series' values under its labels, without those of the metric's own type."""
    return {
        ",".join(f"{k}={v}" for k, v in sorted(row["metric"].items()) if k in {"service", "shard", "pod", "le"}): [
            float(value) for _, value in row["values"]
        ]
        for row in json.loads(body)["data"]["result"]
    }


def _same(name: str, answers: Mapping[str, Mapping[str, Sequence[float]]]) -> None:
    """End the bench when the products did not answer the same question."""
    ours = answers[OPSTRACE]
    for peer in (PROMETHEUS, VICTORIA):
        theirs = answers[peer]
        same = ours.keys() == theirs.keys()
        if same and not (peer == VICTORIA and any(word in name for word in ("dashboard", *ITS_OWN_WAY))):
            same = all(_close(ours[key], theirs[key]) for key in ours)
        if not same or not ours:
            raise SystemExit(f"bench: opstrace and {peer} answer {name!r} differently")


def _close(ours: Sequence[float], theirs: Sequence[float]) -> bool:
    return len(ours) == len(theirs) and all(
        math.isclose(a, b, rel_tol=TOLERANCE) for a, b in zip(ours, theirs, strict=True)
    )


# ---------------------------------------------------------------------------------------------------------------
# Tags of hosts


def host_tags(directory: Path) -> list[Row]:
    """Return a row for each query of hosts with tags: these are joined, and may cost a fifth more than without.

    Two servers with the same samples are asked in turn, so that what the machine does meanwhile happens to both.
    """
    start_s = (int(time.time()) - HOUR.length_s - 3600) // 3600 * 3600
    files = _written(directory / "bodies", HOUR, start_s)
    with ExitStack() as stack:
        servers = [_loaded(stack, directory / name, files) for name in ("plain", "tagged")]
        _tag_hosts(servers[1])
        spent = {name: _repeated(question, servers)[1] for name, question in _questions(HOUR, start_s).items()}
    return [
        Row(f"{name}, hosts tagged, wall", "ms", Better.LOWER, {OPSTRACE: tagged.wall_s * 1000}, plain.wall_s * 1200)
        for name, (plain, tagged) in spent.items()
    ]


def _loaded(stack: ExitStack, directory: Path, files: Sequence[Sequence[Path]]) -> Server:
    directory.mkdir()
    server = stack.enter_context(PRODUCTS[OPSTRACE](directory))
    _load(server, files)
    return server


def _tag_hosts(server: Server) -> None:
    """Send the tags of all hosts of the data set, as their Agents would."""
    with connected(server) as connection:
        for number in range(HOSTS):
            tags = ["team:shop", f"zone:eu-{number % 3}", f"rack:{number % 20}", "os:linux", f"image:v{number % 7}"]
            document = {"internalHostname": f"host-{number:03d}", "host-tags": {"system": tags}}
            post(connection, server, "", INTAKE, json.dumps(document).encode())
