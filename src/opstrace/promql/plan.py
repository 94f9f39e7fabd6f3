"""A parsed query made concrete: durations and `@` in milliseconds, and what each leaf must read."""

import math
from dataclasses import dataclass, replace
from typing import TypeVar

from opstrace.errors import BadQuery
from opstrace.promql.parser import fold_duration
from opstrace.promql.signatures import DATES
from opstrace.promql.tree import (
    Aggregate,
    At,
    Binary,
    Call,
    Duration,
    Node,
    Number,
    Paren,
    Range,
    Selector,
    Subquery,
    Text,
    Unary,
)

# Functions of the moment they are evaluated at, whatever their arguments say.
_OF_THE_MOMENT = frozenset((*DATES, "predict_linear", "time", "timestamp"))


_Shifted = TypeVar("_Shifted", Selector, Subquery)


@dataclass(frozen=True, slots=True)
class Bounds:
    """The query's own time range, for `@ start()`, `step()` and the like; of an instant query the step is 0."""

    start_ms: int
    end_ms: int
    step_ms: int

    @property
    def instant(self) -> bool:
        """Whether the query asks for one moment only."""
        return self.step_ms == 0


def resolve(node: Node, bounds: Bounds) -> Node:
    """Return the tree with every duration and moment in milliseconds; raise BadQuery for impossible ones."""
    match node:
        case Selector():
            return _shifted(node, bounds)
        case Range():
            selector = _shifted(node.selector, bounds)
            return replace(node, selector=selector, range=_positive(node.range, node, bounds))
        case Subquery():
            step = None if node.step is None else _positive(node.step, node, bounds)
            inner = resolve(node.expr, bounds)
            return _shifted(replace(node, expr=inner, range=_positive(node.range, node, bounds), step=step), bounds)
        case Paren() | Unary():
            return replace(node, expr=resolve(node.expr, bounds))
        case Call():
            return replace(node, args=tuple(resolve(arg, bounds) for arg in node.args))
        case Aggregate():
            param = None if node.param is None else resolve(node.param, bounds)
            return replace(node, expr=resolve(node.expr, bounds), param=param)
        case Binary():
            return replace(node, left=resolve(node.left, bounds), right=resolve(node.right, bounds))
        case _:
            return node


def _shifted(node: _Shifted, bounds: Bounds) -> _Shifted:
    offset = _milliseconds(node.offset, node, bounds)
    return replace(node, offset=offset, at=_moment(node.at, bounds))


def _moment(at: At, bounds: Bounds) -> int | None:
    return {"start": bounds.start_ms, "end": bounds.end_ms}[at] if isinstance(at, str) else at


def _milliseconds(duration: Duration, node: Node, bounds: Bounds) -> int:
    if isinstance(duration, int):
        return duration
    seconds = fold_duration(duration, bounds.step_ms / 1000, (bounds.end_ms - bounds.start_ms) / 1000)
    if seconds is None or not math.isfinite(seconds) or abs(seconds) > 2**63 / 1e9:
        raise BadQuery(f"duration out of range at offset {node.start}")
    return round(seconds * 1000)


def _positive(duration: Duration, node: Node, bounds: Bounds) -> int:
    milliseconds = _milliseconds(duration, node, bounds)
    if milliseconds <= 0:
        raise BadQuery(f"duration must be greater than 0, got {milliseconds} ms at offset {node.start}")
    return milliseconds


def reach_ms(node: Node, lookback_ms: int) -> float:
    """Return how far before a step a node looks; infinity where it looks at the same range at every step."""
    match node:
        case Selector():
            return lookback_ms
        case Range(selector=selector, range=int(length)):
            around = 2 * lookback_ms if selector.extension else 0
            return math.inf if selector.at is not None else length + around
        case Subquery(expr=expr, at=at, range=int(length)):
            return math.inf if at is not None else length + reach_ms(expr, lookback_ms)
        case Paren(expr=expr) | Unary(expr=expr):
            below: tuple[Node, ...] = (expr,)
        case Call(args=args):
            below = args
        case Aggregate(expr=expr, param=param):
            below = (expr,) if param is None else (expr, param)
        case Binary(left=left, right=right):
            below = (left, right)
        case _:
            below = ()
    return max((reach_ms(one, lookback_ms) for one in below), default=0)


def invariant(node: Node) -> bool:
    """Whether a node has the same value at every step, because all it reads is pinned with `@`."""
    match node:
        case Number() | Text():
            return True
        case Selector(at=at) | Subquery(at=at):
            return at is not None
        case Range(selector=selector):
            return selector.at is not None
        case Paren(expr=expr) | Unary(expr=expr):
            return invariant(expr)
        case Call(function=function, args=args):
            return function not in _OF_THE_MOMENT and all(map(invariant, args))
        case Aggregate(expr=expr, param=param):
            return invariant(expr) and (param is None or invariant(param))
        case Binary(left=left, right=right):
            return invariant(left) and invariant(right)
        case _:
            return False
