"""Queries that are evaluated some steps at a time answer as they would as a whole, within what they may hold."""

import math
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from opstrace.errors import BudgetExceeded
from opstrace.promql import parts
from opstrace.promql.engine import Engine, Result
from opstrace.promql.testscript import run_script
from opstrace.store.backend import Block, LabelSets, Manner, Matcher, MatchOp, Portion
from opstrace.store.budget import Budget, Lane, Lanes, Share
from opstrace.store.embedded import Store, temporary_store
from opstrace.store.resolved import Resolved
from opstrace.store.select import StoreQuerier
from promql.memory_store import MemoryQuerier, MemoryStore

SCRIPTS = sorted((Path(__file__).parent / "scripts").glob("*.test"))
STEP_MS, STEPS, LIFE = 60_000, 600, 20
SERIES = STEPS // LIFE * 4  # four at a time
RANGE = 0, (STEPS - 1) * STEP_MS, STEP_MS

QUERIES = (
    "m",
    "sum(m)",
    "sum by (slot) (rate(m[3m]))",
    "m / on (pod) group_left () m",
    "max_over_time(sum(m)[10m:1m])",
    "topk(1, m)",
    "scalar(sum(m)) + vector(time())",
    'label_replace(increase(m[5m]), "again", "$1", "pod", "(.*)")',
    "absent(m)",
    "rate(m[3m]) or m",
    "m @ 600",
    # Series of the same labels, whose values were not of the same moments.
    "(m or rate(m[3m])) * 2",
    "-(m or -m)",
    "timestamp(m or rate(m[3m]))",
    "max_over_time(((m or rate(m[3m])) * 2)[10m:1m])",
)


