"""A query's tree as text again, laid out as Prometheus lays it out: a line while it fits, then a line a part.

The layout is that of prometheus/prometheus: promql/parser/prettier.go.
"""

import re
from typing import Final

from opstrace.promql.numbers import short, spelled_number
from opstrace.promql.tokens import quote
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
    Unary,
)
from opstrace.store.backend import Matcher, MatchOp

LINE_WIDTH: Final = 100
_INDENT: Final = "  "
_LEGAL_LABEL: Final = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
_UNITS_MS: Final = {
    "y": 31_536_000_000,
    "w": 604_800_000,
    "d": 86_400_000,
    "h": 3_600_000,
    "m": 60_000,
    "s": 1000,
    "ms": 1,
}
# Larger units that a duration is only written in when they divide it (prometheus/common: model/time.go).
_WHOLE_UNITS: Final = ("y", "w", "d")


def printed(node: Node, level: int = 0) -> str:
    """Return an expression over as many lines as it needs, indented by `level`."""
    line = one_line(node)
    indent = _INDENT * level
    if len(line) <= LINE_WIDTH:
        return indent + line
    match node:
        case Aggregate():
            parts = [part for part in (node.param, node.expr) if part is not None]
            return f"{indent}{_head(node)}(\n{_stacked(parts, level + 1)}\n{indent})"
        case Binary():
            operator = f"{indent}{node.op}{_modifiers(node)}"
            return f"{printed(node.left, level + 1)}\n{operator}\n{printed(node.right, level + 1)}"
        case Call(function=function) if function != "info":
            return f"{indent}{function}(\n{_stacked(node.args, level + 1)}\n{indent})"
        case Paren():
            return f"{indent}(\n{printed(node.expr, level + 1)}\n{indent})"
        case Unary():
            return f"{indent}{node.op}{printed(node.expr, level).lstrip()}"
        case Subquery():
            return printed(node.expr, level) + _subquery_tail(node)
        case _:
            return indent + line


def one_line(node: Node) -> str:
    """Return an expression on one line."""
    match node:
        case Number(value=value, duration=True):
            return _duration(round(value * 1000))
        case Number(value=value):
            return spelled_number(value)
        case Text(value=value):
            return quote(value)
        case Paren(expr=expr):
            return f"({one_line(expr)})"
        case Unary(op=op, expr=expr):
            return f"{op}{one_line(expr)}"
        case Selector():
            return _selector(node) + _tail(node.at, node.offset, _extension(node))
        case Range(selector=selector):
            text = f"{_selector(selector)}[{_duration(node.range)}]"
            return text + _extension(selector) + _tail(selector.at, selector.offset)
        case Subquery(expr=expr):
            return one_line(expr) + _subquery_tail(node)
        case Call(function="info", args=(expr, Selector(matchers=matchers))):
            # The second argument is matchers alone, never a name before braces.
            return f"info({one_line(expr)}, {{{','.join(sorted(map(_matcher, matchers)))}}})"
        case Call(function=function, args=args):
            return f"{function}({', '.join(map(one_line, args))})"
        case Aggregate(expr=expr, param=param):
            return f"{_head(node)}({'' if param is None else one_line(param) + ', '}{one_line(expr)})"
        case Binary(op=op, left=left, right=right):
            return f"{one_line(left)} {op}{_modifiers(node)} {one_line(right)}"
    raise TypeError(f"a {type(node).__name__} is no expression")


def _stacked(parts: "tuple[Node, ...] | list[Node]", level: int) -> str:
    return ",\n".join(printed(part, level) for part in parts)


def _head(node: Aggregate) -> str:
    if not node.labels and not node.without:
        return node.op
    return f"{node.op} {'without' if node.without else 'by'} ({_labels(node.labels)}) "


def _labels(names: tuple[str, ...]) -> str:
    return ", ".join(name if _LEGAL_LABEL.fullmatch(name) else quote(name) for name in names)


def _modifiers(node: Binary) -> str:
    text = " bool" if node.returns_bool else ""
    return text if node.matching is None else text + _matching(node.matching)


def _matching(matching: Matching) -> str:
    text = ""
    grouped = matching.card in ("many-to-one", "one-to-many")
    if matching.on or matching.labels or grouped:
        text += f" {'on' if matching.on else 'ignoring'} ({_labels(matching.labels)})"
    if grouped:
        side = "left" if matching.card == "many-to-one" else "right"
        text += f" group_{side} ({_labels(matching.include)})"
    left, right = matching.fill_left, matching.fill_right
    if left is not None and left == right:
        return f"{text} fill ({short(left)})"
    for side, number in (("left", left), ("right", right)):
        text += "" if number is None else f" fill_{side} ({short(number)})"
    return text


def _selector(node: Selector) -> str:
    named = Matcher("__name__", MatchOp.EQUAL, node.name)
    matchers = sorted(_matcher(matcher) for matcher in node.matchers if not (node.name and matcher == named))
    return node.name + (f"{{{','.join(matchers)}}}" if matchers or not node.name else "")


def _extension(node: Selector) -> str:
    return f" {node.extension}" if node.extension else ""


def _matcher(matcher: Matcher) -> str:
    return f"{_labels((matcher.name,))}{matcher.op.value}{quote(matcher.value)}"


def _subquery_tail(node: Subquery) -> str:
    step = "" if node.step is None else _duration(node.step)
    return f"[{_duration(node.range)}:{step}]{_tail(node.at, node.offset)}"


def _tail(at: At, offset: Duration, extension: str = "") -> str:
    text = ""
    if at is not None:
        text += f" @ {at}()" if isinstance(at, str) else f" @ {at / 1000:.3f}"
    text += extension
    if offset != 0:
        text += f" offset {_duration(offset)}"
    return text


def _duration(duration: Duration) -> str:
    """Return a duration in the largest units that say it, as `1h30m`."""
    if isinstance(duration, Node):
        return one_line(duration)
    if duration < 0:
        return f"-{_duration(-duration)}"
    text, rest = "", duration
    for unit, unit_ms in _UNITS_MS.items():
        if rest >= unit_ms and (unit not in _WHOLE_UNITS or rest % unit_ms == 0):
            text += f"{rest // unit_ms}{unit}"
            rest %= unit_ms
    return text or "0s"
