import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from opstrace.errors import BadQuery, BudgetExceeded, QueryCanceled, QueryError, QueryTimeout
from opstrace.promql import mixed, native, parts, regex
from opstrace.promql.engine import Engine
from opstrace.promql.functions import MAX_LABEL_CHARACTERS
from opstrace.promql.testscript import run_script
from opstrace.store.backend import Block
from opstrace.store.budget import BYTES_A_BUCKET, BYTES_A_SAMPLE, Budget
from opstrace.store.histogram import NativeHistogram
from promql.memory_store import MemoryStore

SCRIPTS = sorted((Path(__file__).parent / "scripts").glob("*.test"))


def store(*series: tuple[dict[str, str], list[tuple[int, float]]]) -> MemoryStore:
    kept = MemoryStore()
    samples = [sample for _, points in series for sample in points]
    offsets = np.cumsum([0, *(len(points) for _, points in series)])
    timestamps = np.array([at for at, _ in samples], dtype=np.int64)
    values = np.array([value for _, value in samples], dtype=np.float64)
    kept.appender("t").append(Block([labels for labels, _ in series], offsets, timestamps, values))
    return kept


def ask(kept: MemoryStore, query: str, at_ms: int = 0, **limits: float):
    budget = Budget(**limits)
    return Engine().instant(kept.querier("t", budget), query, at_ms, budget)


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_scripts_pass(script: Path) -> None:
    report = run_script(script.read_text(), MemoryStore, Engine(), script.name)
    assert report.outcomes
    assert [f"{one.line}: {one.query}: {one.reason}" for one in report.failures] == []


def test_nan_is_a_value_and_absence_is_not() -> None:
    kept = store(({"__name__": "m"}, [(0, float("nan"))]))
    budget = Budget()
    result = Engine().range(kept.querier("t", budget), "m", 0, 600_000, 300_000, budget)
    assert result.present.tolist() == [[True, False, False]]
    assert np.isnan(result.values[0, 0])


def test_range_results_come_sorted_by_labels_and_instant_ones_as_computed() -> None:
    kept = store(*(({"__name__": "m", "n": str(n)}, [(0, float(n))]) for n in range(3)))
    budget = Budget()
    ranged = Engine().range(kept.querier("t", budget), "topk(2, m)", 0, 0, 1000, budget)
    assert [labels["n"] for labels in ranged.labels] == ["1", "2"]
    assert [labels["n"] for labels in ask(kept, "topk(2, m)").labels] == ["2", "1"]


def test_a_range_selector_alone_yields_its_samples() -> None:
    kept = store(({"__name__": "m"}, [(0, 1.0), (1000, 2.0), (2000, 3.0)]))
    result = ask(kept, "m[2s]", 2000)
    assert result.kind == "matrix"
    assert result.raw is not None
    assert result.raw.timestamps.tolist() == [1000, 2000]
    assert result.raw.values.tolist() == [2.0, 3.0]


def test_names_are_gone_where_an_operation_took_them_away() -> None:
    kept = store(({"__name__": "m", "a": "1"}, [(0, 1.0)]), ({"__name__": "n", "a": "1"}, [(0, 2.0)]))
    assert ask(kept, "m + 1").labels == [{"a": "1"}]
    with pytest.raises(QueryError, match="same labelset"):
        ask(kept, '{a="1"} + 1')


@pytest.mark.parametrize(("start", "end", "step"), [(0, 10, 0), (0, 10, -1), (10, 0, 1), (0, 11_001, 1)], ids=str)
def test_impossible_ranges_are_refused(start: int, end: int, step: int) -> None:
    with pytest.raises(BadQuery):
        Engine().range(MemoryStore().querier("t", Budget()), "1", start, end, step, Budget())


def test_a_range_query_may_take_so_many_steps_from_its_first_point() -> None:
    result = Engine().range(MemoryStore().querier("t", Budget()), "1", 0, 11_000, 1, Budget())
    assert result.present.sum() == 11_001


def test_a_range_query_of_a_string_or_a_range_is_refused() -> None:
    for query in ('"text"', "m[5m]"):
        with pytest.raises(BadQuery, match="for range query"):
            Engine().range(MemoryStore().querier("t", Budget()), query, 0, 1, 1, Budget())


