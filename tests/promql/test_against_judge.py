"""Random queries over random data: the engine must say what the slow evaluator says."""

import math
import struct
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from opstrace.errors import ExecutionError, QueryError
from opstrace.promql.engine import Engine, Result
from opstrace.promql.parser import parse
from opstrace.promql.testscript import FreshTenants
from opstrace.promql.tree import Aggregate, Node, Paren
from opstrace.store.backend import Backend, Block, Querier
from opstrace.store.budget import Budget
from opstrace.store.embedded import temporary_store
from opstrace.store.traits import STALE
from promql.judge import Data, Key, Unjudgeable, judge, key
from promql.memory_store import MemoryStore

TENANT = "t"
STEP_MS = 15_000

# ---------------------------------------------------------------------------------------------------------------
# Data: few values, so that they meet; all exact enough for sums in any order

NUMBERS = [0.0, -0.0, 1.0, 2.0, 3.0, 0.5, -1.5, 10.0, 1e6, 1.1]
SPECIALS = [math.nan, math.inf, -math.inf]


@st.composite
def moments(draw: st.DrawFn) -> list[int]:
    """When a series was sampled: with gaps, at even times or not."""
    jitter = draw(st.sampled_from((0, 0, 1, 7_000)))
    there = draw(st.lists(st.sampled_from((True,) * 8 + (False, False)), max_size=30))
    return [index * STEP_MS + draw(st.integers(0, jitter)) for index, taken in enumerate(there) if taken]


@st.composite
def points(
    draw: st.DrawFn,
    times_ms: Sequence[int] | None = None,
    kinds: Sequence[str] = ("counter", "gauge", "special"),
) -> list[tuple[int, float | None]]:
    """A series: a counter with resets, or a gauge; with stale markers."""
    kind = draw(st.sampled_from(kinds))
    series: list[tuple[int, float | None]] = []
    total = 0.0
    for at_ms in draw(moments()) if times_ms is None else times_ms:
        if draw(st.integers(0, 9)) == 0:
            series.append((at_ms, None))
        elif kind == "counter":
            total = 0.0 if draw(st.integers(0, 9)) == 0 else total + draw(st.sampled_from((0.0, 1.0, 2.0, 7.5)))
            series.append((at_ms, total))
        else:
            pool = NUMBERS + SPECIALS if kind == "special" else NUMBERS
            series.append((at_ms, draw(st.sampled_from(pool))))
    return series


SERIES = [
    key({"__name__": name, "a": a, "b": b}) for name in ("m", "n_total") for a in ("1", "2") for b in ("x", "y", "")
]


BUCKETS = [key({"__name__": "h_bucket", "a": a, "le": le}) for a in ("1", "2") for le in ("-1", "0.5", "2", "+Inf")]


@st.composite
def datas(draw: st.DrawFn) -> Data:
    chosen = draw(st.lists(st.sampled_from(SERIES), max_size=6, unique=True))
    times_ms = draw(st.none() | moments())  # the same for all, as of what is sent together
    return {one: draw(points(times_ms)) for one in chosen}


@st.composite
def histograms(draw: st.DrawFn) -> Data:
    chosen = draw(st.lists(st.sampled_from(BUCKETS), max_size=6, unique=True))
    times_ms = draw(st.none() | moments())
    return {one: draw(points(times_ms, ("counter",))) for one in chosen}


# ---------------------------------------------------------------------------------------------------------------
# Queries

