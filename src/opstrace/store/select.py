"""The read side of the store, bound to one tenant and one query's budget.

Matchers → rows of `series` (labels, once) → rows of `samples` in key order → one ragged block. Series rows are kept
a day, so series, label names and label values answer for whole days (UTC).
"""

import re
from collections.abc import Collection, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from datetime import date
from hashlib import blake2b
from typing import TYPE_CHECKING

import msgspec
import numpy as np
import pyarrow as pa

from opstrace.errors import BadQuery, BudgetExceeded
from opstrace.store.backend import Block, Labels, LabelSets, Matcher, MatchOp, MetricMetadata, Statistics
from opstrace.store.budget import Budget
from opstrace.store.engine import Engine, Parameter, statement
from opstrace.store.host_tag_table import HostTagTable
from opstrace.store.host_tags import HostView, Join, Room, Spell, told_apart
from opstrace.store.pieces import SKETCH_NUMBERS, Aspect, Piece, StoredSketches, joined
from opstrace.store.recent import RecentReads
from opstrace.store.samples import Runs, Samples
from opstrace.store.shared_reads import Metric, ReadingRoom, SharedReads, TooMany

if TYPE_CHECKING:
    from numpy.typing import NDArray

# A statement of the engine has 256 KiB at most, and each matcher is part of one.
MAX_MATCHERS = 1_000

_LEGAL_NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_MS_PER_DAY = 86_400_000
# A statement may be 256 KiB long; a longer list of series goes in as a table, which costs some 8 ms.
_MAX_LISTED_SERIES = 2_000
# A dictionary of some eight labels, whose texts no other shares, and what is found out about it.
_BYTES_A_SERIES = 2_000
_LAST_DAY = 120_529  # 2299-12-31, the last Date32
_TEMPLATES: dict[MatchOp, str] = {
    MatchOp.EQUAL: "{label} = {{{value}:String}}",
    MatchOp.NOT_EQUAL: "{label} != {{{value}:String}}",
    MatchOp.REGEX: "match({label}, {{{value}:String}})",
    MatchOp.NOT_REGEX: "NOT match({label}, {{{value}:String}})",
}
_REGEX_OPS = (MatchOp.REGEX, MatchOp.NOT_REGEX)
# Datadog's values are gauges to a Prometheus client: a count is an increase since the last one, not a counter.
_METADATA_TYPES = {
    "gauge": "gauge",
    "rate": "gauge",
    "count": "gauge",
    "service_check": "gauge",
    "distribution": "gauge",
    "native": "histogram",
}
# Whose samples are remembered: those of all series of metrics, and what is read of all of them for selectors of some.
_ALL, _SHARED = b"all", b"shared"
_labels_decoder = msgspec.json.Decoder(list[dict[str, str]])


@dataclass(slots=True)
class Condition:
    """A WHERE clause over `series` with its parameters."""

    clause: str
    parameters: dict[str, Parameter] = field(default_factory=dict)


def condition(
    tenant: str, selectors: Sequence[Sequence[Matcher]], start_ms: int, end_ms: int, view: HostView | None = None
) -> Condition:
    """Return the condition that holds for series of the tenant, seen in the range, matched by any selector.

    With a view of hosts' tags it also holds for others: a join says which of them match.
    """
    _check_number(selectors)
    result = Condition("tenant = {tenant:String} AND day BETWEEN toDate32({first:Int32}) AND toDate32({last:Int32})")
    result.parameters.update(tenant=tenant, first=_day(start_ms), last=_day(end_ms))
    room = Room()
    alternatives = [
        _selector(matchers, index, result.parameters, view, room) for index, matchers in enumerate(selectors)
    ]
    if alternatives:
        result.clause += f" AND ({' OR '.join(alternatives)})"
    return result


def _check_number(selectors: Sequence[Sequence[Matcher]]) -> None:
    """Raise BadQuery where there are too many matchers in all of the selectors."""
    if sum(map(len, selectors)) > MAX_MATCHERS:
        raise BadQuery(f"a query may have {MAX_MATCHERS} matchers at most, this one has more")


