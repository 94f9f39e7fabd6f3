"""Functions of instant vectors and scalars: a line in a table, or a function whose docstring is its signature."""

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cmp_to_key
from sys import getsizeof
from typing import TypeAlias, TypeVar

import numpy as np

from opstrace.errors import BudgetExceeded, ExecutionError
from opstrace.promql import regex
from opstrace.promql.annotations import Annotations
from opstrace.promql.binary import merged
from opstrace.promql.labelsets import METADATA, NAME, sort_key
from opstrace.promql.plan import Bounds
from opstrace.promql.tree import Call, Node, Paren, Selector
from opstrace.promql.utf8 import is_text, sayable
from opstrace.promql.values import Bools, Floats, Grid, Scalar, String, Value, Vector
from opstrace.store.backend import Labels, MatchOp
from opstrace.store.budget import Budget

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Site:
    """Where a function is called: its node, the moments asked for, the bounds and the budget of the whole query."""

    node: Call
    grid: Grid
    annotations: Annotations
    bounds: Bounds
    budget: Budget
    one_moment: bool  # whether the function is called for one alone, and for no range


# Number by number


def _round(values: Floats, nearest: Floats | None = None) -> Floats:
    inverse = 1.0 / (np.ones(()) if nearest is None else nearest)
    return np.floor(values * inverse + 0.5) / inverse


def _sign(values: Floats) -> Floats:
    # numpy forgets that of a zero.
    return np.copysign(np.sign(values), values)


def _larger(left: Floats, right: Floats) -> Floats:
    """Return what Go's math.Max does: +Inf is larger than NaN, and 0 than -0."""
    found = np.where(np.isposinf(left) | np.isposinf(right), np.inf, np.maximum(left, right))
    return np.where((left == 0) & (right == 0), left + right, found)


def _smaller(left: Floats, right: Floats) -> Floats:
    return -_larger(-left, -right)


def _clamp(values: Floats, low: Floats, high: Floats) -> Floats:
    return _larger(low, _smaller(high, values))


def _moments(values: Floats) -> tuple[np.ndarray, np.ndarray]:
    """Return the values as seconds since the epoch, and which of them are moments at all."""
    possible = np.isfinite(values) & (np.abs(values) < 1e14)
    return np.where(possible, values, 0).astype(np.int64).astype("datetime64[s]"), possible


def _date(part: Callable[[np.ndarray], np.ndarray]) -> Callable[[Floats], Floats]:
    def computed(values: Floats) -> Floats:
        moments, possible = _moments(values)
        return np.where(possible, part(moments).astype(np.float64), np.nan)

    return computed


def _since(moments: np.ndarray, unit: str, per: str) -> np.ndarray:
    return moments.astype(f"datetime64[{unit}]").astype(np.int64) - moments.astype(f"datetime64[{per}]").astype(
        f"datetime64[{unit}]"
    ).astype(np.int64)


def _days_in_month(moments: np.ndarray) -> np.ndarray:
    months = moments.astype("datetime64[M]")
    return (months + 1).astype("datetime64[D]").astype(np.int64) - months.astype("datetime64[D]").astype(np.int64)


# f(v instant-vector, scalars…): the value alone decides.
ELEMENTWISE: dict[str, Callable[..., Floats]] = {
    "abs": np.abs,
    "acos": np.arccos,
    "acosh": np.arccosh,
    "asin": np.arcsin,
    "asinh": np.arcsinh,
    "atan": np.arctan,
    "atanh": np.arctanh,
    "ceil": np.ceil,
    "clamp": _clamp,
    "clamp_max": _smaller,
    "clamp_min": _larger,
    "cos": np.cos,
    "cosh": np.cosh,
    "deg": lambda values: values * (180.0 / np.pi),
    "exp": np.exp,
    "floor": np.floor,
    "ln": np.log,
    "log10": np.log10,
    "log2": np.log2,
    "rad": lambda values: values * (np.pi / 180.0),
    "round": _round,
    "sgn": _sign,
    "sin": np.sin,
    "sinh": np.sinh,
    "sqrt": np.sqrt,
    "tan": np.tan,
    "tanh": np.tanh,
}

