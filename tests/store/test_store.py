"""The embedded store against a dict: whatever is appended, queries and restarts in between, both say the same."""

import math
import tempfile
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

from opstrace.errors import BadQuery, BudgetExceeded, QueryTimeout
from opstrace.store.backend import Block, Labels, Matcher, MatchOp
from opstrace.store.budget import Budget
from opstrace.store.embedded import Store
from opstrace.store.engine import Engine
from opstrace.store.histogram import CUSTOM_BOUNDS, NativeHistogram, ResetHint
from opstrace.store.pieces import Piece
from opstrace.store.resolved import Resolved
from opstrace.store.select import StoreQuerier
from opstrace.store.traits import STALE
from opstrace.store.writer import Writer
from promql.memory_store import MemoryStore

DAY_MS = 86_400_000
# A sample is a histogram, or a float.
Sample = float | NativeHistogram
Samples = dict[tuple[tuple[str, str], ...], list[tuple[int, int | NativeHistogram]]]


def block(series: Sequence[tuple[Labels, Sequence[tuple[int, Sample]]]]) -> Block:
    lengths = [len(samples) for _, samples in series]
    flat = [sample for _, samples in series for sample in samples]
    return Block(
        labels=[labels for labels, _ in series],
        offsets=np.cumsum([0, *lengths]),
        times_ms=np.array([time_ms for time_ms, _ in flat], dtype=np.int64),
        values=np.array([math.nan if isinstance(value, NativeHistogram) else value for _, value in flat]),
        histograms=histograms([value for _, value in flat]),
    )


def histograms(samples: Sequence[Sample]) -> "np.ndarray[tuple[int], np.dtype[np.object_]] | None":
    """Most blocks have none, and say so."""
    found = np.full(len(samples), None, dtype=object)
    for index, sample in enumerate(samples):
        found[index] = sample if isinstance(sample, NativeHistogram) else None
    return found if any(one is not None for one in found) else None


def content(found: Block) -> Samples:
    """Values as bits: a stale marker is not any NaN."""
    bits = found.values.view(np.int64).tolist()
    cells = bits if found.histograms is None else [h or b for h, b in zip(found.histograms, bits, strict=True)]
    return {
        tuple(sorted(labels.items())): [
            (int(found.timestamps[i]), cells[i]) for i in range(found.offsets[row], found.offsets[row + 1])
        ]
        for row, labels in enumerate(found.labels)
    }


def matcher(text: str) -> Matcher:
    for op in (MatchOp.REGEX, MatchOp.NOT_REGEX, MatchOp.NOT_EQUAL, MatchOp.EQUAL):
        name, found, value = text.partition(op.value)
        if found:
            return Matcher(name, op, value)
    raise AssertionError(text)