def churn() -> Block:
    """Return series of short lives, four at any time."""
    labels = [{"__name__": "m", "pod": f"p{n}", "slot": str(n % 4)} for n in range(SERIES)]
    times = np.concatenate([(np.arange(LIFE) + n // 4 * LIFE) * STEP_MS for n in range(SERIES)])
    return Block(labels, np.arange(SERIES + 1) * LIFE, times, np.arange(1.0, len(times) + 1))


@pytest.fixture(scope="module")
def store() -> Iterator[Store]:
    with temporary_store() as made:
        made.appender("t").append(churn())
        yield made


@pytest.fixture
def selections(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """Everything that is asked of the store."""
    select, found = StoreQuerier.select, []

    def noted(self: StoreQuerier, *arguments: Any) -> Block:
        found.append(arguments)
        return select(self, *arguments)

    monkeypatch.setattr(StoreQuerier, "select", noted)
    return found


def ask(store: Store | MemoryStore, query: str, budget: Budget, times: Sequence[int] = RANGE) -> Result:
    return Engine().range(store.querier("t", budget), query, *times, budget)


def cells(result: Result) -> dict[frozenset[tuple[str, str]], tuple[list[bool], list[float]]]:
    """Return the series with what is present in them."""
    return {
        frozenset(result.labels[row].items()): (
            result.present[row].tolist(),
            result.values[row][result.present[row]].tolist(),
        )
        for row in result.rows.tolist()
        if result.present[row].any()
    }


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_scripts_pass_in_as_many_parts_as_there_are(script: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "CUTS", parts.CUTS[::-1])
    monkeypatch.setattr(parts, "MAX_READ_AGAIN", math.inf)
    report = run_script(script.read_text(), MemoryStore, Engine(), script.name)
    assert [f"{one.line}: {one.query}: {one.reason}" for one in report.failures] == []


@pytest.mark.parametrize("query", QUERIES)
def test_parts_are_the_whole(store: Store, query: str, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = ask(store, query, Budget())
    monkeypatch.setattr(parts, "CUTS", (16, 1))
    cut = ask(store, query, Budget())
    assert cells(cut) == cells(whole)
    assert [cut.labels[row] for row in cut.rows] == [whole.labels[row] for row in whole.rows]


def test_series_of_which_few_live_at_a_time_are_many(store: Store) -> None:
    """All cells of the whole would be 72,000, of which one in thirty has a sample."""
    budget = Budget(max_samples=20_000)
    assert ask(store, "sum(rate(m[3m]))", budget).values.size == STEPS
    assert budget.peak_samples <= budget.max_samples < SERIES * STEPS


def test_more_samples_are_looked_at_than_fit(store: Store) -> None:
    budget = Budget(max_samples=SERIES * LIFE // 2)
    assert ask(store, "sum(m)", budget).present.all()
    assert budget.total_samples > budget.max_samples


def test_what_parts_hold_is_given_back_to_the_tenant(store: Store) -> None:
    share = Share(30_000)
    for _ in range(3):
        budget = Budget(max_samples=20_000, share=share)
        ask(store, "sum(rate(m[3m]))", budget)
        budget.release()
    share.take(30_000)
    share.check()


@pytest.mark.parametrize(
    ("query", "max_samples"),
    [
        ("m", 1500),  # the answer itself is too large
        (f"sum(sum_over_time(m[{STEPS}m]))", LIFE - 1),  # so is each series
        (f"max_over_time(sum(m)[{STEPS}m:1s])", STEPS * 60 - 1),  # so is the number of moments
    ],
)
def test_where_no_cut_helps_that_is_said(store: Store, query: str, max_samples: int) -> None:
    with pytest.raises(BudgetExceeded, match=f"more than {max_samples}"):
        ask(store, query, Budget(max_samples=max_samples))


def test_a_query_that_is_too_large_in_every_part_is_not_tried_for_every_part_of_every_part(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kept = MemoryStore()
    kept.appender("t").append(churn())
    reads = []
    select = MemoryQuerier.select

    def noted(self: MemoryQuerier, *arguments: Any) -> Block:
        reads.append(arguments)
        return select(self, *arguments)

    monkeypatch.setattr(MemoryQuerier, "select", noted)
    query = "m"
    for _ in range(6):
        query = f"max_over_time({query}[5m:1m])"
    with pytest.raises(BudgetExceeded):
        ask(kept, query, Budget(max_samples=3))
    assert len(reads) <= len(parts.CUTS)


WINDOWS = (
    f"sum(increase(m[{STEPS}m]))",
    f"quantile_over_time(0.9, m[{STEPS}m])",
    f"max by (slot) (max_over_time(m[{STEPS}m])) / 2",
    f"last_over_time(m[{STEPS}m])",
    f"sum by (slot) (sum_over_time({{slot=~'.+'}}[{STEPS}m])) + scalar(count(m offset 1m))",
)


@pytest.mark.parametrize("query", WINDOWS)
@pytest.mark.parametrize("times", [(RANGE[1], RANGE[1], 1), (RANGE[1] - 2 * STEP_MS, RANGE[1], STEP_MS)])
def test_windows_that_do_not_fit_are_looked_at_some_series_at_a_time(
    store: Store, query: str, times: tuple[int, int, int]
) -> None:
    budget = Budget(max_samples=SERIES * LIFE // 3)
    assert cells(ask(store, query, budget, times)) == cells(ask(store, query, Budget(), times))
    assert budget.total_samples > SERIES * LIFE >= budget.peak_samples * 3


def test_portions_of_series_are_all_of_them_and_each_once(store: Store) -> None:
    querier = store.querier("t", Budget())
    matchers = [Matcher("__name__", MatchOp.EQUAL, "m")]
    pods = [
        labels["pod"]
        for number in range(7)
        for labels in querier.select(matchers, 0, RANGE[1], Manner(portion=Portion(number, 7))).labels
    ]
    assert sorted(pods) == sorted(f"p{n}" for n in range(SERIES))


def test_steps_and_series_are_cut_where_neither_is_enough(store: Store) -> None:
    """Five steps whose windows overlap by a half, each with more samples than fit."""
    times = RANGE[1] - 4 * STEPS // 8 * STEP_MS, RANGE[1], STEPS // 8 * STEP_MS
    query = f"topk(2, max_over_time(m[{STEPS // 2}m]))"
    budget = Budget(max_samples=SERIES * LIFE // 4)
    assert cells(ask(store, query, budget, times)) == cells(ask(store, query, Budget(), times))


def test_parts_are_computed_where_the_whole_was(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first attempt ends while it waits for the store."""
    lanes = Lanes(heavy=Lane(1), heavy_from=SERIES * LIFE // 8)
    budget = Budget(max_samples=SERIES * LIFE // 2, lanes=lanes)
    select, places = StoreQuerier.select, []

    def noted(self: StoreQuerier, *arguments: Any) -> Block:
        places.append(budget.has_place)
        return select(self, *arguments)

    monkeypatch.setattr(StoreQuerier, "select", noted)
    with budget.computing():
        assert ask(store, "sum(m)", budget).present.all()
        assert budget.has_place
    assert len(places) > 1
    assert all(places)
    assert budget.samples == STEPS


@pytest.mark.parametrize(
    ("query", "times", "max_samples", "reads"),
    [
        ("sum(m)", RANGE, SERIES * STEPS // 8, 1 + 16),  # as a whole, then in as many parts as are enough
        (f"sum(sum_over_time(m[{STEPS}m]))", (RANGE[1], RANGE[1], 1), SERIES * LIFE // 6, 1 + 16),
        (f"sum(sum_over_time(m[{STEPS}m]))", (RANGE[1], RANGE[1], 1), SERIES * LIFE // 80, 1),  # no part is enough
    ],
)
def test_what_is_known_to_be_too_large_is_not_tried(
    store: Store,
    query: str,
    times: tuple[int, int, int],
    max_samples: int,
    reads: int,
    selections: list[tuple[Any, ...]],
) -> None:
    with pytest.raises(BudgetExceeded) if reads == 1 else nullcontext():
        ask(store, query, Budget(max_samples=max_samples), times)
    assert len(selections) == reads


def constant(series: int, bounds: Sequence[str] = ()) -> MemoryStore:
    """Return series that live all the time; with bounds, buckets of a histogram whose counts fall."""
    kept, times = MemoryStore(), np.arange(STEPS) * STEP_MS
    labels = [{"__name__": "c", "n": str(n)} for n in range(series)]
    if bounds:
        labels = [{"__name__": "c", "le": bound} for bound in bounds]
    values = np.concatenate([np.full(STEPS, float(series - n)) for n in range(series)])
    kept.appender("t").append(Block(labels, np.arange(series + 1) * STEPS, np.tile(times, series), values))
    return kept


@pytest.mark.parametrize(
    "query", ["sum(max_over_time(c[5m]))", "sum(max_over_time(c[5m:1m]))", "sum(rate(c[5m:1m]))"]
)
@pytest.mark.parametrize("max_samples", [5000, 3000, 2000])
def test_fewer_steps_help_where_parts_of_a_subquery_are_too_much_together(query: str, max_samples: int) -> None:
    kept = constant(10)
    assert cells(ask(kept, query, Budget(max_samples=max_samples))) == cells(ask(kept, query, Budget()))


def test_fewer_steps_help_where_the_whole_of_a_subquery_is_too_much(store: Store) -> None:
    query = "sum(max_over_time(m[5m:1m]))"
    assert cells(ask(store, query, Budget(max_samples=20_000))) == cells(ask(store, query, Budget()))


def test_what_is_the_same_at_every_step_is_not_read_for_each_part(
    store: Store, selections: list[tuple[Any, ...]]
) -> None:
    query = f"sum(increase(m[{STEPS}m] @ end())) + sum(m)"
    with pytest.raises(BudgetExceeded):
        ask(store, query, Budget(max_samples=SERIES * LIFE // 2))
    assert len(selections) <= len(parts.CUTS) + sum(parts.CUTS)


def test_made_labels_are_held_while_parts_are_joined() -> None:
    query = f'label_replace(c, "x", "{"x" * 30_000}$1", "n", "(.*)")'
    with pytest.raises(BudgetExceeded, match="memory"):
        ask(constant(50), query, Budget(max_memory_bytes=1_000_000))


def test_what_is_told_of_a_query_counts_no_sample_twice() -> None:
    kept, query = constant(3, ["1", "2", "+Inf"]), "histogram_quantile(0.9, c)"
    whole, cut = ask(kept, query, Budget()), ask(kept, query, Budget(max_samples=2500))
    assert whole.infos == cut.infos
    assert len(whole.infos) == 1


def test_a_series_that_is_new_moves_no_other_to_another_portion() -> None:
    series = np.sort(np.random.default_rng(1).integers(0, 1 << 64, 100, np.uint64))
    places = np.arange(len(series))
    labels = LabelSets({"n": str(number)} for number in series.tolist())
    before = Resolved(series, places, series, np.zeros(100, np.int8), labels)
    after = before.under(places != 7)
    for number in range(4):
        portion = Portion(number, 4)
        assert {*before.portion(portion).series} - {series[7]} == {*after.portion(portion).series}


def test_a_heavy_query_is_heavy_in_every_part(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    lanes = Lanes(heavy=Lane(1), heavy_from=SERIES * LIFE // 2)
    budget = Budget(max_samples=SERIES * LIFE // 3 * 2, lanes=lanes)
    select, found = StoreQuerier.select, []

    def noted(self: StoreQuerier, *arguments: Any) -> Block:
        found.append(budget.lane is lanes.heavy)
        return select(self, *arguments)

    monkeypatch.setattr(StoreQuerier, "select", noted)
    with budget.computing():
        ask(store, "sum(rate(m[3m]))", budget)
    assert len(found) > 10
    assert all(found[-5:])