# f(v=vector(time()) instant-vector): parts of the date, in UTC.
DATES: dict[str, Callable[[Floats], Floats]] = {
    "day_of_month": _date(lambda moments: _since(moments, "D", "M") + 1),
    "day_of_week": _date(lambda moments: (moments.astype("datetime64[D]").astype(np.int64) + 4) % 7),
    "day_of_year": _date(lambda moments: _since(moments, "D", "Y") + 1),
    "days_in_month": _date(_days_in_month),
    "hour": _date(lambda moments: _since(moments, "h", "D")),
    "minute": _date(lambda moments: _since(moments, "m", "h")),
    "month": _date(lambda moments: _since(moments, "M", "Y") + 1),
    "year": _date(lambda moments: moments.astype("datetime64[Y]").astype(np.int64) + 1970),
}


def elementwise(site: Site, vector: Vector, *scalars: Scalar) -> Vector:
    """Apply a function of the first table to the float samples; histograms are left out."""
    function = ELEMENTWISE[site.node.function]
    present = vector.floats
    if site.node.function == "clamp":
        low, high = (scalar.values for scalar in scalars)
        present = present & ~(low > high)
    with np.errstate(all="ignore"):
        values = function(vector.values, *(scalar.values for scalar in scalars))
    return _unnamed(Vector(vector.labels, values, present, vector.unnamed))


def date(site: Site, vector: Vector | None = None) -> Vector:
    """Apply a function of the second table to the float samples, or to the time of each step."""
    if vector is None:
        vector = _alone(site.grid.times / 1000.0)
    values = DATES[site.node.function](vector.values)
    return _unnamed(Vector(vector.labels, values, vector.floats, vector.unnamed))


def _unnamed(vector: Vector) -> Vector:
    return replace(vector, unnamed=np.ones(vector.series, dtype=bool))


def _alone(values: Floats) -> Vector:
    """Return one series without labels."""
    return Vector([{}], values[None, :], np.ones((1, len(values)), dtype=bool), np.zeros(1, dtype=bool))


# Time and scalars


def time(site: Site) -> Scalar:
    """time() scalar: the moment of evaluation in seconds."""
    return Scalar(site.grid.times / 1000.0)


def pi(site: Site) -> Scalar:
    """pi() scalar."""
    return _constant(site, np.pi)


def start(site: Site) -> Scalar:
    """start() scalar: when the query begins, in seconds."""
    return _constant(site, site.bounds.start_ms / 1000.0)


def end(site: Site) -> Scalar:
    """end() scalar: when the query ends, in seconds."""
    return _constant(site, site.bounds.end_ms / 1000.0)


def step(site: Site) -> Scalar:
    """step() scalar: the query's step in seconds, 0 for an instant query."""
    return _constant(site, site.bounds.step_ms / 1000.0)


def range_(site: Site) -> Scalar:
    """range() scalar: from the query's start to its end, in seconds."""
    return _constant(site, (site.bounds.end_ms - site.bounds.start_ms) / 1000.0)


def _constant(site: Site, value: float) -> Scalar:
    return Scalar(np.full(site.grid.steps, value))


def max_of(_: Site, left: Scalar, right: Scalar) -> Scalar:
    """max_of(a scalar, b scalar) scalar."""
    return Scalar(_larger(left.values, right.values))


def min_of(_: Site, left: Scalar, right: Scalar) -> Scalar:
    """min_of(a scalar, b scalar) scalar."""
    return Scalar(_smaller(left.values, right.values))


def scalar(_: Site, vector: Vector) -> Scalar:
    """scalar(v instant-vector) scalar: the only sample, else NaN."""
    floats = vector.floats
    only = floats.sum(axis=0) == 1
    with np.errstate(invalid="ignore"):
        values = np.where(floats, vector.values, 0.0).sum(axis=0)
    return Scalar(np.where(only, values, np.nan))


def vector(_: Site, value: Scalar) -> Vector:
    """vector(s scalar): one series without labels."""
    return _alone(value.values)


def absent(site: Site, operand: Vector) -> Vector:
    """absent(v instant-vector): 1 where nothing is; labels from the selector's equalities."""
    return _absence(site, operand)


def absent_over_time(site: Site, operand: Vector) -> Vector:
    """absent_over_time(v range-vector): 1 where no sample is in the window; labels from the selector's equalities."""
    return _absence(site, operand)


def _absence(site: Site, operand: Vector) -> Vector:
    missing: Bools = ~np.logical_or.reduce(operand.present, axis=0)[None, :]
    labels = equalities(site.node.args[0])
    return Vector([labels], np.ones(missing.shape), missing, np.zeros(1, dtype=bool))


