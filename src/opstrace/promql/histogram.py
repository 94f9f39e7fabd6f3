"""Functions of histograms: of classic ones, which are series with `le`, and of native ones, which are samples."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from opstrace.promql import buckets, native
from opstrace.promql.annotations import for_metric
from opstrace.promql.binary import merged
from opstrace.promql.functions import Site
from opstrace.promql.labelsets import NAME
from opstrace.promql.mixed import histogram_cells
from opstrace.promql.numbers import spelled_label
from opstrace.promql.tree import Node
from opstrace.promql.values import Bools, Floats, Ints, Scalar, String, Value, Vector, stacked
from opstrace.store.backend import Labels
from opstrace.store.histogram import NativeHistogram


def histogram_quantile(site: Site, quantile: Scalar, operand: Vector) -> Vector:
    """histogram_quantile(q scalar, b instant-vector)."""
    site.annotations.warn_of_quantiles(quantile.values, site.node.args[0])
    separated = _separated(site, site.node.args[1], operand)
    return _quantiles(site, site.node.args[1], quantile.values, separated)


def histogram_quantiles(site: Site, operand: Vector, label: String, *wanted: Scalar) -> Vector:
    """histogram_quantiles(b instant-vector, label string, q scalar, …): several, told apart by a label."""
    separated = _separated(site, site.node.args[0], operand)
    parts = []
    for position, quantile in enumerate(wanted):
        site.budget.spend(operand.values.size)
        site.annotations.warn_of_quantiles(quantile.values, site.node.args[position + 2])
        found = _quantiles(site, site.node.args[0], quantile.values, separated)
        text = spelled_label(float(quantile.values[0]))
        parts.append(replace(found, labels=[{**labels, label.text: text} for labels in found.labels]))
    return merged(stacked(parts))


def histogram_fraction(site: Site, lower: Scalar, upper: Scalar, operand: Vector) -> Vector:
    """histogram_fraction(lower scalar, upper scalar, b instant-vector)."""
    separated = _separated(site, site.node.args[2], operand)

    def of_buckets(cells: buckets.Cells) -> Floats:
        return buckets.fractions(cells, lower.values[cells.steps], upper.values[cells.steps])

    def of_native(histogram: NativeHistogram, step: int, name: str) -> float:
        if lower.values[step] < upper.values[step] and histogram.count and native.has_nan(histogram):
            message = "input to histogram_fraction has NaN observations, which are excluded from all fractions"
            site.annotations.info(for_metric(message, name), site.node.args[2])
        return native.fraction(histogram, float(lower.values[step]), float(upper.values[step]))

    return _computed(site, separated, of_buckets, of_native)


def _quantiles(site: Site, node: Node, wanted: Floats, separated: "Separated") -> Vector:
    def of_buckets(cells: buckets.Cells) -> Floats:
        found, forced = buckets.quantiles(cells, wanted[cells.steps])
        mended = np.flatnonzero(forced)
        for metric, chosen in _by_metric(separated.classic.labels, cells.histograms, mended) if len(mended) else ():
            lifted = buckets.lifted(cells, chosen, site.grid.times)
            site.annotations.tell_of_lifted(metric, lifted, node)
        return found

    def of_native(histogram: NativeHistogram, step: int, name: str) -> float:
        quantile = native.quantile(histogram, float(wanted[step]))
        if not (histogram.count and 0 <= wanted[step] <= 1 and native.has_nan(histogram)):
            return quantile
        # Prometheus returns such a one before it says anything.
        if not native.is_of_endless_bucket(histogram, float(wanted[step])):
            effect = "result is NaN" if math.isnan(quantile) else "result is skewed higher"
            message = f"input to histogram_quantile has NaN observations, {effect}"
            site.annotations.info(for_metric(message, name), node)
        return quantile

    return _computed(site, separated, of_buckets, of_native)


def _by_metric(labels: Sequence[Labels], rows: Ints, chosen: Ints) -> Iterator[tuple[str, Ints]]:
    """Return these cells apart by the names of the metrics in whose rows they are."""
    distinct, place = np.unique(rows[chosen], return_inverse=True)
    names, which = np.unique([labels[row].get(NAME, "") for row in distinct.tolist()], return_inverse=True)
    metrics = which[place]
    order = np.argsort(metrics, kind="stable")
    ends = np.searchsorted(metrics[order], np.arange(1, len(names)))
    yield from zip(names.tolist(), np.split(chosen[order], ends), strict=True)


@dataclass(frozen=True, slots=True)
class Separated:
    """A vector's classic histograms, with where their buckets count, and its native ones."""

    classic: buckets.Histograms
    vector: Vector
    present: Bools  # series × steps: buckets that count
    native: dict[tuple[int, int], NativeHistogram]  # row and step