def test_budgets_end_a_query() -> None:
    kept = store(({"__name__": "m"}, [(at * 1000, 1.0) for at in range(100)]))
    with pytest.raises(BudgetExceeded):
        ask(kept, "sum_over_time(m[100s])", 100_000, max_samples=10)
    with pytest.raises(BudgetExceeded):
        ask(kept, "max_over_time(vector(1)[1y:1s])", 100_000, max_samples=1000)
    with pytest.raises(BudgetExceeded):
        ask(kept, "max_over_time(m[100y:1ms])", 100_000)
    with pytest.raises(BudgetExceeded, match="memory"):
        ask(kept, "sum_over_time(m[100s])", 100_000, max_memory_bytes=1000)
    with pytest.raises(QueryTimeout):
        ask(kept, "m", 0, deadline=time.monotonic() - 1)
    with pytest.raises(QueryCanceled):
        ask(kept, "m", 0, canceled=True)


def test_a_label_is_not_made_for_which_there_is_no_memory() -> None:
    query = 'label_replace(vector(1), "a", "x", "", "")'
    for label, copies in (("b", 30_000), ("c", 30_000)):
        query = f'label_replace({query}, "{label}", "{"$1" * copies}", "{chr(ord(label) - 1)}", "(.*)")'
    budget = Budget(max_memory_bytes=100 << 20)
    with pytest.raises(BudgetExceeded, match="memory"):
        Engine(max_query_bytes=1 << 20).instant(MemoryStore().querier("t", budget), query, 0, budget)
    assert budget.held_bytes > 1_000_000_000  # what the last one could have taken


