"""The series that a selector matches, as rows of `series` have them."""

from collections.abc import Collection, Container, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING
from zlib import crc32

import msgspec
import numpy as np
import pyarrow as pa

from opstrace.store.backend import Labels, LabelSets, Matcher, Portion
from opstrace.store.host_tags import HostView, Join, told_apart
from opstrace.store.pieces import Aspect

if TYPE_CHECKING:
    from numpy.typing import NDArray

# A dictionary of some eight labels, whose texts no other shares, and what is found out about it.
_BYTES_A_SERIES = 2_000
_labels_decoder = msgspec.json.Decoder(list[dict[str, str]])


@dataclass(frozen=True, slots=True)
class Resolved:
    """The series that matchers select: one row a stored series, of which several may be one in PromQL."""

    series: "NDArray[np.uint64]"  # ascending; once for each aspect
    rows: "NDArray[np.int64]"  # index into labels, one a stored series
    metrics: "NDArray[np.uint64]"  # one a stored series
    aspects: "NDArray[np.int8]"  # one a stored series, of Aspect
    labels: LabelSets  # in the order of their first series

    @classmethod
    def of_table(cls, table: pa.Table) -> "Resolved":
        """Read the rows of select_series.sql."""
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
        return cls(
            series=table["series"].to_numpy(),
            rows=ranks[rows],
            metrics=table["metric"].to_numpy(),
            aspects=table["aspect_code"].to_numpy(),
            labels=LabelSets(labels[i] for i in firsts[order].tolist()),
        )

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

    def portion(self, portion: Portion, hosts: Container[str] = ()) -> "Resolved":
        """Return some of the series; those of one of the hosts are in one portion.

        A series that is new moves no other to another portion.
        """
        if portion.is_all:
            return self
        _, firsts = np.unique(self.rows, return_index=True)
        keys = self.series[firsts]
        for row, labels in enumerate(self.labels if hosts else ()):
            if (host := labels.get("instance", "")) in hosts:
                keys[row] = crc32(host.encode()) << 32
        return self.under(portion.has(keys))

    def own(self, table: pa.Table) -> pa.Table:
        """Return the rows of these series: of all of a metric, some may be new since these were found."""
        are_own = np.isin(table["series"].to_numpy(), self.series)
        return table if are_own.all() else table.filter(pa.array(are_own))

    def rows_of(self, series: "NDArray[np.uint64]") -> "NDArray[np.int64]":
        """Return the index into labels of stored series, all of them among these."""
        return self.rows[np.searchsorted(self.series, series)]


@dataclass(frozen=True, slots=True)
class Joined:
    """The series of a selector and their hosts."""

    join: Join
    left: Resolved  # those that match

    @property
    def nbytes(self) -> int:
        """About what this takes in memory."""
        return self.left.nbytes


def joined_with_hosts(resolved: Resolved, matchers: Sequence[Matcher], view: HostView) -> Joined:
    """Return the series of these that match with the tags of their hosts."""
    join = view.join(resolved.labels, matchers)
    return Joined(join, resolved.under(join.left))


def labels_of(table: pa.Table) -> list[Labels]:
    """Read the rows of select_labels.sql."""
    return _labels(table, _alien(table))


def _labels(table: pa.Table, alien: "NDArray[np.bool_]") -> list[Labels]:
    labels: list[Labels] = list(_labels_decoder.decode("[" + ",".join(table["label_json"].to_pylist()) + "]"))
    return told_apart(labels, alien.tolist()) if alien.any() else labels


def _alien(table: pa.Table) -> "NDArray[np.bool_]":
    """Return which rows of series did not come by Datadog's API."""
    alien: NDArray[np.bool_] = table["alien"].to_numpy().astype(bool)
    return alien
