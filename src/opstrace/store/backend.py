"""The contract between those who write series and those who read them.

A querier and an appender are made *for a tenant*: no call below takes a tenant, so none can reach another's data.
Times are milliseconds since the epoch, ranges closed at both ends.
"""

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import cached_property
from typing import Any, Protocol, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from opstrace.errors import BadQuery
from opstrace.store.budget import Budget
from opstrace.store.traits import Traits, each_time

# Shared between queries: never change one in place. Holds `__name__`. What is read has no label without a value; who
# writes may have some, which mean "no such label".
Labels = Mapping[str, str]
T = TypeVar("T")
# How many things about the same series are remembered; one more, and all are found out again.
MAX_FINDINGS = 16


class LabelSets(tuple[Labels, ...]):  # noqa: SLOT001 (a tuple has no room for more)
    """Label sets that one query after another asks for, with what was found out about all of them together."""

    _found: dict[Hashable, Any]

    def __new__(cls, labels: Iterable[Labels]) -> Self:
        """Take the label sets, in their order."""
        made = super().__new__(cls, labels)
        made._found = {}
        return made

    def remembered(self, subject: Hashable, find: Callable[[], T]) -> T:
        """Return what was found out about a subject, or find it out."""
        try:
            known: T = self._found[subject]
        except KeyError:
            known = find()
            if len(self._found) >= MAX_FINDINGS:
                self._found.clear()
            self._found[subject] = known
        return known


def memoised(labels: Sequence[Labels], subject: Hashable, find: Callable[[], T]) -> T:
    """Return what `find` finds out about a subject of label sets; LabelSets remember it for the next time."""
    return labels.remembered(subject, find) if isinstance(labels, LabelSets) else find()


@dataclass(frozen=True, slots=True, eq=False)
class _Identity:
    """Wraps an object so that it is compared and hashed by identity, not by value."""

    one: object

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Identity) and self.one is other.one

    def __hash__(self) -> int:
        return id(self.one)


def memoised_pair(left: Sequence[Labels], right: Sequence[Labels], subject: Hashable, find: Callable[[], T]) -> T:
    """Return what `find` finds out about two lots of label sets, if both will be asked again."""
    return memoised(left, (subject, _Identity(right)), find) if isinstance(right, LabelSets) else find()


def alike(labels: Sequence[Labels], made: Iterable[Labels]) -> Sequence[Labels]:
    """Return label sets made from others: as LabelSets where those are LabelSets, else as a list."""
    return LabelSets(made) if isinstance(labels, LabelSets) else list(made)


class MatchOp(Enum):
    """How a matcher compares; regular expressions are RE2's and anchored at both ends."""

    EQUAL = "="
    NOT_EQUAL = "!="
    REGEX = "=~"
    NOT_REGEX = "!~"


@dataclass(frozen=True, slots=True)
class Matcher:
    """One condition on one label; an absent label has the value ""."""

    name: str
    op: MatchOp
    value: str

    def __post_init__(self) -> None:
        """Refuse what no label can be: a literal of PromQL holds any bytes; raises BadQuery."""
        try:
            (self.name + self.value).encode()
        except UnicodeEncodeError:
            raise BadQuery("a label's name or value in a matcher is not valid UTF-8") from None


@dataclass(frozen=True)
class Block:
    """Series with their samples, ragged: those of series i are `offsets[i]:offsets[i + 1]`.

    Within a series times ascend strictly. Stale markers are among the values, as they were written.
    """

    labels: Sequence[Labels]  # one a series, no two alike
    offsets: NDArray[np.int64]  # series + 1
    times_ms: NDArray[np.int64]  # one a sample; or those of one series, where all share them
    values: NDArray[np.float64]  # one a sample
    histograms: NDArray[np.object_] | None = None  # one a sample: a NativeHistogram, or None where the value counts
    start_times: NDArray[np.int64] | None = None  # ms, one a sample: when its counting began; 0 where nobody said
    traits: Traits | None = None  # of exactly these samples, where somebody remembers them

    @cached_property
    def timestamps(self) -> NDArray[np.int64]:
        """ms, one a sample."""
        return each_time(self.times_ms, self.values, len(self.offsets) - 1)


@dataclass(frozen=True, slots=True)
class MetricMetadata:
    """What is known of a metric name besides its samples."""

    metric: str
    type: str  # "gauge", "counter", "histogram", "summary", "unknown"
    help: str
    unit: str


@dataclass(frozen=True, slots=True)
class Statistics:
    """What a day's series are, in numbers; each table has the most numerous first."""

    series: int
    label_pairs: int
    pieces: int  # a series' samples of a day, and its histograms
    start_ms: int  # of the first day on which there is anything
    end_ms: int  # of the last one; both 0 where there is nothing
    series_by_name: Mapping[str, int]
    values_by_label: Mapping[str, int]
    bytes_by_label: Mapping[str, int]
    series_by_pair: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Portion:
    """One of about equal portions of the series that a selector matches; together they are all of them, each once."""

    number: int  # from 0 on
    of: int

    @property
    def is_all(self) -> bool:
        """Whether it is the only one."""
        return self.of == 1

    def has(self, keys: NDArray[np.uint64]) -> NDArray[np.bool_]:
        """Say which keys, such as hashes of series, are of this portion: those of a stretch of all 64 bits."""
        first, end = ((number << 64) // self.of for number in (self.number, self.number + 1))
        own: NDArray[np.bool_] = (keys >= np.uint64(first)) & (keys <= np.uint64(end - 1))
        return own


WHOLE = Portion(0, 1)


@dataclass(frozen=True, slots=True)
class Manner:
    """How a querier reads."""

    loosely: bool = False  # with more samples around the range, and series that have none inside
    portion: Portion = WHOLE  # of the series
    is_remembered: bool = True  # for others, who may want the same soon; what would not fit in memory is not


EXACTLY = Manner()


class Querier(Protocol):
    """Reads the series of one tenant within one query's budget."""

    def select(self, matchers: Sequence[Matcher], start_ms: int, end_ms: int, manner: Manner = EXACTLY) -> Block:
        """Return the series that match all matchers and have samples in the range, with these samples.

        In another manner there may be more of them, or fewer.
        """
        ...

    def series(self, selectors: Sequence[Sequence[Matcher]], start_ms: int, end_ms: int) -> list[Labels]:
        """Return the label sets matched by any of the selectors and seen in the range."""
        ...

    def label_names(self, selectors: Sequence[Sequence[Matcher]], start_ms: int, end_ms: int) -> list[str]:
        """Return the sorted names of the labels of these series; of all series without selectors."""
        ...

    def label_values(
        self, name: str, selectors: Sequence[Sequence[Matcher]], start_ms: int, end_ms: int
    ) -> list[str]:
        """Return the sorted values of one label among these series; among all series without selectors."""
        ...

    def metadata(self, metric: str | None = None) -> list[MetricMetadata]:
        """Return what is known of one metric, or of all."""
        ...

    def statistics(self, at_ms: int, limit: int) -> Statistics:
        """Return the series of a moment's day in numbers, `limit` rows of each table."""
        ...


class Appender(Protocol):
    """Writes series that are already in Prometheus's view, for one tenant."""

    def append(self, block: Block) -> None:
        """Make the block durable, then return."""
        ...


class Backend(Protocol):
    """Where series live: in the embedded engine, or in a distributed one."""

    def querier(self, tenant: str, budget: Budget) -> Querier:
        """Return a reader of this tenant's series."""
        ...

    def appender(self, tenant: str) -> Appender:
        """Return a writer of this tenant's series."""
        ...