@pytest.mark.parametrize("made", ['label_replace(m, "a", "$1$1", "i", "(.*)")', 'label_join(m, "a", "", "i", "i")'])
def test_a_label_that_a_query_makes_has_a_length(made: str) -> None:
    kept = store(({"__name__": "m", "i": "x" * (MAX_LABEL_CHARACTERS // 2)}, [(0, 1.0)]))
    assert len(ask(kept, made).labels[0]["a"]) == MAX_LABEL_CHARACTERS
    kept = store(({"__name__": "m", "i": "x" * (MAX_LABEL_CHARACTERS // 2 + 1)}, [(0, 1.0)]))
    with pytest.raises(BudgetExceeded, match="characters"):
        ask(kept, made)


def test_long_labels_are_matched_a_few_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = store(*(({"__name__": "m", "i": f"{i}" * 30_000}, [(0, 1.0)]) for i in range(8)))
    made: list[int] = []
    original = regex.Replacement.of
    monkeypatch.setattr(regex.Replacement, "of", lambda *given: made.append(len(given[1])) or original(*given))
    assert len(ask(kept, 'label_replace(m, "a", "$1", "i", "(.).*")').labels) == 8
    assert made == [2, 2, 2, 2]


@pytest.mark.parametrize(
    "query",
    [
        f'label_replace(m, "a", "{"x" * 10_000}", "i", ".*")',
        f'label_join(m, "a", "{"x" * 10_000}", "i", "i")',
        'count_values("a", m)',
    ],
)
def test_labels_of_many_series_have_a_budget(query: str) -> None:
    kept = store(*(({"__name__": "m", "i": str(i)}, [(0, float(i))]) for i in range(5_000)))
    with pytest.raises(BudgetExceeded, match="memory"):
        ask(kept, query, max_memory_bytes=1_000_000)
    budget = Budget()
    assert Engine().instant(kept.querier("t", budget), query, 0, budget).labels
    assert budget.held_bytes > 1_000_000


def test_a_query_looks_at_its_budget_between_labels(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = store(*(({"__name__": "m", "i": str(i)}, [(0, float(i))]) for i in range(5_000)))
    made: list[int] = []

    def slowly(replacement: regex.Replacement, values: Sequence[str]) -> list[str | None]:
        made.append(len(values))
        budget.deadline = time.monotonic() - 1
        return list(values)

    monkeypatch.setattr(regex.Replacement, "of", slowly)
    budget = Budget()
    with pytest.raises(QueryTimeout):
        Engine().instant(kept.querier("t", budget), 'label_replace(m, "a", "$1", "i", "(.*)")', 0, budget)
    assert len(made) == 1


def test_what_a_label_takes_is_held_once_it_is_made() -> None:
    kept = store(({"__name__": "m", "i": "x" * 1_000}, [(0, 1.0)]))
    budget = Budget()
    Engine().instant(kept.querier("t", budget), f'label_replace(m, "a", "{"$1" * 100}", "i", "(y*)")', 0, budget)
    assert budget.held_bytes < 10_000  # nothing matches


def test_labels_sort_by_numbers_of_any_length() -> None:
    texts = [*("9" * 5_000, "91" + "0" * 5_000), "a10", "a9", "10", "09", "9"]
    kept = store(*(({"__name__": "m", "i": text}, [(0, 1.0)]) for text in texts))
    found = [labels["i"] for labels in ask(kept, 'sort_by_label(m, "i")').labels]
    assert found == ["09", "9", "10", "91" + "0" * 5_000, "9" * 5_000, "a9", "a10"]


def histograms_of(buckets: int) -> MemoryStore:
    """A store with two series of ten histograms, a minute apart."""
    kept = MemoryStore()
    counts = [dict.fromkeys(range(buckets), float(place)) for place in range(1, 21)]
    found = np.array([NativeHistogram(count=sum(one.values()), positive=one) for one in counts], dtype=object)
    times = np.tile(np.arange(10) * 60_000, 2)
    labels = [{"__name__": "h", "i": str(i)} for i in range(2)]
    kept.appender("t").append(Block(labels, np.array([0, 10, 20]), times, np.full(20, np.nan), found))
    return kept


def ask_range(kept: MemoryStore, query: str, budget: Budget):
    return Engine().range(kept.querier("t", budget), query, 60_000, 540_000, 60_000, budget)


@pytest.mark.parametrize(
    ("query", "computed"),
    [
        ("h * 2", 18),
        ("h + h", 18),
        ("-h", 18),
        ("sum(h)", 9),
        ("avg(h)", 9),
        ("rate(h[2m])", 18),
        ("increase(h[2m] anchored)", 18),
        ("sum_over_time(h[2m])", 18),
        ("h", 0),
        ("h == h", 0),
        ("last_over_time(h[2m])", 0),
        ("sum by (i) (h)", 0),
    ],
)
def test_histograms_that_are_computed_count_by_their_buckets(
    query: str, computed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parts, "CUTS", (1,))
    slim, wide = Budget(), Budget()
    ask_range(histograms_of(100), query, slim)
    ask_range(histograms_of(200), query, wide)
    assert wide.samples - slim.samples == computed * 100
    assert wide.held_bytes - slim.held_bytes == computed * 100 * (BYTES_A_BUCKET - BYTES_A_SAMPLE)
    if computed:
        with pytest.raises(BudgetExceeded, match="memory"):
            ask_range(histograms_of(200), query, Budget(max_memory_bytes=wide.held_bytes))


@pytest.mark.parametrize(
    ("query", "function"),
    [
        ("h * 2", "multiplied"),
        ("h + h", "combined"),
        ("h == h", "same"),
        ("sum(h)", "combined"),
        ("rate(h[2m])", "was_reset"),
        ("sum_over_time(h[10m])", "combined"),
        ("resets(h[10m])", "was_reset"),
        ("changes(h[10m])", "same"),
        ("histogram_quantile(0.5, h)", "quantile"),
        ("histogram_stddev(h)", "variance"),
        ("histogram_count(h)", "was_reset"),
        ('count_values("a", h)', "spelled"),
    ],
)
def test_loops_over_histograms_end_at_the_deadline(
    query: str, function: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept, budget, calls = histograms_of(1), Budget(), []
    original = getattr(native, function)

    def slowly(*given: object):
        calls.append(given)
        budget.deadline = time.monotonic() - 1
        return original(*given)

    monkeypatch.setattr(native, function, slowly)
    monkeypatch.setitem(mixed._BY_FLOAT, "*", lambda *given: native.multiplied(*given))  # bound when imported
    with pytest.raises(QueryTimeout):
        ask_range(kept, query, budget)
    assert len(calls) <= 2


def test_long_and_deep_queries_are_refused_without_recursion() -> None:
    for query in ("(" * 5000 + "1" + ")" * 5000, "-" * 5000 + "1", "1" + "^1" * 5000, "1" + "+1" * 5000):
        with pytest.raises(BadQuery, match="deeper"):
            ask(MemoryStore(), query)
    with pytest.raises(BadQuery, match="longer"):
        ask(MemoryStore(), "1" + " " * 70_000)
    assert sys.getrecursionlimit() == 1000


def test_lookback_can_be_given_for_a_query() -> None:
    kept = store(({"__name__": "m"}, [(0, 1.0)]))
    budget = Budget()
    assert Engine().instant(kept.querier("t", budget), "m", 5000, budget, lookback_ms=5000).labels == []
    assert len(Engine().instant(kept.querier("t", budget), "m", 4999, budget, lookback_ms=5000).labels) == 1
