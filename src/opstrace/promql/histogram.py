"""Functions of histograms: of classic ones, which are series with `le`, and of native ones, which are samples."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from opstrace.promql import buckets
from opstrace.promql.binary import merged, stacked
from opstrace.promql.functions import Site
from opstrace.promql.labelsets import NAME
from opstrace.promql.numbers import spelled_label, spelled_number
from opstrace.promql.tree import Node
from opstrace.promql.values import Floats, Scalar, String, Value, Vector, empty_vector

_SAME = "vector cannot contain metrics with the same labelset"


def histogram_quantile(site: Site, quantile: Scalar, operand: Vector) -> Vector:
    """histogram_quantile(q scalar, b instant-vector)."""
    warn_of_quantiles(site, site.node.args[0], quantile.values)
    warn_of_bounds(site, site.node.args[1], operand)
    return _quantiles(site, site.node.args[1], quantile.values, operand)


def histogram_quantiles(site: Site, operand: Vector, label: String, *wanted: Scalar) -> Vector:
    """histogram_quantiles(b instant-vector, label string, q scalar, …): several, told apart by a label."""
    warn_of_bounds(site, site.node.args[0], operand)
    parts = []
    for position, quantile in enumerate(wanted):
        warn_of_quantiles(site, site.node.args[position + 2], quantile.values)
        found = _quantiles(site, site.node.args[0], quantile.values, operand)
        text = spelled_label(float(quantile.values[0]))
        parts.append(replace(found, labels=[{**labels, label.text: text} for labels in found.labels]))
    return merged(stacked(parts), _SAME)


def _quantiles(site: Site, node: Node, wanted: Floats, operand: Vector) -> Vector:
    histograms = buckets.histograms_of(operand)
    if not histograms.labels:
        return empty_vector(operand.steps)
    shape = (len(histograms.labels), operand.steps)
    values, present = np.zeros(shape), np.zeros(shape, dtype=bool)
    for cells in buckets.cells_of(histograms, operand.values, operand.floats):
        found, forced = buckets.quantiles(cells, wanted[cells.steps])
        values[cells.histograms, cells.steps] = found
        present[cells.histograms, cells.steps] = True
        for histogram in np.unique(cells.histograms[forced]).tolist():
            name = histograms.labels[histogram].get(NAME, "")
            message = "input to histogram_quantile needed to be fixed for monotonicity (see docs/promql.md)"
            site.annotations.info(for_metric(message, name), node)
    return Vector(histograms.labels, values, present, np.ones(shape[0], dtype=bool))


def histogram_fraction(site: Site, lower: Scalar, upper: Scalar, operand: Vector) -> Vector:
    """histogram_fraction(lower scalar, upper scalar, b instant-vector)."""
    warn_of_bounds(site, site.node.args[2], operand)
    histograms = buckets.histograms_of(operand)
    if not histograms.labels:
        return empty_vector(operand.steps)
    shape = (len(histograms.labels), operand.steps)
    values, present = np.zeros(shape), np.zeros(shape, dtype=bool)
    for cells in buckets.cells_of(histograms, operand.values, operand.floats):
        found = buckets.fractions(cells, lower.values[cells.steps], upper.values[cells.steps])
        values[cells.histograms, cells.steps] = found
        present[cells.histograms, cells.steps] = True
    return Vector(histograms.labels, values, present, np.ones(shape[0], dtype=bool))


def warn_of_quantiles(site: Site, node: Node, wanted: Floats) -> None:
    """Warn of a quantile that is none."""
    for wrong in wanted[~((wanted >= 0) & (wanted <= 1))][:1].tolist():
        site.annotations.warn(f"quantile value should be between 0 and 1, got {spelled_number(wrong)}", node)


def warn_of_bounds(site: Site, node: Node, operand: Vector) -> None:
    """Warn of series that cannot be buckets."""
    floats = np.logical_or.reduce(operand.floats, axis=1)
    for row in np.flatnonzero(floats).tolist():
        labels = operand.labels[row]
        text = labels.get(buckets.LE, "")
        if buckets.bound(text) is None:
            message = f'bucket label "le" is missing or has a malformed value of "{text}"'
            site.annotations.warn(for_metric(message, labels.get(NAME, "")), node)


def for_metric(message: str, name: str) -> str:
    """Return a message with the metric's name, if it has one."""
    return f'{message} for metric name "{name}"' if name else message


HISTOGRAM_FUNCTIONS: dict[str, Callable[..., Value]] = {
    "histogram_fraction": histogram_fraction,
    "histogram_quantile": histogram_quantile,
    "histogram_quantiles": histogram_quantiles,
}
