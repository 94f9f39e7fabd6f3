"""One read for several selectors of a metric, as where each panel of a dashboard shows some of its series.

Series of a selector lie among all others of their metric: to find one in twenty of 10,000, the engine goes through so
much that all of them cost three times as much, and what was written since a moment ago costs the same. So from the
second selector on, all of the metric is read, once, and each takes its own from that.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from threading import Lock
from typing import Final, TypeAlias

from opstrace.store.budget import LOOK_S, Budget
from opstrace.store.samples import Samples

# A tenant, and its metric's number.
Metric: TypeAlias = tuple[str, bytes]

# Metrics whose selectors are remembered; beyond it those not asked for longest are selected as if for the first time.
MAX_METRICS: Final = 1_000
# A whole metric may take no more than this part of the memory for what was read lately.
_MOST_OF_MEMORY: Final = 0.25
_BYTES_A_SAMPLE: Final = 16
# Samples that lie together in the engine, of which it reads all or none (index_granularity in schema.sql).
_GRANULE: Final = 2048
# So many selectors are expected to share what is read.
_SHARED_BY: Final = 8


class TooMany(Exception):
    """A whole metric has more samples than are read at once; it is no error, each selector reads its own then."""


@dataclass(slots=True)
class ReadingRoom:
    """What reading a whole metric may take: its samples are not the query's, which wants but some of them."""

    samples_left: int
    budget: Budget

    def spend(self, samples: int) -> None:
        """Account for samples that were read; what is left is below zero if there was not enough room."""
        self.budget.check()
        self.samples_left -= samples


@dataclass(slots=True)
class _Asked:
    """What was asked for of a metric lately."""

    # The last two selections of series, and how many samples each series of them has a millisecond.
    densities: OrderedDict[bytes, float] = field(default_factory=OrderedDict)
    reading: Lock = field(default_factory=Lock)


class SharedReads:
    """Says when to read a whole metric; for many threads at once."""

    def __init__(self, max_bytes: int) -> None:
        """Take the memory for what was read lately."""
        self.max_samples = int(max_bytes * _MOST_OF_MEMORY) // _BYTES_A_SAMPLE
        self._lock = Lock()
        self._asked: OrderedDict[Metric, _Asked] = OrderedDict()

    def note(self, metric: Metric, selection: bytes, samples: Samples, length_ms: int) -> None:
        """Remember that some series were asked for, and found to have these samples in a range of that length."""
        asked = self._of(metric)
        with self._lock:
            asked.densities[selection] = len(samples.values) / max(len(samples.series), 1) / max(length_ms, 1)
            asked.densities.move_to_end(selection)
            while len(asked.densities) > 2:
                asked.densities.popitem(last=False)

    def pays(
        self, metric: Metric, selection: bytes, selected: int, length_ms: int, series: Callable[[], int]
    ) -> bool:
        """Say whether to read all of a metric for some of its series: whether others are asked for, too.

        `selected` is how many are wanted, `series` says how many there are.
        """
        asked = self._of(metric)
        with self._lock:
            densities = [density for other, density in asked.densities.items() if other != selection]
        if not densities:
            return False
        samples = series() * max(densities[0] * length_ms, 1)
        return samples <= min(self.max_samples, _SHARED_BY * _GRANULE * selected)

    @contextmanager
    def first(self, metric: Metric, budget: Budget) -> Iterator[bool]:
        """Let the first selection of a metric be read before all others, which then know whether to read all of it.

        Says whether this is the first. Raises what the budget's check does.
        """
        with ExitStack() as inside:
            is_first = not self._is_known(metric)
            if is_first:
                inside.enter_context(self.alone(metric, budget))
                is_first = not self._is_known(metric)
            if not is_first:
                inside.close()
            yield is_first

    def _is_known(self, metric: Metric) -> bool:
        asked = self._of(metric)
        with self._lock:
            return bool(asked.densities)

    @contextmanager
    def alone(self, metric: Metric, budget: Budget) -> Iterator[None]:
        """Let one read at a time: the second finds what the first has read. Raises what the budget's check does."""
        reading = self._of(metric).reading
        held = reading.acquire(blocking=False)
        try:
            if not held:
                with budget.waiting():
                    while not (held := reading.acquire(timeout=LOOK_S)):
                        budget.check()
            yield
        finally:
            if held:
                reading.release()

    def _of(self, metric: Metric) -> _Asked:
        with self._lock:
            asked = self._asked.setdefault(metric, _Asked())
            self._asked.move_to_end(metric)
            if len(self._asked) > MAX_METRICS:
                self._asked.popitem(last=False)
            return asked
