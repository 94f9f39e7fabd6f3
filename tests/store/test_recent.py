"""What queries remember, and what they read again; that it is right is for test_store.py to say."""

import math

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from opstrace.store import changes as changes_module
from opstrace.store.changes import Changes
from opstrace.store.recent import RecentReads
from opstrace.store.samples import Samples


def samples(first: int, last: int, series: int = 1) -> Samples:
    """Return series with a sample a millisecond."""
    times = np.arange(first, last + 1)
    return Samples(
        np.arange(series if len(times) else 0, dtype=np.uint64),
        np.arange(series + 1 if len(times) else 1) * len(times),
        np.tile(times, series),
        np.tile(times.astype(np.float64), series),
    )


class Reader:
    """Asks for samples, and notes what was read for it."""

    def __init__(self, max_bytes: int = 1_000_000, series: int = 1) -> None:
        self.changes = Changes()
        self.recent = RecentReads(self.changes, max_bytes)
        self.reads: list[tuple[int, int]] = []
        self.series = series

    def ask(self, start: int, end: int, key: str = "k") -> list[tuple[int, int]]:
        """Return the ranges that were read for an answer."""
        self.reads.clear()
        found = self.recent.samples("t", key, start, end, self._read)
        assert found.times_ms.tolist() == list(range(start, end + 1)) * self.series
        return list(self.reads)

    def _read(self, start: int, end: int) -> Samples:
        self.reads.append((start, end))
        return samples(start, end, self.series)


def test_the_same_is_read_once_and_a_later_range_from_where_the_first_ended() -> None:
    reader = Reader()
    assert reader.ask(0, 100) == [(0, 100)]
    assert reader.ask(0, 100) == []
    assert reader.ask(10, 90) == []
    assert reader.ask(15, 115) == [(101, 115)]
    assert reader.ask(0, 115) == []
    assert reader.ask(-1, 50) == [(-1, 50)]
    assert reader.ask(60, 70) == [(60, 70)]


def test_what_a_write_may_have_changed_is_read_again() -> None:
    reader = Reader()
    reader.ask(0, 100)
    reader.changes.wrote("u", 0)
    reader.changes.wrote("t", 101)
    assert reader.ask(0, 100) == []
    reader.changes.wrote("t", 95)
    reader.changes.wrote("t", 98)
    assert reader.ask(0, 100) == [(95, 100)]
    assert reader.ask(0, 100) == []
    reader.changes.wrote("t", -1)
    assert reader.ask(0, 100) == [(0, 100)]
    reader.changes.removed()
    assert reader.ask(0, 100) == [(0, 100)]


def test_a_write_while_something_is_read_counts_as_after_it() -> None:
    changes = Changes()
    recent = RecentReads(changes, 1_000_000)

    def read(start: int, end: int) -> Samples:
        found = samples(start, end)
        changes.wrote("t", 50)
        return found

    recent.samples("t", "k", 0, 100, read)
    reads: list[tuple[int, int]] = []
    recent.samples("t", "k", 0, 100, lambda *span: reads.append(span) or samples(*span))  # type: ignore[func-returns-value]
    assert reads == [(50, 100)]


def test_a_window_that_moves_on_leaves_nothing_behind() -> None:
    reader = Reader()
    for start in range(0, 3000, 15):
        reader.ask(start, start + 100)
    assert reader.recent.nbytes <= 2 * samples(0, 101).nbytes + len(range(0, 3000, 15))


def test_memory_is_bounded_and_the_least_recently_asked_goes_first() -> None:
    only = Reader()
    only.ask(0, 99, "a")
    one = only.recent.nbytes
    reader = Reader(max_bytes=2 * one)
    for key in ("a", "b", "a", "c"):
        reader.ask(0, 99, key)
    assert reader.recent.nbytes == 2 * one
    assert [bool(reader.ask(0, 99, key)) for key in ("a", "c", "b")] == [False, False, True]
    assert reader.ask(0, 999, "large") == reader.ask(0, 999, "large") == [(0, 999)]


def test_series_are_read_again_once_their_metric_has_new_ones() -> None:
    changes = Changes()
    recent = RecentReads(changes, 1_000_000)
    reads = []

    def ask(name: str | None) -> bool:
        reads.clear()
        recent.series("t", name, name, lambda: reads.append(name) or samples(0, 0))  # type: ignore[func-returns-value]
        return bool(reads)

    assert [ask("m"), ask("m"), ask(None), ask(None)] == [True, False, True, False]
    changes.registered("t", ["n"])
    assert [ask("m"), ask(None), ask(None)] == [False, True, False]
    changes.registered("t", ["m"])
    changes.registered("u", ["m"])
    assert [ask("m"), ask("m")] == [True, False]
    changes.registered("u", None)
    assert not ask("m")
    changes.registered("t", None)
    assert [ask("m"), ask("m"), ask(None)] == [True, False, True]
    changes.registered("t", map(str, range(changes_module.MAX_REMEMBERED_NAMES + 1)))
    assert [ask("m"), ask("m")] == [True, False]


@settings(deadline=None)
@given(st.lists(st.integers(0, 50) | st.just(-1), max_size=40), st.integers(2, 8), st.data())
def test_the_oldest_since_a_moment_is_never_too_young(writes: list[int], limit: int, data: st.DataObject) -> None:
    """-1 stands for another tenant's write; with few writes nothing is forgotten, and the answer is exact."""
    before, changes_module.MAX_REMEMBERED_WRITES = changes_module.MAX_REMEMBERED_WRITES, limit
    try:
        changes, positions = Changes(), [0]
        for oldest in writes:
            changes.wrote("t" if oldest >= 0 else "u", oldest)
            positions.append(changes.position)
    finally:
        changes_module.MAX_REMEMBERED_WRITES = before
    place = data.draw(st.integers(0, len(writes)))
    expected = min((oldest for oldest in writes[place:] if oldest >= 0), default=math.inf)
    found = changes.oldest_since("t", positions[place])
    assert found <= expected
    if len(writes) <= limit:
        assert found == expected


def test_what_finds_nothing_takes_room_too() -> None:
    recent = RecentReads(Changes(), 1 << 20)
    nothing = samples(1, 0)
    for number in range(3_000):
        recent.series("t", f"{number} " + "x" * 10_000, None, lambda: nothing)
    assert sum(len(str(key)) for key in recent._known) < 1 << 20