SCALARS = ("0", "1", "2.5", "-1", "NaN", "Inf", "1e3", "0.5")
SPANS = ("15s", "30s", "1m", "100s", "3m", "7001ms")
STEPS = ("", "15s", "20s", "1m", "7s")
MATCHERS = ("", '{a="1"}', '{b=""}', '{a!="1"}', '{b=~"x|y"}', '{b!~"x"}', '{a=~".+", b="y"}')
AT = ("", "", "", " @ 60", " @ 100.5", " @ start()", " @ end()", " @ 0")
OFFSET = ("", "", "", " offset 15s", " offset 1m", " offset -30s")
STRATEGIES = ("", ", 0", ", 1", ", 2", ", 1.5", ", time() / 30 % 3")
ROLLUPS = (
    *("avg_over_time", "changes", "count_over_time", "delta", "deriv", "first_over_time", "idelta", "increase"),
    *("irate", "last_over_time", "mad_over_time", "max_over_time", "min_over_time", "present_over_time", "rate"),
    *("resets", "stddev_over_time", "stdvar_over_time", "sum_over_time", "absent_over_time"),
)
ELEMENTWISE = (
    *("abs", "ceil", "exp", "floor", "ln", "log10", "log2", "sgn", "sqrt", "deg", "rad", "timestamp", "absent"),
    "sort",
)
DATES = ("day_of_month", "day_of_week", "day_of_year", "days_in_month", "hour", "minute", "month", "year")
GROUPINGS = ("", " by (a)", " by (a, b)", " without (a)", " without ()", " by (c)")
AGGREGATIONS = ("sum", "avg", "min", "max", "count", "group", "stddev", "stdvar")
ARITHMETIC = ("+", "-", "*", "/", "%", "^", "atan2")
COMPARISONS = ("==", "!=", "<", ">", "<=", ">=")
MATCHINGS = ("", " on (a)", " on (a, b)", " ignoring (b)", " ignoring (a)", " on ()")
CARDS = ("", "", " group_left ()", " group_left (b)", " group_right ()", " group_right (c)")


def selectors() -> st.SearchStrategy[str]:
    return st.builds("".join, st.tuples(st.sampled_from(("m", "n_total")), st.sampled_from(MATCHERS)))


def modified(text: str) -> st.SearchStrategy[str]:
    return st.builds(lambda offset, at: text + offset + at, st.sampled_from(OFFSET), st.sampled_from(AT))