def _separated(site: Site, node: Node, operand: Vector) -> Separated:
    """Tell classic from native histograms; where labels have both, neither counts."""
    warn_of_bounds(site, node, operand)
    classic = buckets.histograms_of(operand)
    present = operand.floats.copy()
    cells = {place: operand.sample(*place) for place in histogram_cells(operand)}
    natives = {place: cell for place, cell in cells.items() if isinstance(cell, NativeHistogram)}
    if natives:
        rows_of = {frozenset(labels.items()): rows for labels, rows in zip(classic.labels, classic.rows, strict=True)}
        for row, step in list(natives):
            rows = rows_of.get(frozenset(operand.labels[row].items()))
            if rows is not None and present[rows, step].any():
                message = "vector contains a mix of classic and native histograms"
                site.annotations.warn(for_metric(message, operand.labels[row].get(NAME, "")), node)
                present[rows, step] = False
                del natives[row, step]
    return Separated(classic, operand, present, natives)


def _computed(
    site: Site,
    separated: Separated,
    of_buckets: Callable[[buckets.Cells], Floats],
    of_native: Callable[[NativeHistogram, int, str], float],
) -> Vector:
    """Compute one number for each histogram at each step."""
    classic, vector = separated.classic, separated.vector
    rows = sorted({row for row, _ in separated.native})
    shape = (len(classic.labels) + len(rows), vector.steps)
    values, present = np.zeros(shape), np.zeros(shape, dtype=bool)
    for cells in buckets.cells_of(classic, vector.values, separated.present):
        values[cells.histograms, cells.steps] = of_buckets(cells)
        present[cells.histograms, cells.steps] = True
    place = {row: len(classic.labels) + index for index, row in enumerate(rows)}
    for (row, step), histogram in separated.native.items():
        site.budget.check()
        values[place[row], step] = of_native(histogram, step, vector.labels[row].get(NAME, ""))
        present[place[row], step] = True
    labels = [*classic.labels, *(vector.labels[row] for row in rows)]
    return merged(Vector(labels, values, present, np.ones(shape[0], dtype=bool)))


def _of_each(compute: Callable[[NativeHistogram], float], banner: str) -> Callable[[Site, Vector], Vector]:
    """Return a function of the native histograms of a vector."""

    def computed(site: Site, operand: Vector) -> Vector:
        values, present = np.zeros(operand.values.shape), np.zeros(operand.values.shape, dtype=bool)
        for row, step in histogram_cells(operand):
            site.budget.check()
            sample = operand.sample(row, step)
            assert isinstance(sample, NativeHistogram)
            values[row, step], present[row, step] = compute(sample), True
        return Vector(operand.labels, values, present, np.ones(operand.series, dtype=bool))

    computed.__doc__ = banner
    return computed


def warn_of_bounds(site: Site, node: Node, operand: Vector) -> None:
    """Warn of series that cannot be buckets."""
    floats = np.logical_or.reduce(operand.floats, axis=1)
    for row in np.flatnonzero(floats).tolist():
        labels = operand.labels[row]
        if buckets.bound_of(labels) is None:
            text = labels.get(buckets.LE, "")
            message = f'bucket label "le" is missing or has a malformed value of "{text}"'
            site.annotations.warn(for_metric(message, labels.get(NAME, "")), node)


HISTOGRAM_FUNCTIONS: dict[str, Callable[..., Value]] = {
    "histogram_avg": _of_each(native.average, "histogram_avg(v instant-vector): mean observation."),
    "histogram_count": _of_each(lambda one: one.count, "histogram_count(v instant-vector): number of observations."),
    "histogram_stddev": _of_each(native.deviation, "histogram_stddev(v instant-vector): estimated deviation."),
    "histogram_stdvar": _of_each(native.variance, "histogram_stdvar(v instant-vector): estimated variance."),
    "histogram_sum": _of_each(lambda one: one.sum, "histogram_sum(v instant-vector): sum of the observations."),
    "histogram_fraction": histogram_fraction,
    "histogram_quantile": histogram_quantile,
    "histogram_quantiles": histogram_quantiles,
}