COUNTS = st.floats(allow_nan=False)
BUCKETS = st.dictionaries(st.integers(-(2**31), 2**31 - 1), COUNTS, max_size=3)
HISTOGRAMS = st.builds(
    NativeHistogram,
    schema=st.integers(-4, 8),
    count=COUNTS,
    sum=COUNTS,
    zero_threshold=COUNTS,
    zero_count=COUNTS,
    positive=BUCKETS,
    negative=BUCKETS,
    hint=st.sampled_from(ResetHint),
) | st.builds(
    NativeHistogram,
    schema=st.just(CUSTOM_BOUNDS),
    positive=st.dictionaries(st.integers(0, 3), COUNTS, max_size=3),
    custom_bounds=st.lists(COUNTS, max_size=3).map(tuple),
)
VALUES = st.floats(width=64) | st.just(STALE) | HISTOGRAMS
TIMES = st.integers(-DAY_MS, 4 * DAY_MS).map(lambda t: t // 7 * 7)
LABELS = st.builds(
    lambda name, rest: {"__name__": name, **rest},
    st.sampled_from(["m", "n"]),
    st.dictionaries(st.sampled_from(["a", "b"]), st.sampled_from(["", "1", "é", "x\ny", "it's \\"]), max_size=2),
)
SERIES = st.lists(
    st.tuples(LABELS, st.dictionaries(TIMES, VALUES, min_size=1, max_size=4)),
    min_size=1,
    max_size=4,
    unique_by=lambda entry: tuple(sorted((k, v) for k, v in entry[0].items() if v)),
)
MATCHERS = st.lists(
    st.sampled_from(
        ["__name__=m", "__name__=~m|n", "__name__!=n", "a=1", "a=", "a!=", "a=~.+", "a!~[0-9]", "b=é", "b=~.",
         "b=x\ny",          "b=~x.y", "a=it's \\", "c=", "c!="]
    ).map(matcher),
    min_size=1,
    max_size=3,
)  # fmt: skip


class StoreIsADict(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.directory = tempfile.TemporaryDirectory()
        self.judge = MemoryStore()
        self.open()

    def open(self) -> None:
        self.engine = Engine(Path(self.directory.name), readers=1)
        self.store = Store(self.engine, Writer(self.engine))

    @rule(tenant=st.sampled_from(["one", "two"]), series=SERIES, times=st.integers(1, 2))
    def append(self, tenant: str, series: list[tuple[Labels, dict[int, Sample]]], times: int) -> None:
        made = block([(labels, sorted(samples.items())) for labels, samples in series])
        for _ in range(times):
            self.store.appender(tenant).append(made)
        self.judge.appender(tenant).append(made)

    @rule(tenant=st.sampled_from(["one", "two"]), matchers=MATCHERS, start=TIMES, length=st.integers(0, 2 * DAY_MS))
    def select(self, tenant: str, matchers: list[Matcher], start: int, length: int) -> None:
        ours = self.store.querier(tenant, Budget()).select(matchers, start, start + length)
        theirs = self.judge.querier(tenant, Budget()).select(matchers, start, start + length)
        assert content(ours) == content(theirs)

    @rule(tenant=st.sampled_from(["one", "two"]))
    def names(self, tenant: str) -> None:
        ours, theirs = self.store.querier(tenant, Budget()), self.judge.querier(tenant, Budget())
        everything = (-DAY_MS, 5 * DAY_MS)
        assert ours.label_names([], *everything) == theirs.label_names([], *everything)
        assert ours.label_values("a", [], *everything) == theirs.label_values("a", [], *everything)
        assert ours.label_values("__name__", [], *everything) == theirs.label_values("__name__", [], *everything)

    @rule()
    def restart(self) -> None:
        self.engine.close()
        self.open()

    @rule()
    def merge(self) -> None:
        for table in ("samples", "histograms"):
            self.engine.writer.execute(f"OPTIMIZE TABLE {table} FINAL")

    def teardown(self) -> None:
        self.engine.close()
        self.directory.cleanup()


StoreIsADict.TestCase.settings = settings(
    max_examples=15, stateful_step_count=15, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
TestStoreIsADict = StoreIsADict.TestCase


def test_the_latest_commit_wins_before_and_after_a_merge(store: Store, engine: Engine) -> None:
    for value in (1.0, 2.0, 3.0):
        store.appender("t").append(block([({"__name__": "m"}, [(1000, value)])]))
    for _ in range(2):
        found = store.querier("t", Budget()).select([matcher("__name__=m")], 0, 2000)
        assert found.values.tolist() == [3.0]
        engine.writer.execute("OPTIMIZE TABLE samples FINAL")


def test_floats_and_histograms_of_one_series_are_one_series_in_the_order_of_time(store: Store) -> None:
    one, two = NativeHistogram(count=1, positive={0: 1}), NativeHistogram(count=2, negative={-3: 2.5})
    store.appender("t").append(block([({"__name__": "m"}, [(1, 1.0), (2, one), (3, 3.0), (4, one)])]))
    store.appender("t").append(block([({"__name__": "m"}, [(3, two), (4, 4.0)]), ({"__name__": "n"}, [(1, 5.0)])]))
    found = store.querier("t", Budget()).select([matcher("__name__=~m|n")], 0, 10)
    m, n = ((("__name__", name),) for name in "mn")
    bits = {value: np.float64(value).view(np.int64) for value in (1.0, 4.0, 5.0)}
    assert content(found) == {m: [(1, bits[1.0]), (2, one), (3, two), (4, bits[4.0])], n: [(1, bits[5.0])]}


def test_a_tenant_without_histograms_gets_none(store: Store) -> None:
    store.appender("t").append(block([({"__name__": "m"}, [(1, 1.0)])]))
    store.appender("u").append(block([({"__name__": "m"}, [(1, NativeHistogram())])]))
    assert store.querier("t", Budget()).select([matcher("__name__=m")], 0, 10).histograms is None
    assert store.querier("u", Budget()).select([matcher("__name__=m")], 0, 10).histograms is not None


def test_histograms_count_by_their_buckets(store: Store) -> None:
    wide = NativeHistogram(
        count=3000, positive=dict.fromkeys(range(2000), 1.0), negative=dict.fromkeys(range(1000), 1.0)
    )
    store.appender("t").append(block([({"__name__": "m"}, [(1, wide), (2, wide)])]))
    budget = Budget()
    assert len(store.querier("t", budget).select([matcher("__name__=m")], 0, 10).values) == 2
    assert budget.samples == 2 * 3000 + 2
    for limits, complaint in (({"max_samples": 5999}, "too many samples"), ({"max_memory_bytes": 700_000}, "memory")):
        with pytest.raises(BudgetExceeded, match=complaint):
            store.querier("t", Budget(**limits)).select([matcher("__name__=m")], 0, 10)


def test_reading_histograms_ends_at_the_deadline() -> None:
    rows = [("series", 1), ("time_ms", 1), ("commit", 1), ("start", 0)]
    budget = Budget(deadline=time.monotonic() - 1)
    with pytest.raises(QueryTimeout):
        Piece.of_histograms(
            pa.table({name: [value] for name, value in rows}), np.zeros(1, dtype=np.int64), budget.check
        )


@pytest.mark.parametrize("kind", ["floats", "started", "histograms", "two of one label set"])
def test_a_series_that_is_new_between_two_statements_is_in_no_answer(
    store: Store, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever wants all series of a metric gets those whose labels were read, each under its own."""

    def made(numbers: Sequence[int]) -> Block:
        values: list[Sample] = [
            NativeHistogram(0, float(n), float(n)) if kind == "histograms" else float(n) for n in numbers
        ]
        found = block(
            [({"__name__": "m", "n": str(n)}, [(1, value)]) for n, value in zip(numbers, values, strict=True)]
        )
        return replace(found, start_times=np.ones(len(numbers), dtype=np.int64)) if kind == "started" else found

    write = store.appender("t").append
    write(made(range(10)))
    if kind == "two of one label set":
        write(replace(made(range(10)), start_times=np.ones(10, dtype=np.int64)))
    resolve = StoreQuerier._resolve

    def late(self: StoreQuerier, *arguments: Any) -> Resolved:
        found = resolve(self, *arguments)
        write(made(range(100, 105)))
        return found

    monkeypatch.setattr(StoreQuerier, "_resolve", late)
    found = store.querier("t", Budget()).select([matcher("__name__=m")], 0, 10)
    sums = found.values if found.histograms is None else [one.sum for one in found.histograms]
    assert sorted((float(labels["n"]), value) for labels, value in zip(found.labels, sums, strict=True)) == [
        (n, n) for n in range(10)
    ]


def test_what_was_sent_twice_is_accounted_for_once(store: Store) -> None:
    for _ in range(2):
        store.appender("t").append(block([({"__name__": "m"}, [(at_ms, 1.0) for at_ms in range(100)])]))
    for selector in ("__name__=m", "__name__=~m|n"):
        budget = Budget(max_samples=250)  # the rows are there twice until they are merged
        assert len(store.querier("t", budget).select([matcher(selector)], 0, 1000).values) == 100
        assert budget.samples == 100


def test_a_query_over_its_budget_ends(store: Store) -> None:
    store.appender("t").append(block([({"__name__": "m", "i": str(i)}, [(1, 1.0), (2, 1.0)]) for i in range(10)]))
    with pytest.raises(BudgetExceeded, match="more than 19"):
        store.querier("t", Budget(max_samples=19)).select([matcher("__name__=m")], 0, 10)
    with pytest.raises(BudgetExceeded, match="more than 9 series"):
        store.querier("t", Budget(max_series=9)).select([matcher("__name__=m")], 0, 10)
    assert len(store.querier("t", Budget(max_samples=20)).select([matcher("__name__=m")], 0, 10).values) == 20


def test_a_broken_regular_expression_is_a_bad_query(store: Store) -> None:
    store.appender("t").append(block([({"__name__": "m"}, [(1, 1.0)])]))
    with pytest.raises(BadQuery):
        store.querier("t", Budget()).select([matcher("a=~(")], 0, 10)


def test_nothing_is_a_block_of_nothing(store: Store) -> None:
    found = store.querier("t", Budget()).select([matcher("__name__=m")], 0, 10)
    assert (found.labels, found.offsets.tolist(), len(found.values)) == ((), [0], 0)


def test_a_selector_may_match_more_series_than_a_statement_can_list(store: Store) -> None:
    many = 30_000
    store.appender("t").append(block([({"__name__": "m", "i": str(i)}, [(1, float(i))]) for i in range(many)]))
    found = store.querier("t", Budget()).select([matcher("__name__=m"), matcher("i!~.*7")], 0, 10)
    assert sorted(found.values.tolist()) == [float(i) for i in range(many) if i % 10 != 7]


def test_who_asks_after_an_acknowledgement_finds_it(store: Store) -> None:
    """While one writes, others ask: what was there before they asked is in their answers, late samples too."""
    written, ended = [0], threading.Event()
    times = [1000 * n for n in range(60)]
    times = times[1::2] + times[::2]  # every other one comes late

    def write() -> None:
        for n, at_ms in enumerate(times, 1):
            store.appender("t").append(block([({"__name__": "m", "i": str(n % 3)}, [(at_ms, float(n))])]))
            written[0] = n
        ended.set()

    def ask(selector: str) -> int:
        asked = 0
        while not ended.is_set():
            before = [n for n in range(1, written[0] + 1) if selector[-1] in ("m", ".", str(n % 3))]
            found = store.querier("t", Budget()).select([matcher(selector)], 0, 60_000)
            assert set(found.values.tolist()).issuperset(before)
            asked += 1
            ended.wait(0.002)  # else the writer waits for the interpreter most of the time
        return asked

    selectors = ("__name__=m", "i=~.", "i=0", "i=1")
    with ThreadPoolExecutor(len(selectors) + 1) as pool:
        asking = [pool.submit(ask, selector) for selector in selectors]
        pool.submit(write).result()
        assert all(one.result() > 5 for one in asking)
