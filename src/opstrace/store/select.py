"""The read side of the store, bound to one tenant and one query's budget.

Matchers → rows of `series` (labels, once) → rows of `samples` in key order → one ragged block. Series rows are kept
a day, so series, label names and label values answer for whole days (UTC).
"""

from collections.abc import Sequence
from dataclasses import replace
from hashlib import blake2b

import numpy as np

from opstrace.errors import BudgetExceeded
from opstrace.store.backend import EXACTLY, Block, Labels, Manner, Matcher, MatchOp, MetricMetadata, Statistics
from opstrace.store.budget import Budget
from opstrace.store.engine import Engine
from opstrace.store.host_tag_table import HostTagTable
from opstrace.store.host_tags import HostView
from opstrace.store.label_reader import LabelReader
from opstrace.store.overview import metadata, statistics
from opstrace.store.piece_reader import final_samples, pieces_of
from opstrace.store.pieces import Aspect, joined
from opstrace.store.reading import Reading, Wanted
from opstrace.store.recent import RecentReads
from opstrace.store.resolved import Resolved, joined_with_hosts
from opstrace.store.samples import Samples
from opstrace.store.selectors import condition, metric_of
from opstrace.store.shared_reads import Metric, ReadingRoom, SharedReads, TooMany

# Whose samples are remembered: those of all series of metrics, and what is read of all of them for selectors of some.
_ALL, _SHARED = b"all", b"shared"

EMPTY = Block(
    labels=(),
    offsets=np.zeros(1, dtype=np.int64),
    times_ms=np.zeros(0, dtype=np.int64),
    values=np.zeros(0, dtype=np.float64),
)