def equalities(node: Node) -> Labels:
    """Return what a selector says its series must be labelled; what describes the metric is left out."""
    while isinstance(node, Paren):
        node = node.expr
    selector = getattr(node, "selector", node)
    if not isinstance(selector, Selector):
        return {}
    # The first `=` of a label says what it is, any matcher after that takes it away for good.
    labels: dict[str, str] = {}
    for matcher in selector.matchers:
        if matcher.op is MatchOp.EQUAL and matcher.name not in labels:
            labels[matcher.name] = matcher.value
        elif matcher.name in labels:
            labels[matcher.name] = ""
    return {name: value for name, value in labels.items() if value and name not in METADATA}


# Labels


def label_replace(
    site: Site, operand: Vector, target: String, template: String, source: String, pattern: String
) -> Vector:
    """label_replace(v instant-vector, dst string, replacement string, src string, regex string)."""
    if regex.fault(pattern.text):
        raise ExecutionError(f"invalid regular expression in label_replace(): {sayable(pattern.text)}")
    check_label_name(target.text, "destination", "label_replace")
    replacement = regex.replacement(pattern.text, sayable(template.text))
    sources = [labels.get(source.text, "") for labels in operand.labels]
    made: list[str | None] = []
    for part in (some for several in parts(sources) for some in _short(several)):
        with _making(site.budget, replacement.most_characters(part), made):
            made += replacement.of(part)
    return _relabelled(site, operand, target.text, made)


def label_join(site: Site, operand: Vector, target: String, separator: String, *sources: String) -> Vector:
    """label_join(v instant-vector, dst string, separator string, src string, …)."""
    check_label_name(target.text, "destination", "label_join")
    for source in sources:
        check_label_name(source.text, "source", "label_join")
    between = sayable(separator.text)
    made: list[str | None] = []
    for part in parts(operand.labels):
        columns = [[labels.get(source.text, "") for labels in part] for source in sources]
        most = sum(sum(map(len, column)) + len(between) * len(part) for column in columns)
        with _making(site.budget, most, made):
            made += map(between.join, zip(*columns, strict=True)) if columns else [""] * len(part)
    return _relabelled(site, operand, target.text, made)


# Series whose labels are made before the query looks at its budget again.
_PART = 1_000
# The longest label that a query may make. A regular expression may take a second for a text this long, and during
# that time nothing checks the deadline.
MAX_LABEL_CHARACTERS = 65_536
# Of Python's widest characters.
_BYTES_A_CHARACTER = 4


def parts(items: Sequence[T]) -> Iterator[Sequence[T]]:
    """Yield those of some series at a time."""
    for start in range(0, len(items), _PART):
        yield items[start : start + _PART]


def _short(texts: Sequence[str]) -> Iterator[Sequence[str]]:
    """Yield as many texts at a time as a pattern is soon done with."""
    if len(texts) == 1 or sum(map(len, texts)) <= MAX_LABEL_CHARACTERS:
        yield texts
    else:
        middle = len(texts) // 2
        yield from _short(texts[:middle])
        yield from _short(texts[middle:])


@contextmanager
def _making(budget: Budget, most_characters: int, made: list[str | None]) -> Iterator[None]:
    """Add texts inside: there must be room for the longest they can be, and what they take is held."""
    most, before = most_characters * _BYTES_A_CHARACTER, len(made)
    budget.hold(most)
    yield
    budget.hold(sum(map(getsizeof, made[before:])) - most)
    if most_characters > MAX_LABEL_CHARACTERS and any(
        text and len(text) > MAX_LABEL_CHARACTERS for text in made[before:]
    ):
        said = f"the query makes a label of more than {MAX_LABEL_CHARACTERS} characters"
        raise BudgetExceeded(said, "memory", is_final=True)


def check_label_name(name: str, role: str, function: str) -> None:
    """Raise ExecutionError for what cannot be a label: nothing, or no UTF-8."""
    if not name or not is_text(name):
        raise ExecutionError(f"invalid {role} label name in {function}(): {sayable(name)}")


def _relabelled(site: Site, operand: Vector, target: str, values: Sequence[str | None]) -> Vector:
    """Set one label of each series, remove it where the value is empty, leave it where there is none."""
    labels: list[Labels] = []
    for part in parts(operand.labels):
        pairs = zip(part, values[len(labels) : len(labels) + len(part)], strict=True)
        made = [one if value is None else _with_label(one, target, value) for one, value in pairs]
        site.budget.hold(sum(getsizeof(one) for one, before in zip(made, part, strict=True) if one is not before))
        labels += made
    unnamed = operand.unnamed.copy()
    if target == NAME:
        unnamed &= np.array([value is None for value in values], dtype=bool)
    result = Vector(labels, operand.values, operand.present, unnamed, operand.histograms)
    return merged(result)