def _day(time_ms: int) -> int:
    return min(max(time_ms // _MS_PER_DAY, -25_567), _LAST_DAY)


def _selector(
    matchers: Sequence[Matcher], index: int, parameters: dict[str, Parameter], view: HostView | None, room: Room
) -> str:
    clauses = []
    for i, matcher in enumerate(matchers):
        clause = _matcher(matcher, f"{index}_{i}", parameters)
        clauses.append(view.widened(clause, matcher, f"{index}_{i}", parameters, room) if view else clause)
    return f"({' AND '.join(clauses)})" if clauses else "1"


def _matcher(matcher: Matcher, suffix: str, parameters: dict[str, Parameter]) -> str:
    value = f"value_{suffix}"
    parameters[value] = f"^(?s:{matcher.value})$" if matcher.op in _REGEX_OPS else matcher.value
    if matcher.name != "__name__":
        parameters[f"label_{suffix}"] = matcher.name
        return _TEMPLATES[matcher.op].format(label=f"labels[{{label_{suffix}:String}}]", value=value)
    clause = _TEMPLATES[matcher.op].format(label="name", value=value)
    if matcher.op is MatchOp.EQUAL and not _LEGAL_NAME.fullmatch(matcher.value):
        # A name that Prometheus's alphabet cannot write is Datadog's own: {"system.net.bytes_rcvd"}.
        return f"({clause} OR metric_name = {{{value}:String}})"
    return clause


@dataclass(frozen=True, slots=True)
class Resolved:
    """The series that matchers select: one row a stored series, of which several may be one in PromQL."""

    series: "NDArray[np.uint64]"  # ascending; once for each aspect
    rows: "NDArray[np.int64]"  # index into labels, one a stored series
    metrics: "NDArray[np.uint64]"  # one a stored series
    aspects: "NDArray[np.int8]"  # one a stored series, of Aspect
    labels: LabelSets  # in the order of their first series

    @property
    def nbytes(self) -> int:
        """About what this takes in memory."""
        return _BYTES_A_SERIES * len(self.series)

    def of(self, aspects: Collection[Aspect]) -> "Resolved":
        """Return those of some aspects, with the same labels."""
        wanted = np.isin(self.aspects, list(aspects))
        return replace(
            self,
            series=self.series[wanted],
            rows=self.rows[wanted],
            metrics=self.metrics[wanted],
            aspects=self.aspects[wanted],
        )

    def under(self, wanted: "NDArray[np.bool_]") -> "Resolved":
        """Return those under some of the labels, and these labels."""
        if wanted.all():
            return self
        kept, renumbered = wanted[self.rows], np.cumsum(wanted) - 1
        return Resolved(
            series=self.series[kept],
            rows=renumbered[self.rows[kept]],
            metrics=self.metrics[kept],
            aspects=self.aspects[kept],
            labels=LabelSets(labels for labels, keep in zip(self.labels, wanted.tolist(), strict=True) if keep),
        )

    def own(self, table: pa.Table) -> pa.Table:
        """Return the rows of these series: of all of a metric, some may be new since these were found."""
        are_own = np.isin(table["series"].to_numpy(), self.series)
        return table if are_own.all() else table.filter(pa.array(are_own))

    def rows_of(self, series: "NDArray[np.uint64]") -> "NDArray[np.int64]":
        """Return the index into labels of stored series, all of them among these."""
        return self.rows[np.searchsorted(self.series, series)]


@dataclass(frozen=True, slots=True)
class _Joined:
    """The series of a selector and their hosts."""

    join: Join
    left: Resolved  # those that match

    @property
    def nbytes(self) -> int:
        """About what this takes in memory."""
        return self.left.nbytes


def _joined(resolved: Resolved, matchers: Sequence[Matcher], view: HostView) -> _Joined:
    join = view.join(resolved.labels, matchers)
    return _Joined(join, resolved.under(join.left))


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
        self._engine = engine
        self._recent = recent
        self._shared = shared
        self._tenant = tenant
        self._budget = budget
        self._host_tags = host_tags

    def select(self, matchers: Sequence[Matcher], start_ms: int, end_ms: int, *, loosely: bool = False) -> Block:
        """Return the matching series that have samples in the range, with these samples; loosely with more."""
        # A selector of nothing but names wants every series of its metrics: no list of them is needed.
        listed = any(m.name != "__name__" for m in matchers)
        view = self._view(start_ms, end_ms)
        resolved = self._resolve(matchers, start_ms, end_ms, view)
        if view is None:
            return self._own_block(resolved, listed, start_ms, end_ms, loosely=loosely)
        standing = view.standing
        if standing is None:
            # Tags change in the range: each sample is looked at.
            joined, loosely = _joined(resolved, matchers, view), False
        else:
            key = (id(resolved), tuple(matchers), standing)
            joined = self._recent.derived(key, (resolved, view.tags), lambda: _joined(resolved, matchers, view))
        return joined.join.apply(self._own_block(joined.left, listed, start_ms, end_ms, loosely=loosely))

    def _own_block(self, resolved: Resolved, listed: bool, start_ms: int, end_ms: int, *, loosely: bool) -> Block:
        """Return the series with their samples, under their own labels: the same objects."""
        if not resolved.labels:
            return EMPTY
        if (resolved.aspects != Aspect.SAMPLES).any():
            return joined(self._pieces(resolved, listed, start_ms, end_ms), resolved.labels)
        if len(resolved.labels) < len(resolved.series):
            # Stored series that are one in PromQL: of samples of one time that of the latest commit counts.
            return joined([self._final_samples(resolved, listed, start_ms, end_ms)], resolved.labels)
        samples = self._ordered_samples(resolved, listed, start_ms, end_ms, loosely=loosely)
        # Others may be new since these were found, or were there in what was remembered around the range.
        return _block(samples.of(resolved.series), resolved)

    def _ordered_samples(
        self, resolved: Resolved, listed: bool, start_ms: int, end_ms: int, *, loosely: bool
    ) -> Samples:
        """Return the samples of these series, each once."""
        metric = (self._tenant, np.unique(resolved.metrics).tobytes())
        selection = blake2b(resolved.series.tobytes()).digest() if listed else _ALL
        spent = 0

        def own(start_ms: int, end_ms: int) -> Samples:
            nonlocal spent
            samples = self._samples(resolved, listed, start_ms, end_ms, self._budget)
            spent = len(samples.values)
            return samples

        def of_some(start_ms: int, end_ms: int) -> Samples:
            with self._shared.first(metric, self._budget) as is_first:
                samples = None
                if not is_first:
                    samples = self._of_whole(metric, selection, resolved, start_ms, end_ms)
                if samples is None:
                    samples = own(start_ms, end_ms)
                self._shared.note(metric, selection, samples, end_ms - start_ms)
            return samples

        key = (*metric, selection)
        samples = self._recent.samples(
            self._tenant, key, start_ms, end_ms, of_some if listed else own, loosely=loosely
        )
        self._budget.spend(max(len(samples.values) - spent, 0))
        return samples

    def _of_whole(
        self, metric: Metric, selection: bytes, resolved: Resolved, start_ms: int, end_ms: int
    ) -> Samples | None:
        """Return the samples of some of a metric's series out of those of all; nothing where that does not pay."""

        def series() -> int:
            return self._series_of_metric(resolved.labels[0]["__name__"], start_ms, end_ms)

        def read(start_ms: int, end_ms: int) -> Samples:
            # The others are not this query's: they are remembered, in memory that is set apart for that.
            room = ReadingRoom(self._shared.max_samples, self._budget)
            samples = self._samples(resolved, False, start_ms, end_ms, room)
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

    def _samples(
        self, resolved: Resolved, listed: bool, start_ms: int, end_ms: int, room: Budget | ReadingRoom
    ) -> Samples:
        """Read samples from the store, each once."""
        runs = self._runs("select_samples", resolved, listed, start_ms, end_ms, room)
        samples = runs.samples()
        if samples is None:
            # They are read anew, without those that are there twice.
            room.spend(-runs.rows)
            samples = self._runs("select_samples_final", resolved, listed, start_ms, end_ms, room).samples()
            assert samples is not None  # the engine leaves none twice
        return samples

    def _series_of_metric(self, name: str, start_ms: int, end_ms: int) -> int:
        where = condition(self._tenant, [[Matcher("__name__", MatchOp.EQUAL, name)]], start_ms, end_ms)
        key = ("count", repr(where))
        counted = self._recent.series(self._tenant, key, name, lambda: self._read("count_series", where))
        return int(counted["series"][0].as_py())

    def series(self, selectors: Sequence[Sequence[Matcher]], start_ms: int, end_ms: int) -> list[Labels]:
        """Return the label sets matched by any of the selectors and seen on the days of the range."""
        view = self._view(start_ms, end_ms)
        if view is None:
            return self._label_sets(condition(self._tenant, selectors, start_ms, end_ms))
        _check_number(selectors)
        found: dict[bytes, Labels] = {}
        for matchers in selectors or [[]]:
            where = condition(self._tenant, [matchers], start_ms, end_ms, view)
            found |= view.join(self._label_sets(where), matchers).labels()
        return list(found.values())

    def _label_sets(self, where: Condition) -> list[Labels]:
        table = self._read("select_labels", where)
        return _labels(table, _alien(table))

    def label_names(self, selectors: Sequence[Sequence[Matcher]], start_ms: int, end_ms: int) -> list[str]:
        """Return the sorted names of the labels of these series; of all series without selectors."""
        view = self._view(start_ms, end_ms)
        if view is None:
            return self._column("label_names", condition(self._tenant, selectors, start_ms, end_ms))
        names: set[str] = set()
        for own, spells in self._by_host(selectors, "groupUniqArrayArray(mapKeys(labels))", start_ms, end_ms, view):
            names = names.union(own if spells else (), *(spell.labels for spell in spells))
        return sorted({"__name__", *names} if names else names)

    def label_values(
        self, name: str, selectors: Sequence[Sequence[Matcher]], start_ms: int, end_ms: int
    ) -> list[str]:
        """Return the sorted values of one label among these series; among all series without selectors."""
        view = self._view(start_ms, end_ms)
        if view and (name in view.keys or any(view.on_hosts(matchers) for matchers in selectors)):
            return self._joined_values(name, selectors, start_ms, end_ms, view)
        where = condition(self._tenant, selectors, start_ms, end_ms)
        if name == "__name__":
            return self._column("metric_names", where)
        where.parameters["label"] = name
        return self._column("label_values", where)

    def _joined_values(
        self, name: str, selectors: Sequence[Sequence[Matcher]], start_ms: int, end_ms: int, view: HostView
    ) -> list[str]:
        wanted = "groupUniqArray(name)" if name == "__name__" else "[]"
        found: set[str] = set()
        for own, spells in self._by_host(selectors, wanted, start_ms, end_ms, view, name):
            found = found.union(own if spells else (), (spell.labels.get(name, "") for spell in spells))
        return sorted(found - {""})

    def _by_host(
        self,
        selectors: Sequence[Sequence[Matcher]],
        wanted: str,
        start_ms: int,
        end_ms: int,
        view: HostView,
        *names: str,
    ) -> Iterator[tuple[list[str], list[Spell]]]:
        """Yield, for series of one host that agree in some labels, what is wanted of them, and these labels joined.

        The labels are those with the given names and those that selectors look at.
        """
        _check_number(selectors)
        for matchers in selectors or [[]]:
            where = condition(self._tenant, [matchers], start_ms, end_ms, view)
            keys = sorted({"instance", "job", *names, *(matcher.name for matcher in view.on_hosts(matchers))})
            where.parameters["keys"] = keys
            table = self._read("labels_by_host", where, wanted=wanted)
            own = told_apart(
                (
                    {key: content for key, content in zip(keys, contents, strict=True) if content}
                    for contents in table["contents"].to_pylist()
                ),
                table["alien"].to_pylist(),
            )
            yield from zip(table["wanted"].to_pylist(), view.spells(own, matchers), strict=True)

    def metadata(self, metric: str | None = None) -> list[MetricMetadata]:
        """Return what is known of one metric, or of all; what remote write told counts more."""
        selector = [] if metric is None else [[Matcher("__name__", MatchOp.EQUAL, metric)]]
        table = self._read("metadata", condition(self._tenant, selector, 0, _LAST_DAY * _MS_PER_DAY))
        known = {row["name"]: _seen_metadata(**row) for row in table.to_pylist()}
        where = Condition("tenant = {tenant:String}", {"tenant": self._tenant})
        if metric is not None:
            where.clause += " AND name = {metric:String}"
            where.parameters["metric"] = metric
        told = {row["name"]: _told_metadata(**row) for row in self._read("told_metadata", where).to_pylist()}
        return [entry for _, entry in sorted((known | told).items())]

    def statistics(self, at_ms: int, limit: int) -> Statistics:
        """Return the series of a moment's day in numbers, `limit` rows of each table."""
        where = condition(self._tenant, [], at_ms, at_ms)
        totals = self._read("statistics", where).to_pylist()[0]
        ever = condition(self._tenant, [], 0, _LAST_DAY * _MS_PER_DAY)
        days = self._read("statistics_days", ever).to_pylist()[0]
        first, last = (
            (days[name] - date(1970, 1, 1)).days if days["known"] else 0 for name in ("first_day", "last_day")
        )
        where.parameters["limit"] = limit

        def table(name: str, column: str = "total", **clauses: str) -> dict[str, int]:
            return {row["subject"]: row[column] for row in self._read(name, where, **clauses).to_pylist()}

        return Statistics(
            series=totals["label_sets"],
            label_pairs=totals["pairs"],
            pieces=totals["pieces"],
            start_ms=first * _MS_PER_DAY,
            end_ms=min((last + 1) * _MS_PER_DAY - 1, at_ms) if days["known"] else 0,
            series_by_name=table("statistics_by_name"),
            values_by_label=table("statistics_by_label", order="total"),
            bytes_by_label=table("statistics_by_label", "size_bytes", order="size_bytes"),
            series_by_pair=table("statistics_by_pair"),
        )

    def _view(self, start_ms: int, end_ms: int) -> HostView | None:
        """Return the tags of hosts in the range; None for a tenant without any."""
        return self._host_tags.view(self._tenant, start_ms, end_ms) if self._host_tags else None

    def _resolve(
        self, matchers: Sequence[Matcher], start_ms: int, end_ms: int, view: HostView | None = None
    ) -> Resolved:
        where = condition(self._tenant, [matchers], start_ms, end_ms, view)
        found = self._recent.series(
            self._tenant, repr(where), _metric_of(matchers), lambda: self._resolve_anew(where)
        )
        if len(found.labels) > self._budget.max_series:
            raise BudgetExceeded(f"the selector matches more than {self._budget.max_series} series", "series")
        return found

    def _resolve_anew(self, where: Condition) -> Resolved:
        table = self._read("select_series", where)
        label_sets = table["label_set"].to_numpy()
        _, firsts, rows = np.unique(label_sets, return_index=True, return_inverse=True)
        # Numbered as their first series come: where each has one, they are in the order of the series.
        order = np.argsort(firsts)
        ranks = np.empty(len(order), dtype=np.int64)
        ranks[order] = np.arange(len(order))
        alien = _alien(table)
        if alien.any():
            # A series of Datadog's that others write to as well is Datadog's.
            alien &= ~np.isin(label_sets, label_sets[~alien])
        labels = _labels(table, alien)
        return Resolved(
            series=table["series"].to_numpy(),
            rows=ranks[rows],
            metrics=table["metric"].to_numpy(),
            aspects=table["aspect_code"].to_numpy(),
            labels=LabelSets(labels[i] for i in firsts[order].tolist()),
        )

    def _pieces(self, resolved: Resolved, listed: bool, start_ms: int, end_ms: int) -> Iterator[Piece]:
        """Yield what the tables hold of these series, where not all of it are rows of `samples`."""
        if len((floats := resolved.of([Aspect.SAMPLES])).series):
            yield self._final_samples(floats, listed, start_ms, end_ms)
        if len((started := resolved.of([Aspect.STARTED])).series):
            table = started.own(self._stored("select_started_samples", started, listed, start_ms, end_ms))
            self._budget.spend(table.num_rows)
            yield Piece.of_started(table, started.rows_of(table["series"].to_numpy()))
        if len((histograms := resolved.of([Aspect.HISTOGRAMS])).series):
            yield self._histograms(histograms, listed, start_ms, end_ms)
        for aspects in (SKETCH_NUMBERS, (Aspect.SKETCH,)):
            if len((sketches := resolved.of(aspects)).series):
                table = self._sketches(sketches, listed, start_ms, end_ms, bins=Aspect.SKETCH in aspects)
                for aspect in aspects:
                    yield from self._of_sketches(table, sketches.of([aspect]), aspect)

    def _histograms(self, resolved: Resolved, listed: bool, start_ms: int, end_ms: int) -> Piece:
        """Return the native histograms of series, whose buckets are accounted for before they are read."""
        counted = self._stored("count_buckets", resolved, listed, start_ms, end_ms)
        self._budget.spend_buckets(counted["buckets"][0].as_py() or 0, counted["histograms"][0].as_py())
        table = resolved.own(self._stored("select_histograms", resolved, listed, start_ms, end_ms))
        self._budget.spend(table.num_rows)
        return Piece.of_histograms(table, resolved.rows_of(table["series"].to_numpy()), self._budget.check)

    def _of_sketches(self, table: StoredSketches, resolved: Resolved, aspect: Aspect) -> Iterator[Piece]:
        """Yield one aspect of the sketches of the series that are asked for it."""
        if len(resolved.series):
            own = table.of(np.isin(table.series, resolved.series))
            yield Piece.of_sketches(own, resolved.rows_of(own.series), aspect)

    def _sketches(
        self, resolved: Resolved, listed: bool, start_ms: int, end_ms: int, *, bins: bool
    ) -> StoredSketches:
        if bins:
            counted = self._stored("count_bins", resolved, listed, start_ms, end_ms)
            self._budget.spend_buckets(counted["bins"][0].as_py() or 0, counted["sketches"][0].as_py())
        table = self._stored(
            "select_sketches", resolved, listed, start_ms, end_ms, bins=", keys, counts" if bins else ""
        )
        self._budget.spend(table.num_rows)
        return StoredSketches.of_table(table)

    def _final_samples(self, resolved: Resolved, listed: bool, start_ms: int, end_ms: int) -> Piece:
        """Return the samples of series that may share labels with others."""
        table = resolved.own(self._stored("select_samples_final", resolved, listed, start_ms, end_ms))
        self._budget.spend(table.num_rows)
        return Piece.of_samples(table, resolved.rows_of(table["series"].to_numpy()))

    def _runs(
        self,
        name: str,
        resolved: Resolved,
        listed: bool,
        start_ms: int,
        end_ms: int,
        room: Budget | ReadingRoom,
    ) -> Runs:
        """Read rows while the engine finds them, each accounted for before the next are there."""
        sql, parameters, rows = self._statement(name, resolved, listed, start_ms, end_ms)
        parameters["limit"] = room.samples_left + 1
        runs = Runs()
        with (
            self._budget.waiting(),
            self._engine.reader() as connection,
            closing(connection.batches(self._limited(sql), rows, **parameters)) as batches,
        ):
            for batch in batches:
                room.spend(batch.num_rows)
                runs.add(batch)
        return runs

    def _stored(
        self, name: str, resolved: Resolved, listed: bool, start_ms: int, end_ms: int, **clauses: str
    ) -> pa.Table:
        sql, parameters, rows = self._statement(name, resolved, listed, start_ms, end_ms, **clauses)
        parameters["limit"] = self._budget.samples_left + 1
        return self._run(sql, parameters, rows)

    def _statement(
        self, name: str, resolved: Resolved, listed: bool, start_ms: int, end_ms: int, **clauses: str
    ) -> tuple[str, dict[str, Parameter], pa.Table | None]:
        """Return what reads the rows of these series, or with `listed` false of all of their metrics."""
        parameters: dict[str, Parameter] = {
            "tenant": self._tenant,
            "metrics": np.unique(resolved.metrics).tolist(),
            "start_ms": start_ms,
            "end_ms": end_ms,
        }
        clause, rows = "1", None
        if listed and len(resolved.series) <= _MAX_LISTED_SERIES:
            clause, parameters["series"] = "series IN {series:Array(UInt64)}", resolved.series.tolist()
        elif listed:
            clause, rows = (
                "series IN (SELECT assumeNotNull(series) FROM Python(rows))",
                pa.table({"series": resolved.series}),
            )
        sql = statement("opstrace.store", name)
        for place, text in {"wanted": clause, **clauses}.items():
            sql = sql.replace(f"{{{place}}}", text)
        return sql, parameters, rows

    def _column(self, name: str, where: Condition) -> list[str]:
        column: list[str] = self._read(name, where).column(0).to_pylist()
        return column

    def _read(self, name: str, where: Condition, **clauses: str) -> pa.Table:
        sql = statement("opstrace.store", name)
        for place, text in {"condition": where.clause, **clauses}.items():
            sql = sql.replace(f"{{{place}}}", text)
        return self._run(f"{sql} SETTINGS max_threads = 2", where.parameters)

    def _run(self, sql: str, parameters: dict[str, Parameter], rows: pa.Table | None = None) -> pa.Table:
        self._budget.check()
        with self._budget.waiting(), self._engine.reader() as connection:
            table = connection.read(self._limited(sql), rows, **parameters)
        self._budget.check()
        return table

    def _limited(self, sql: str) -> str:
        budget = self._budget
        return f"{sql}, max_execution_time = {budget.seconds_left:.3f}, max_memory_usage = {budget.max_memory_bytes}"


def _metric_of(matchers: Sequence[Matcher]) -> str | None:
    """Return the name that all series have which match, if the matchers tell it."""
    names = [matcher.value for matcher in matchers if matcher.name == "__name__" and matcher.op is MatchOp.EQUAL]
    return names[0] if names and _LEGAL_NAME.fullmatch(names[0]) else None


def _seen_metadata(*, name: str, last_type: str, last_name: str, last_unit: str) -> MetricMetadata:
    """Return what a metric's series tell; one that came by Datadog's API tells its name there."""
    return MetricMetadata(name, _METADATA_TYPES.get(last_type, "unknown"), last_name if last_type else "", last_unit)


def _told_metadata(*, name: str, type: str, help: str, unit: str) -> MetricMetadata:  # noqa: A002 (the columns' names)
    return MetricMetadata(name, type, help, unit)


EMPTY = Block(
    labels=(),
    offsets=np.zeros(1, dtype=np.int64),
    times_ms=np.zeros(0, dtype=np.int64),
    values=np.zeros(0, dtype=np.float64),
)


def _labels(table: pa.Table, alien: "NDArray[np.bool_]") -> list[Labels]:
    labels: list[Labels] = list(_labels_decoder.decode("[" + ",".join(table["label_json"].to_pylist()) + "]"))
    return told_apart(labels, alien.tolist()) if alien.any() else labels


def _alien(table: pa.Table) -> "NDArray[np.bool_]":
    """Return which rows of series did not come by Datadog's API."""
    alien: NDArray[np.bool_] = table["alien"].to_numpy().astype(bool)
    return alien


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
