"""What a query may use, alone and beside others."""

import math
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from typing import Final

from opstrace.config import Limits
from opstrace.errors import BudgetExceeded, QueryCanceled, QueryTimeout

_USUAL: Final = Limits()  # where nobody says otherwise


class Share:
    """What all queries of a tenant that are under way may use together; for many threads at once."""

    def __init__(self, max_samples: int) -> None:
        self._max_samples = max_samples
        self._samples = 0
        self._lock = threading.Lock()

    def take(self, samples: int) -> None:
        """Account for samples of one of the queries, or with a negative number for its end."""
        with self._lock:
            self._samples += samples

    def check(self) -> None:
        """Raise BudgetExceeded where the queries together are beyond the limit."""
        if self._samples > self._max_samples:
            raise BudgetExceeded(
                "this tenant's queries that are under way would load too many samples into memory: "
                f"more than {self._max_samples}",
                "tenant_samples",
            )


# How often a query that waits looks whether it is still wanted.
LOOK_S = 0.05
# How long a light query waits for others to compute. One may be light and slow: nobody else has to suffer from that.
LIGHT_PATIENCE_S = 0.1


class Lane:
    """A semaphore for queries of one kind, on which nobody waits for longer than a given patience."""

    def __init__(self, width: int, patience_s: float = math.inf) -> None:
        """Nobody waits longer than the patience says: whoever has waited so long goes on beside the others."""
        self._patience_s = patience_s
        # A token a place: a semaphore of Python's takes twice as long to change hands.
        self._places: SimpleQueue[None] = SimpleQueue()
        for _ in range(width):
            self._places.put(None)

    def enter(self, waiting: "Budget") -> bool:
        """Wait for a place, and say whether there was one; raises what the budget's check raises meanwhile."""
        until = time.monotonic() + self._patience_s
        while True:
            with suppress(Empty):
                self._places.get(timeout=max(min(LOOK_S, until - time.monotonic()), 0))
                return True
            waiting.check()
            if time.monotonic() >= until:
                return False

    def leave(self) -> None:
        """Give the place to the next."""
        self._places.put(None)


# What a sample that is read, or a cell that is computed, takes while a query is evaluated; measured, 28 to 50.
BYTES_A_SAMPLE = 40
# What a native histogram takes, and each of its buckets: an entry of a dictionary, its key and its count; measured,
# 500 and 80 to 130.
BYTES_A_HISTOGRAM = 500
BYTES_A_BUCKET = 120


@dataclass(frozen=True, slots=True)
class Lanes:
    """Where queries compute. Heavy ones leave a core to whoever writes, and to light ones.

    Light ones compute one at a time: in parallel they would only contend for the interpreter's lock, which takes a
    fifth more time for all of them together.
    """

    heavy: Lane
    heavy_from: int  # samples
    light: Lane = field(default_factory=lambda: Lane(1, LIGHT_PATIENCE_S))

    def of(self, samples: int) -> Lane:
        """Return the lane of a query that read or computed so many samples."""
        return self.heavy if samples >= self.heavy_from else self.light


@dataclass(slots=True)
class Budget:
    """What one query may use; `spend` and `check` raise when it is over."""

    max_samples: int = _USUAL.max_query_samples
    max_series: int = _USUAL.max_query_series
    # On the monotonic clock.
    deadline: float = field(default_factory=lambda: time.monotonic() + _USUAL.query_timeout_s)
    canceled: bool = False
    samples: int = 0  # that are held
    peak_samples: int = 0
    given_back: int = 0  # samples that are held no more
    max_memory_bytes: int = _USUAL.max_query_memory_bytes  # of reading from the store, and of what is computed with
    held_bytes: int = 0  # by what is no sample: texts, labels, buckets
    share: Share | None = None
    lanes: Lanes | None = None
    is_computing: bool = False  # but for when it waits
    lane: Lane | None = None  # in which it computes now
    has_place: bool = False  # in that lane

    @property
    def seconds_left(self) -> float:
        """How long the query may still take; never below a millisecond, which the engine reads as no limit."""
        return max(self.deadline - time.monotonic(), 0.001)

    @property
    def samples_left(self) -> int:
        """How many samples the query may still read or compute."""
        return max(self.max_samples - self.samples, 0)

    @property
    def total_samples(self) -> int:
        """How many samples were read or computed, whatever became of them."""
        return self.samples + self.given_back

    def mark(self) -> tuple[int, int]:
        """Return what is held now."""
        return self.samples, self.held_bytes

    def back_to(self, mark: tuple[int, int]) -> None:
        """Give back what is held beyond a mark, and go on computing, if an error interrupted that."""
        samples, self.held_bytes = mark
        surplus = self.samples - samples
        if self.share is not None:
            self.share.take(-surplus)
        self.given_back += surplus
        self.samples = samples
        if self.is_computing and self.lane is None:
            self._enter()

    def check(self) -> None:
        """Raise QueryTimeout past the deadline and QueryCanceled once the client went away."""
        if self.canceled:
            raise QueryCanceled("query was canceled")
        if time.monotonic() > self.deadline:
            raise QueryTimeout("query timed out")

    def spend(self, samples: int) -> None:
        """Account for samples read or computed; raise BudgetExceeded beyond the limit."""
        if self.samples + samples > self.max_samples:
            raise BudgetExceeded(
                f"query processing would load too many samples into memory: more than {self.max_samples}",
                "samples",
                (self.samples + samples) / max(self.max_samples, 1),
            )
        self.samples += samples
        self.peak_samples = max(self.peak_samples, self.samples)
        if self.share is not None:
            self.share.take(samples)
            self.share.check()
        self.hold(0)
        if self.lanes is not None and self.lane is not None and self.lane is not self.lanes.of(self.total_samples):
            self._leave()
            self._enter()

    def spend_buckets(self, buckets: int, histograms: int) -> None:
        """Account for native histograms, each bucket a sample that takes more memory; raise as `spend` does."""
        self.hold(histograms * BYTES_A_HISTOGRAM + buckets * (BYTES_A_BUCKET - BYTES_A_SAMPLE))
        self.spend(buckets)

    def hold(self, nbytes: int) -> None:
        """Account for memory beside that of samples, or with a negative number for its end; raise as `spend` does."""
        self.held_bytes += nbytes
        if self.samples * BYTES_A_SAMPLE + self.held_bytes > self.max_memory_bytes:
            raise BudgetExceeded(
                f"the query needs more memory than it may use: more than {self.max_memory_bytes} bytes", "memory"
            )
        self.check()

    @contextmanager
    def computing(self) -> Iterator[None]:
        """Compute inside, when it is the query's turn."""
        self._enter()
        self.is_computing = True
        try:
            yield
        finally:
            self.is_computing = False
            self._leave()

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Let other queries compute while inside; an error goes on at once."""
        computes = self.lane is not None
        self._leave()
        yield
        if computes:
            self._enter()

    def _enter(self) -> None:
        if self.lanes is not None:
            lane = self.lanes.of(self.total_samples)
            self.has_place = lane.enter(self)
            self.lane = lane

    def _leave(self) -> None:
        if self.lane is not None and self.has_place:
            self.lane.leave()
        self.lane = None

    def release(self) -> None:
        """Give back what the query held of its tenant's share; on its end."""
        if self.share is not None:
            self.share.take(-self.samples)
            self.share = None
