"""Aggregations: groups folded into a series each, or some series of each group kept."""

from dataclasses import replace
from sys import getsizeof

import numpy as np

from opstrace.errors import ExecutionError
from opstrace.promql import mixed, native
from opstrace.promql.aggregate import CHOICES, FOLDS, grouped
from opstrace.promql.context import Context
from opstrace.promql.labelsets import grouping, place_of
from opstrace.promql.numbers import short, spelled_number
from opstrace.promql.tree import Aggregate
from opstrace.promql.utf8 import is_text
from opstrace.promql.values import Floats, Ints, Scalar, String, Value, Vector, empty_vector, filled
from opstrace.store.backend import Labels
from opstrace.store.budget import Budget

# What a number takes that is spelled out.
_BYTES_A_NUMBER = 80


def aggregated(context: Context, node: Aggregate, vector: Vector, param: Value | None) -> Vector:
    """Aggregate series by group."""
    if isinstance(param, String):
        return _count_values(context, node, vector, param.text)
    if isinstance(param, Scalar) and node.op == "quantile":
        assert node.param is not None
        extremes = np.array([param.values.min(), param.values.max()])
        context.annotations.warn_of_quantiles(extremes, node.param)
    if node.op in FOLDS:
        return _folded(context, node, vector, None if param is None else param.values)  # type: ignore[union-attr]
    assert isinstance(param, Scalar)
    return _chosen(context, node, vector, param.values)


def _folded(context: Context, node: Aggregate, vector: Vector, param: Floats | None) -> Vector:
    """Fold each group into one series."""
    if not vector.series:
        return empty_vector(vector.steps)
    groups = grouping(vector.labels, node.labels, without=node.without)
    countable = vector.present if node.op in ("count", "group") else vector.floats
    floats = grouped(vector.values, countable, groups)
    values = FOLDS[node.op](floats, *([] if param is None else [param]))
    unnamed = np.zeros(len(groups.labels), dtype=bool)
    gone = vector.unnamed
    if gone.any() and not gone.all():
        gone = gone & vector.inhabited
    np.logical_or.at(unnamed, groups.ids, gone)
    result = Vector(groups.labels, values, floats.counts > 0, unnamed)
    telling = context.telling(node.expr)
    return mixed.aggregated(node.op, result, vector, groups.ids.tolist(), telling)


def _chosen(context: Context, node: Aggregate, vector: Vector, param: Floats) -> Vector:
    """Keep some series of each group."""
    if node.op == "limit_ratio":
        return _limit_ratio(context, node, vector, param)
    wanted = _wanted(param)
    if not vector.series or not (wanted > 0).any():
        return empty_vector(vector.steps)
    if node.op != "limitk":
        vector = mixed.without_histograms(node.op, vector, context.telling(node))
    groups = grouped(vector.values, vector.present, grouping(vector.labels, node.labels, without=node.without))
    kept = np.zeros(vector.present.shape, dtype=bool)
    kept[groups.order] = CHOICES[node.op](groups, wanted)
    result = replace(vector, present=kept)
    if context.bounds.instant and vector.steps == 1 and node.op in ("topk", "bottomk"):
        return _ranked(result, groups.order, groups.rows_of, -1.0 if node.op == "topk" else 1.0)
    rows = result.inhabited
    return result if rows.all() else result.rows(rows)


def _limit_ratio(context: Context, node: Aggregate, vector: Vector, ratios: Floats) -> Vector:
    """limit_ratio(r scalar, v instant-vector): the share r of the series; a negative r takes the others."""
    if np.isnan(ratios).any():
        raise ExecutionError("Ratio value is NaN")
    assert node.param is not None
    for ratio, most in ((ratios.max(), 1), (ratios.min(), -1)):
        if ratio * most > 1:
            capped = f"{short(ratio)}, capping to {most}"
            context.annotations.warn(f"ratio value should be between -1 and 1, got {capped}", node.param)
    places = np.array([place_of(labels) for labels in vector.labels])[:, None]
    chosen = np.where(ratios >= 0, places < ratios, places >= 1 + ratios)
    result = replace(vector, present=vector.present & chosen)
    return result.rows(result.inhabited)


def _count_values(context: Context, node: Aggregate, vector: Vector, label: str) -> Vector:
    """count_values(label string, v instant-vector): how many series have each value."""
    _check_label_name(label)
    rows, steps = np.nonzero(vector.present)
    texts, which = _texts(vector, rows, steps, context.budget)
    pairs, cells = np.unique(rows * len(texts) + which, return_inverse=True) if len(rows) else (rows, rows)
    series = [
        _relabeled(vector.labels[pair // len(texts)], label, texts[pair % len(texts)], context.budget)
        for pair in pairs.tolist()
    ]
    groups = grouping(series, node.labels if node.without else (*node.labels, label), without=node.without)
    shape = (len(groups.labels), vector.steps)
    flat = np.bincount(groups.ids[cells] * vector.steps + steps, minlength=shape[0] * shape[1])
    counts = flat.reshape(shape).astype(np.float64)
    return Vector(groups.labels, counts, counts > 0, np.zeros(len(groups.labels), dtype=bool))


def _relabeled(labels: Labels, label: str, text: str, budget: Budget) -> Labels:
    """Return labels of which one says a value."""
    made = {**labels, label: text}
    budget.hold(getsizeof(made))
    return made


# Prometheus compares with math.MaxInt64, as a double rounded down (promql/engine.go, rangeEvalAgg).
_BEYOND = float(2**63 - 1024)


def _wanted(param: Floats) -> Ints:
    """Return how many series each step wants."""
    if np.isnan(param).any():
        raise ExecutionError("Parameter value is NaN")
    if param.max() < 1:
        return np.zeros(len(param), dtype=np.int64)
    if param.min() <= -(2.0**63):
        raise ExecutionError(f"Scalar value {short(param.min())} underflows int64")
    if param.max() >= _BEYOND:
        raise ExecutionError(f"Scalar value {short(param.max())} overflows int64")
    return np.clip(param, 0, 2**31).astype(np.int64)


def _texts(vector: Vector, rows: Ints, steps: Ints, budget: Budget) -> tuple[list[str], Ints]:
    """Return the distinct values of cells as text, and which each cell has."""
    # By their bits, because -0 is printed, and so counted, apart from 0.
    distinct, which = np.unique(vector.values[rows, steps].view(np.int64), return_inverse=True)
    budget.hold(len(distinct) * _BYTES_A_NUMBER)
    texts = [spelled_number(number) for number in distinct.view(np.float64).tolist()]
    if vector.histograms is None:
        return texts, which
    places = {text: place for place, text in enumerate(texts)}
    for cell in np.flatnonzero(filled(vector.histograms[rows, steps])).tolist():
        text = native.spelled(vector.histograms[rows[cell], steps[cell]])
        budget.hold(0 if text in places else getsizeof(text))
        which[cell] = places.setdefault(text, len(places))
    return list(places), which


def _ranked(vector: Vector, order: Ints, groups: Ints, sign: float) -> Vector:
    """Return the series that are present, group by group, best first; NaN last."""
    kept = vector.present[order, 0]
    rows, group = order[kept], groups[kept]
    return vector.rows(rows[np.lexsort((sign * vector.values[rows, 0], group))])


def _check_label_name(label: str) -> None:
    """Raise ExecutionError when count_values could not set this label."""
    if not label or not is_text(label):
        shown = label.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
        raise ExecutionError(f'invalid label name "{shown}"')
