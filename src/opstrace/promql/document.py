"""A query's tree as the data that `/parse_query` answers (prometheus/prometheus: web/api/v1/translate_ast.go)."""

from typing import Any

from opstrace.promql.numbers import spelled_number
from opstrace.promql.signatures import SIGNATURES, Signature
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
            return {"type": "matrixSelector", **_selector(selector), **_span("range", node.range)}
        case Subquery(expr=expr):
            times = {**_span("range", node.range), **_span("step", node.step or 0), **_span("offset", node.offset)}
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
    return {
        "card": matching.card,
        "labels": list(matching.labels),
        "on": matching.on,
        "include": list(matching.include),
        "fillValues": {"lhs": matching.fill_left, "rhs": matching.fill_right},
    }


def _function(name: str) -> dict[str, Any]:
    signature = SIGNATURES[name]
    return {
        "name": name,
        "argTypes": [_TYPES[kind] for kind in signature.args],
        "variadic": _variadic(signature),
        "returnType": _TYPES[signature.returns],
    }


def _variadic(signature: Signature) -> int:
    """Return how many arguments there may be beyond all but the last one, where that may be left out or repeat."""
    if signature.most:
        return signature.most - len(signature.args) + 1
    return -1 if signature.repeats else signature.optional


def _selector(node: Selector) -> dict[str, Any]:
    return {
        "name": node.name,
        "matchers": _matchers(node),
        **_span("offset", node.offset),
        **_pinned(node.at),
        "anchored": node.extension == "anchored",
        "smoothed": node.extension == "smoothed",
    }


def _matchers(node: Selector) -> list[dict[str, str]]:
    """Return matchers as they are written, that of a name before the braces last."""
    outside = 1 if node.name else 0
    matchers = (*node.matchers[outside:], *node.matchers[:outside])
    return [{"name": one.name, "value": one.value, "type": one.op.value} for one in matchers]


def _pinned(at: At) -> dict[str, Any]:
    return {"timestamp": at if isinstance(at, int) else None, "startOrEnd": at if isinstance(at, str) else None}


def _span(name: str, duration: Duration) -> dict[str, Any]:
    """Return a duration in ms, or 0 and the arithmetic of one that only a concrete query knows."""
    if isinstance(duration, int):
        return {name: duration, f"{name}Expr": None}
    return {name: 0, f"{name}Expr": _arithmetic(duration)}


def _arithmetic(node: Node) -> dict[str, Any]:
    match node:
        case Number(value=value, duration=duration):
            return {"type": "numberLiteral", "val": spelled_number(value), "duration": duration}
        case Paren(expr=Number() as number):
            return _operation("+", None, number, wrapped=True)
        case Paren(expr=expr):
            return {**_arithmetic(expr), "wrapped": True}
        case Unary(op=op, expr=expr):
            return _operation(op, None, expr)
        case Binary(op=op, left=left, right=right):
            return _operation(op, left, right)
        case Call(function=function, args=args):
            return _operation(function, *(args or (None, None)))
    raise TypeError(f"a {type(node).__name__} is no part of a duration")


def _operation(op: str, left: Node | None, right: Node | None, *, wrapped: bool = False) -> dict[str, Any]:
    sides = {side: None if of is None else _arithmetic(of) for side, of in (("lhs", left), ("rhs", right))}
    return {"type": "durationExpr", "op": op, **sides, "wrapped": wrapped}