def ranges(vectors: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    plain = st.builds(lambda one, span: f"{one}[{span}]", selectors(), st.sampled_from(SPANS))
    nested = st.builds(
        lambda one, span, step: f"({one})[{span}:{step}]", vectors, st.sampled_from(SPANS), st.sampled_from(STEPS)
    )
    return st.one_of(plain, plain, nested).flatmap(modified)


def scalars(vectors: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.one_of(st.sampled_from(SCALARS), st.just("time()"), vectors.map(lambda one: f"scalar({one})"))


def operations(
    left: st.SearchStrategy[str], right: st.SearchStrategy[str], matching: str, card: str
) -> st.SearchStrategy[str]:
    arithmetic = st.sampled_from([f" {op}{matching}{card} " for op in ARITHMETIC])
    comparisons = st.sampled_from([f" {op}{mode}{matching}{card} " for op in COMPARISONS for mode in ("", " bool")])
    return st.builds(lambda one, op, two: f"({one}){op}({two})", left, st.one_of(arithmetic, comparisons), right)


# A label that a clause already matches on cannot be copied over as well.
CLAUSES = [("", ""), *((matching, card) for matching in MATCHINGS if matching for card in CARDS)]
CLAUSES = [(on, card) for on, card in CLAUSES if not (on == " on (a, b)" and "(b)" in card)]


def joined(vectors: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.sampled_from(CLAUSES).flatmap(lambda clause: operations(vectors, vectors, *clause))


def larger(vectors: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """Whatever makes a vector out of vectors."""
    numbers = scalars(vectors)
    return st.one_of(
        st.builds(lambda name, one: f"{name}({one})", st.sampled_from(ROLLUPS), ranges(vectors)),
        st.builds(lambda name, one: f"{name}({one})", st.sampled_from(ELEMENTWISE), vectors),
        st.builds(lambda q, one: f"quantile_over_time({q}, {one})", numbers, ranges(vectors)),
        st.builds(lambda one, rule: f"integral({one}{rule})", ranges(vectors), st.sampled_from(STRATEGIES)),
        st.builds(lambda one, ahead: f"predict_linear({one}, {ahead})", ranges(vectors), st.sampled_from(SCALARS)),
        st.builds(lambda one, to: f"round({one}, {to})", vectors, st.sampled_from(("1", "2.5", "0.5", "10"))),
        st.builds(lambda one, low, high: f"clamp({one}, {low}, {high})", vectors, numbers, numbers),
        st.builds(
            lambda name, one, to: f"{name}({one}, {to})",
            st.sampled_from(("clamp_min", "clamp_max")),
            vectors,
            numbers,
        ),
        st.builds(lambda one: f"-({one})", vectors),
        st.builds(lambda one: f"vector({one})", numbers),
        st.builds(
            lambda name, group, one: f"{name}{group} ({one})",
            st.sampled_from(AGGREGATIONS),
            st.sampled_from(GROUPINGS),
            vectors,
        ),
        st.builds(
            lambda q, group, one: f"quantile{group} ({q}, {one})", numbers, st.sampled_from(GROUPINGS), vectors
        ),
        st.builds(lambda group, one: f'count_values{group} ("v", {one})', st.sampled_from(GROUPINGS), selectors()),
        st.builds(
            lambda one, target, template, source, pattern: (
                f'label_replace({one}, "{target}", "{template}", "{source}", "{pattern}")'
            ),
            vectors,
            st.sampled_from(("a", "b", "c")),
            st.sampled_from(("", "$1", "x$1y", "fixed", "$0$1")),
            st.sampled_from(("a", "b", "d", "__name__")),
            st.sampled_from(("(.*)", "(1|x)", "(.+)", "()", "(z)?")),
        ),
        st.builds(
            lambda one, target, separator: f'label_join({one}, "{target}", "{separator}", "a", "b", "d")',
            vectors,
            st.sampled_from(("a", "c")),
            st.sampled_from(("", "-")),
        ),
        st.builds(
            lambda part, one: f"{part}({one})",
            st.sampled_from(DATES),
            selectors().map(lambda m: f"timestamp({m}) * 1e6"),
        ),
        operations(vectors, numbers, "", ""),
        operations(numbers, vectors, "", ""),
        joined(vectors),
        st.builds(
            lambda one, op, clause, two: f"({one}) {op}{clause} ({two})",
            vectors,
            st.sampled_from(("and", "or", "unless")),
            st.sampled_from(MATCHINGS),
            vectors,
        ),
    )


VECTORS = st.recursive(selectors().flatmap(modified), larger, max_leaves=4)
# Which of equals topk chooses is nobody's business, so it stands outermost only and answers for values alone.
CHOICES = st.builds(
    lambda name, group, limit, one: f"{name}{group} ({limit}, {one})",
    st.sampled_from(("topk", "bottomk")),
    st.sampled_from(GROUPINGS),
    st.sampled_from(("0", "1", "2", "3", "-1", "1.9", "NaN")),
    VECTORS,
)
QUERIES = st.one_of(VECTORS, VECTORS, VECTORS, CHOICES, scalars(VECTORS))

# ---------------------------------------------------------------------------------------------------------------
# Comparing


def fill(backend: Backend, data: Data) -> None:
    filled = {labels: samples for labels, samples in data.items() if samples}
    backend.appender(TENANT).append(
        Block(
            [dict(labels) for labels in filled],
            np.cumsum([0, *map(len, filled.values())], dtype=np.int64),
            np.array([at for samples in filled.values() for at, _ in samples], dtype=np.int64),
            np.array(
                [STALE if v is None else v for samples in filled.values() for _, v in samples], dtype=np.float64
            ),
        )
    )


def told(result: Result) -> dict[Key, dict[int, float]]:
    times = result.timestamps.tolist()
    rows: dict[Key, dict[int, float]] = {}
    for labels, values, present in zip(result.labels, result.values.tolist(), result.present.tolist(), strict=True):
        assert key(dict(labels)) not in rows, f"{labels} stands twice in the result"
        row = {at: value for at, value, there in zip(times, values, present, strict=True) if there}
        if row:
            rows[key(dict(labels))] = row
    return rows


def same(a: float, b: float) -> bool:
    if math.isnan(a) or math.isnan(b):
        return math.isnan(a) and math.isnan(b)
    return a == b or math.isclose(a, b, rel_tol=1e-9, abs_tol=1e-9)


def chooses(tree: Node) -> bool:
    while isinstance(tree, Paren):
        tree = tree.expr
    return isinstance(tree, Aggregate) and tree.op in ("topk", "bottomk")


def by_step(rows: dict[Key, dict[int, float]]) -> dict[int, list[float]]:
    steps: dict[int, list[float]] = {}
    for row in rows.values():
        for at_ms, value in row.items():
            steps.setdefault(at_ms, []).append(value)
    return {at_ms: sorted(values, key=lambda value: (math.isnan(value), value)) for at_ms, values in steps.items()}


def agree(found: dict[Key, dict[int, float]], expected: dict[Key, dict[int, float]]) -> bool:
    return found.keys() == expected.keys() and all(
        found[one].keys() == row.keys() and all(same(found[one][at], value) for at, value in row.items())
        for one, row in expected.items()
    )


def agree_on_values(found: dict[Key, dict[int, float]], expected: dict[Key, dict[int, float]]) -> bool:
    ours, theirs = by_step(found), by_step(expected)
    return ours.keys() == theirs.keys() and all(
        len(ours[at]) == len(theirs[at]) and all(map(same, ours[at], theirs[at])) for at in theirs
    )


Ask = Callable[[Querier, str, Budget], Result]


def in_range(start_ms: int, end_ms: int, step_ms: int) -> Ask:
    return lambda querier, query, budget: Engine().range(querier, query, start_ms, end_ms, step_ms, budget)


def at_once(at_ms: int) -> Ask:
    return lambda querier, query, budget: Engine().instant(querier, query, at_ms, budget)


def judged(backend: Backend, data: Data, query: str, window: tuple[int, int, int], ask: Ask) -> None:
    """Fill a store, ask both and compare."""
    fill(backend, data)
    compared(backend, data, query, window, ask)


def compared(backend: Backend, data: Data, query: str, window: tuple[int, int, int], ask: Ask) -> None:
    """Ask both and compare; where the one fails the other must fail."""
    tree = parse(query)
    budget = Budget()
    querier = backend.querier(TENANT, budget)
    try:
        expected = judge(data, tree, *window)
    except Unjudgeable:
        event("fails")
        with pytest.raises(ExecutionError):
            ask(querier, query, budget)
        return
    event("has a result" if expected else "is empty")
    try:
        found = told(ask(querier, query, budget))
    except QueryError as failure:
        pytest.fail(f"{query} failed, but the judge has {expected}: {failure}")
    right = agree_on_values if chooses(tree) else agree
    assert right(found, expected), f"{query}\nengine: {found}\njudge:  {expected}"


WINDOWS: Sequence[tuple[int, int, int]] = (
    (0, 450_000, 15_000),
    (0, 300_000, 60_000),
    (60_000, 60_000, 1_000),
    (-30_000, 90_000, 17_003),
    (100_001, 700_000, 45_000),
)


RANDOM = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])


@settings(RANDOM, max_examples=300)
@given(datas(), QUERIES, st.sampled_from(WINDOWS))
def test_ranges(data: Data, query: str, window: tuple[int, int, int]) -> None:
    judged(MemoryStore(), data, query, window, in_range(*window))


@settings(RANDOM, max_examples=150)
@given(datas(), QUERIES, st.integers(-20_000, 700_000))
def test_instants(data: Data, query: str, at_ms: int) -> None:
    judged(MemoryStore(), data, query, (at_ms, at_ms, 1), at_once(at_ms))


@settings(RANDOM, max_examples=100)
@given(
    histograms(),
    st.builds(
        lambda q, one: f"histogram_quantile({q}, {one})",
        st.sampled_from(("0", "0.5", "0.9", "1", "-1", "2", "NaN")),
        st.sampled_from(("h_bucket", "sum by (le) (h_bucket)", "rate(h_bucket[1m])", 'h_bucket{le!="0.5"}')),
    ),
    st.sampled_from(WINDOWS),
)
def test_histogram_quantiles(data: Data, query: str, window: tuple[int, int, int]) -> None:
    judged(MemoryStore(), data, query, window, in_range(*window))


@pytest.fixture(scope="module")
def fresh() -> Iterator[FreshTenants]:
    with temporary_store() as store:
        yield FreshTenants(store)


@settings(RANDOM, max_examples=50)
@given(datas(), QUERIES, st.sampled_from(WINDOWS))
def test_ranges_of_a_real_store(fresh: FreshTenants, data: Data, query: str, window: tuple[int, int, int]) -> None:
    judged(fresh(), data, query, window, in_range(*window))


def test_the_stale_marker_is_the_one_nan_of_its_bits() -> None:
    assert struct.pack("<d", STALE) != struct.pack("<d", math.nan)


MOMENTS = st.sampled_from((0, 45_000, 90_001, 300_000, 450_000))


@settings(RANDOM, max_examples=60)
@given(datas(), st.lists(st.tuples(QUERIES, st.sampled_from(WINDOWS) | MOMENTS), min_size=2, max_size=6))
def test_what_was_asked_before_changes_nothing(
    fresh: FreshTenants, data: Data, asked: list[tuple[str, tuple[int, int, int] | int]]
) -> None:
    """A real store remembers what it read for one query, and gives another one more than it asked for."""
    backend = fresh()
    fill(backend, data)
    for query, when in asked:
        if isinstance(when, int):
            compared(backend, data, query, (when, when, 1), at_once(when))
        else:
            compared(backend, data, query, when, in_range(*when))