def _with_label(labels: Labels, target: str, value: str) -> Labels:
    others = {name: text for name, text in labels.items() if name != target}
    return {**others, target: value} if value else others


# Order


def sort(site: Site, operand: Vector) -> Vector:
    """sort(v instant-vector): ascending by value; NaN last."""
    return _sorted_by_value(site, operand, 1.0)


def sort_desc(site: Site, operand: Vector) -> Vector:
    """sort_desc(v instant-vector): descending by value; NaN last."""
    return _sorted_by_value(site, operand, -1.0)


def _sorted_by_value(site: Site, operand: Vector, sign: float) -> Vector:
    if not _orders(site):
        return operand
    floats = operand.rows(operand.floats[:, 0])
    return floats.rows(np.argsort(sign * floats.values[:, 0], kind="stable"))


def _orders(site: Site) -> bool:
    if not site.one_moment:
        site.annotations.warn(
            "sort is ineffective for range queries since results are always ordered by labels", site.node
        )
    return site.one_moment


def sort_by_label(site: Site, operand: Vector, *names: String) -> Vector:
    """sort_by_label(v instant-vector, label string, …): ascending, digits by their number."""
    return _sorted_by_label(site, operand, names, descending=False)


def sort_by_label_desc(site: Site, operand: Vector, *names: String) -> Vector:
    """sort_by_label_desc(v instant-vector, label string, …): descending, digits by their number."""
    return _sorted_by_label(site, operand, names, descending=True)


def _sorted_by_label(site: Site, operand: Vector, names: Sequence[String], *, descending: bool) -> Vector:
    if not _orders(site):
        return operand

    keys = [([_chunks(labels.get(name.text, "")) for name in names], sort_key(labels)) for labels in operand.labels]

    def compared(row: int, other: int) -> int:
        (chunks, labels), (other_chunks, other_labels) = keys[row], keys[other]
        found = next(filter(None, map(_natural_order, chunks, other_chunks)), 0)
        return found or (labels > other_labels) - (labels < other_labels)

    order = sorted(range(operand.series), key=cmp_to_key(compared), reverse=descending)
    return operand.rows(np.array(order, dtype=np.int64))


_Chunk: TypeAlias = tuple[str, int | None]
_CHUNK = re.compile(r"[0-9]+|[^0-9]+")
_LARGEST = 2**63 - 1
_DIGITS = len(str(_LARGEST))


def _chunks(text: str) -> list[_Chunk]:
    return [(chunk, _number(chunk)) for chunk in _CHUNK.findall(text)]


def _number(chunk: str) -> int | None:
    """Return the number that is written, where there is one of 64 bits."""
    digits = chunk.lstrip("0")
    # Python reads no more than some thousand digits.
    if not "0" <= chunk[0] <= "9" or len(digits) > _DIGITS:
        return None
    return number if (number := int(digits or "0")) <= _LARGEST else None


def _natural_order(chunks: Sequence[_Chunk], others: Sequence[_Chunk]) -> int:
    """Say which text comes first, below 0 if the first does; chunks that are both numbers go by these.

    So does the library that Prometheus sorts by (facette/natsort).
    """
    for (text, number), (other_text, other_number) in zip(chunks, others, strict=False):
        if number is not None and other_number is not None:
            if number != other_number:
                return -1 if number < other_number else 1
        elif text != other_text:
            return -1 if text < other_text else 1
    return len(chunks) - len(others)


INSTANT_FUNCTIONS: dict[str, Callable[..., Value]] = {
    **dict.fromkeys(ELEMENTWISE, elementwise),
    **dict.fromkeys(DATES, date),
    "absent": absent,
    "absent_over_time": absent_over_time,
    "end": end,
    "label_join": label_join,
    "label_replace": label_replace,
    "max_of": max_of,
    "min_of": min_of,
    "pi": pi,
    "range": range_,
    "scalar": scalar,
    "sort": sort,
    "sort_by_label": sort_by_label,
    "sort_by_label_desc": sort_by_label_desc,
    "sort_desc": sort_desc,
    "start": start,
    "step": step,
    "time": time,
    "vector": vector,
}