class StoreQuerier:
    """Reads one tenant's series within one query's budget."""

    def __init__(
        self,
        engine: Engine,
        recent: RecentReads,
        shared: SharedReads,
        tenant: str,
        budget: Budget,
        host_tags: HostTagTable | None = None,
    ) -> None:
        self._reading = Reading(engine, tenant, budget)
        self._recent = recent
        self._shared = shared
        self._tenant = tenant
        self._budget = budget
        self._host_tags = host_tags

    def select(self, matchers: Sequence[Matcher], start_ms: int, end_ms: int, manner: Manner = EXACTLY) -> Block:
        """Return the matching series that have samples in the range, with these samples."""
        # A selector of nothing but names wants every series of its metrics: no list of them is needed.
        listed = any(m.name != "__name__" for m in matchers) or not manner.portion.is_all
        view = self._view(start_ms, end_ms)
        resolved = self._resolve(matchers, start_ms, end_ms, view)
        if view is None:
            return self._own_block(Wanted(resolved.portion(manner.portion), listed, start_ms, end_ms, manner))
        standing = view.standing
        if standing is None:
            # Tags change in the range: each sample is looked at.
            found, manner = joined_with_hosts(resolved, matchers, view), replace(manner, loosely=False)
        else:
            key = (id(resolved), tuple(matchers), standing)
            owners = (resolved, view.tags)
            found = self._recent.derived(key, owners, lambda: joined_with_hosts(resolved, matchers, view))
        # Series of one host may become one.
        left = found.left.portion(manner.portion, view.tags.hosts)
        return found.join.apply(self._own_block(Wanted(left, listed, start_ms, end_ms, manner)))

    def series(self, selectors: Sequence[Sequence[Matcher]], start_ms: int, end_ms: int) -> list[Labels]:
        """Return the label sets matched by any of the selectors and seen on the days of the range."""
        return self._labels(start_ms, end_ms).label_sets(selectors)

    def label_names(self, selectors: Sequence[Sequence[Matcher]], start_ms: int, end_ms: int) -> list[str]:
        """Return the sorted names of the labels of these series; of all series without selectors."""
        return self._labels(start_ms, end_ms).names(selectors)

    def label_values(
        self, name: str, selectors: Sequence[Sequence[Matcher]], start_ms: int, end_ms: int
    ) -> list[str]:
        """Return the sorted values of one label among these series; among all series without selectors."""
        return self._labels(start_ms, end_ms).values(name, selectors)

    def metadata(self, metric: str | None = None) -> list[MetricMetadata]:
        """Return what is known of one metric, or of all; what remote write told counts more."""
        return metadata(self._reading, metric)

    def statistics(self, at_ms: int, limit: int) -> Statistics:
        """Return the series of a moment's day in numbers, `limit` rows of each table."""
        return statistics(self._reading, at_ms, limit)

    def _labels(self, start_ms: int, end_ms: int) -> LabelReader:
        return LabelReader(self._reading, start_ms, end_ms, self._view(start_ms, end_ms))

    def _view(self, start_ms: int, end_ms: int) -> HostView | None:
        """Return the tags of hosts in the range; None for a tenant without any."""
        return self._host_tags.view(self._tenant, start_ms, end_ms) if self._host_tags else None

    def _resolve(
        self, matchers: Sequence[Matcher], start_ms: int, end_ms: int, view: HostView | None = None
    ) -> Resolved:
        where = condition(self._tenant, [matchers], start_ms, end_ms, view)

        def anew() -> Resolved:
            return Resolved.of_table(self._reading.read("select_series", where))

        found = self._recent.series(self._tenant, repr(where), metric_of(matchers), anew)
        if len(found.labels) > self._budget.max_series:
            raise BudgetExceeded(f"the selector matches more than {self._budget.max_series} series", "series")
        return found

    def _own_block(self, wanted: Wanted) -> Block:
        """Return the series with their samples, under their own labels: the same objects."""
        resolved = wanted.resolved
        if not resolved.labels:
            return EMPTY
        if (resolved.aspects != Aspect.SAMPLES).any():
            return joined(pieces_of(self._reading, wanted), resolved.labels)
        if len(resolved.labels) < len(resolved.series):
            # Stored series that are one in PromQL: of samples of one time that of the latest commit counts.
            return joined([final_samples(self._reading, wanted)], resolved.labels)
        if not wanted.manner.is_remembered:
            return _block(self._samples(wanted, self._budget).of(resolved.series), resolved)
        # Others may be new since these were found, or were there in what was remembered around the range.
        return _block(self._ordered_samples(wanted).of(resolved.series), resolved)

    def _ordered_samples(self, wanted: Wanted) -> Samples:
        """Return the samples of these series, each once."""
        resolved, listed = wanted.resolved, wanted.listed
        metric = (self._tenant, np.unique(resolved.metrics).tobytes())
        selection = blake2b(resolved.series.tobytes()).digest() if listed else _ALL
        spent = 0

        def own(start_ms: int, end_ms: int) -> Samples:
            nonlocal spent
            samples = self._samples(Wanted(resolved, listed, start_ms, end_ms), self._budget)
            spent = len(samples.values)
            return samples

        def of_some(start_ms: int, end_ms: int) -> Samples:
            with self._shared.first(metric, self._budget) as is_first:
                samples = None
                if not is_first:
                    samples = self._of_whole(metric, selection, Wanted(resolved, listed, start_ms, end_ms))
                if samples is None:
                    samples = own(start_ms, end_ms)
                self._shared.note(metric, selection, samples, end_ms - start_ms)
            return samples

        samples = self._recent.samples(
            self._tenant,
            (*metric, selection),
            wanted.start_ms,
            wanted.end_ms,
            of_some if listed else own,
            loosely=wanted.manner.loosely,
        )
        self._budget.spend(max(len(samples.values) - spent, 0))
        return samples

    def _of_whole(self, metric: Metric, selection: bytes, wanted: Wanted) -> Samples | None:
        """Return the samples of some of a metric's series out of those of all; nothing where that does not pay."""
        resolved, start_ms, end_ms = wanted.resolved, wanted.start_ms, wanted.end_ms

        def series() -> int:
            return self._series_of_metric(resolved.labels[0]["__name__"], start_ms, end_ms)

        def read(start_ms: int, end_ms: int) -> Samples:
            # The others are not this query's: they are remembered, in memory that is set apart for that.
            room = ReadingRoom(self._shared.max_samples, self._budget)
            samples = self._samples(Wanted(resolved, False, start_ms, end_ms), room)
            if room.samples_left < 0:
                raise TooMany
            return samples

        one_metric = int(resolved.metrics.min()) == int(resolved.metrics.max())
        if not one_metric or not self._shared.pays(
            metric, selection, len(resolved.series), end_ms - start_ms, series
        ):
            return None
        try:
            with self._shared.alone(metric, self._budget):
                whole = self._recent.samples(self._tenant, (*metric, _SHARED), start_ms, end_ms, read, loosely=True)
        except TooMany:
            return None
        return whole.of(resolved.series).within(start_ms, end_ms)

    def _samples(self, wanted: Wanted, room: Budget | ReadingRoom) -> Samples:
        """Read samples from the store, each once."""
        before = self._budget.samples
        try:
            runs = self._reading.runs("select_samples", wanted, room)
        except BudgetExceeded as error:
            if error.budget == "samples":
                error.excess = (before + self._count(wanted)) / max(self._budget.max_samples, 1)
            raise
        samples = runs.samples()
        if samples is None:
            # They are read anew, without those that are there twice.
            room.spend(-runs.rows)
            samples = self._reading.runs("select_samples_final", wanted, room).samples()
            assert samples is not None  # the engine leaves none twice
        return samples

    def _count(self, wanted: Wanted) -> int:
        return int(self._reading.rows("count_samples", wanted)["samples"][0].as_py())

    def _series_of_metric(self, name: str, start_ms: int, end_ms: int) -> int:
        where = condition(self._tenant, [[Matcher("__name__", MatchOp.EQUAL, name)]], start_ms, end_ms)
        key = ("count", repr(where))
        counted = self._recent.series(self._tenant, key, name, lambda: self._reading.read("count_series", where))
        return int(counted["series"][0].as_py())


def _block(samples: Samples, resolved: Resolved) -> Block:
    """Make the block of samples, each series under labels of its own."""
    labels: Sequence[Labels] = resolved.labels
    if len(samples.series) < len(resolved.series):
        labels = [labels[owner] for owner in resolved.rows_of(samples.series).tolist()]
    return Block(
        labels=labels,
        offsets=samples.offsets,
        times_ms=samples.times_ms,
        values=samples.values,
        traits=samples.traits,
    )
