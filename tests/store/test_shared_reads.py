"""When selectors of one metric are read together, and that it is one read; answers are test_store.py's business."""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from opstrace.errors import QueryCanceled
from opstrace.store.backend import Block, Matcher, MatchOp
from opstrace.store.budget import Budget
from opstrace.store.embedded import Store
from opstrace.store.engine import Engine
from opstrace.store.reading import Wanted
from opstrace.store.samples import Samples
from opstrace.store.select import StoreQuerier
from opstrace.store.shared_reads import MAX_METRICS, ReadingRoom, SharedReads
from opstrace.store.writer import Writer

METRIC = ("t", b"m")
PANELS, A_PANEL, SAMPLES = 8, 3, 20


def samples(series: int, each: int) -> Samples:
    times = np.arange(each)
    return Samples(np.arange(series, dtype=np.uint64), np.arange(series + 1) * each, times, np.zeros(series * each))


def test_the_second_selection_pays_where_all_of_the_metric_are_not_too_many() -> None:
    shared = SharedReads(max_bytes=16 * 4 * 100_000)
    asked: list[int] = []

    def pays(selection: bytes, selected: int, of: int, length_ms: int = 1000) -> bool:
        return shared.pays(METRIC, selection, selected, length_ms, lambda: asked.append(of) or of)  # type: ignore[func-returns-value]

    assert not pays(b"a", 10, 100)
    shared.note(METRIC, b"a", samples(10, 100), 1000)
    assert not pays(b"a", 10, 100)
    assert not asked  # nobody needs to know how many there are
    assert pays(b"b", 10, 100)
    assert not pays(b"b", 10, 1001)  # more samples than there is room for
    assert pays(b"b", 10, 1001, 100)
    assert pays(b"b", 1, 163, 1000)  # eight selections of one series each touch as much
    assert not pays(b"b", 1, 164, 1000)
    assert not shared.pays(("u", b"m"), b"b", 10, 1000, lambda: 1)


def test_metrics_that_are_remembered_are_bounded() -> None:
    shared = SharedReads(max_bytes=1 << 20)
    for number in range(MAX_METRICS + 1):
        shared.note(("t", number.to_bytes(4, "big")), b"a", samples(1, 1), 1)
    ages = [shared.pays(("t", n.to_bytes(4, "big")), b"b", 1, 1, lambda: 1) for n in (MAX_METRICS, 0)]
    assert ages == [True, False]


def test_who_waits_for_anothers_read_ends_when_nobody_wants_the_answer() -> None:
    shared, budget = SharedReads(max_bytes=1 << 20), Budget()
    with shared.alone(METRIC, Budget()):
        budget.canceled = True
        with pytest.raises(QueryCanceled), shared.alone(METRIC, budget):
            raise AssertionError("there is one already")
    with shared.alone(METRIC, Budget()):
        pass


def panels(first_ms: int, count: int) -> Block:
    """Return series of several panels."""
    labels = [{"__name__": "m", "panel": str(n % PANELS), "n": str(n)} for n in range(PANELS * A_PANEL)]
    times = np.tile(first_ms + np.arange(count), len(labels))
    return Block(labels, np.arange(len(labels) + 1) * count, times, np.arange(len(times), dtype=np.float64))


@pytest.fixture
def whole_reads(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[int, int]]]:
    """Yield the ranges in which all series of a metric were read."""
    found: list[tuple[int, int]] = []
    before = StoreQuerier._samples

    def noted(self: StoreQuerier, wanted: Wanted, room: Budget | ReadingRoom) -> Samples:
        if not wanted.listed:
            found.append((wanted.start_ms, wanted.end_ms))
            time.sleep(0.1)  # whoever could read beside this one does
        return before(self, wanted, room)

    monkeypatch.setattr(StoreQuerier, "_samples", noted)
    return found


def ask(store: Store, panel: int, end_ms: int) -> int:
    matchers = [Matcher("__name__", MatchOp.EQUAL, "m"), Matcher("panel", MatchOp.EQUAL, str(panel))]
    return len(store.querier("t", Budget()).select(matchers, 0, end_ms).values)


def test_panels_that_are_asked_for_at_once_are_one_read(store: Store, whole_reads: list[tuple[int, int]]) -> None:
    store.appender("t").append(panels(0, SAMPLES))
    assert ask(store, 0, SAMPLES - 1) == A_PANEL * SAMPLES
    start = threading.Barrier(PANELS - 1)

    def at_once(panel: int) -> int:
        start.wait()
        return ask(store, panel, SAMPLES - 1)

    with ThreadPoolExecutor(PANELS - 1) as pool:
        assert list(pool.map(at_once, range(1, PANELS))) == [A_PANEL * SAMPLES] * (PANELS - 1)
    assert whole_reads == [(0, SAMPLES - 1)]

    store.appender("t").append(panels(SAMPLES, 5))
    assert [ask(store, panel, SAMPLES + 4) for panel in range(PANELS)] == [A_PANEL * (SAMPLES + 5)] * PANELS
    assert whole_reads[1:] == [(SAMPLES, SAMPLES + 4)]  # what is new, once


def test_a_metric_with_more_samples_than_its_first_panels_had_is_read_in_parts(
    engine: Engine, whole_reads: list[tuple[int, int]]
) -> None:
    store = Store(engine, Writer(engine), max_remembered_bytes=4 * 16 * 100)
    store.appender("t").append(panels(0, 1))
    labels = {"__name__": "m", "panel": "other", "n": "-"}
    many = np.arange(1000)
    store.appender("t").append(Block([labels], np.array([0, 1000]), many, many.astype(np.float64)))
    assert [ask(store, panel, 1000) for panel in range(PANELS)] == [A_PANEL] * PANELS
    assert whole_reads
