"""A query's tree as the data that `/parse_query` answers (prometheus/prometheus: web/api/v1/translate_ast.go)."""

from collections.abc import Sequence
from typing import Any

from opstrace.promql.numbers import spelled_number
from opstrace.promql.signatures import SIGNATURES
from opstrace.promql.tree import (
    Aggregate,
    At,
    Binary,
    Call,
    Duration,
    Matching,
    Node,
    Number,
    Paren,
    Range,
    Selector,
    Subquery,
    Text,
    Type,
    Unary,
)
from opstrace.store.backend import Matcher

_TYPES = {Type.SCALAR: "scalar", Type.VECTOR: "vector", Type.MATRIX: "matrix", Type.STRING: "string"}


def document(node: Node) -> dict[str, Any]:
    """Return a tree as dicts, lists and texts."""
    match node:
        case Number(value=value):
            return {"type": "numberLiteral", "val": spelled_number(value)}
        case Text(value=value):
            return {"type": "stringLiteral", "val": value}
        case Paren(expr=expr):
            return {"type": "parenExpr", "expr": document(expr)}
        case Unary(op=op, expr=expr):
            return {"type": "unaryExpr", "op": op, "expr": document(expr)}
        case Selector():
            return {"type": "vectorSelector", **_selector(node)}
        case Range(selector=selector):
            return {"type": "matrixSelector", **_selector(selector), "range": _milliseconds(node.range)}
        case Subquery(expr=expr):
            step = 0 if node.step is None else _milliseconds(node.step)
            times = {"range": _milliseconds(node.range), "step": step, "offset": _milliseconds(node.offset)}
            return {"type": "subquery", "expr": document(expr), **times, **_pinned(node.at)}
        case Call():
            return {"type": "call", "func": _function(node.function), "args": [document(arg) for arg in node.args]}
        case Aggregate():
            return _aggregation(node)
        case Binary():
            return _binary(node)
    raise TypeError(f"a {type(node).__name__} is no expression")


def _aggregation(node: Aggregate) -> dict[str, Any]:
    return {
        "type": "aggregation",
        "op": node.op,
        "expr": document(node.expr),
        "param": None if node.param is None else document(node.param),
        "grouping": list(node.labels),
        "without": node.without,
    }


def _binary(node: Binary) -> dict[str, Any]:
    return {
        "type": "binaryExpr",
        "op": node.op,
        "lhs": document(node.left),
        "rhs": document(node.right),
        "matching": None if node.matching is None else _matching(node.matching),
        "bool": node.returns_bool,
    }


def _matching(matching: Matching) -> dict[str, Any]:
    found: dict[str, Any] = {
        "card": matching.card,
        "labels": list(matching.labels),
        "on": matching.on,
        "include": list(matching.include),
    }
    if matching.fill_left is not None or matching.fill_right is not None:
        found["fillValues"] = {"lhs": matching.fill_left, "rhs": matching.fill_right}
    return found


def _function(name: str) -> dict[str, Any]:
    signature = SIGNATURES[name]
    return {
        "name": name,
        "argTypes": [_TYPES[kind] for kind in signature.args],
        "variadic": -1 if signature.repeats else signature.optional,
        "returnType": _TYPES[signature.returns],
    }


def _selector(node: Selector) -> dict[str, Any]:
    return {
        "name": node.name,
        "matchers": _matchers(node.matchers),
        "offset": _milliseconds(node.offset),
        **_pinned(node.at),
        "anchored": node.extension == "anchored",
        "smoothed": node.extension == "smoothed",
    }


def _matchers(matchers: Sequence[Matcher]) -> list[dict[str, str]]:
    """Return matchers, that of the name last."""
    last = sorted(matchers, key=lambda one: one.name == "__name__")
    return [{"name": one.name, "value": one.value, "type": one.op.value} for one in last]


def _pinned(at: At) -> dict[str, Any]:
    return {"timestamp": at if isinstance(at, int) else None, "startOrEnd": at if isinstance(at, str) else None}


def _milliseconds(duration: Duration) -> int:
    """Return a duration; one with arithmetic is only known to a concrete query, and 0 here as in Prometheus."""
    return duration if isinstance(duration, int) else 0
