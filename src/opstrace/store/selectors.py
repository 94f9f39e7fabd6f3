"""Selectors of series as conditions of statements."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from opstrace.errors import BadQuery
from opstrace.store.backend import Matcher, MatchOp
from opstrace.store.engine import Parameter
from opstrace.store.host_tags import HostView, Room

# A statement of the engine has 256 KiB at most, and each matcher is part of one.
MAX_MATCHERS = 1_000
# 2299-12-31, the last Date32
LAST_DAY = 120_529
MS_PER_DAY = 86_400_000

_LEGAL_NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_TEMPLATES: dict[MatchOp, str] = {
    MatchOp.EQUAL: "{label} = {{{value}:String}}",
    MatchOp.NOT_EQUAL: "{label} != {{{value}:String}}",
    MatchOp.REGEX: "match({label}, {{{value}:String}})",
    MatchOp.NOT_REGEX: "NOT match({label}, {{{value}:String}})",
}
_REGEX_OPS = (MatchOp.REGEX, MatchOp.NOT_REGEX)


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
    check_number(selectors)
    result = Condition("tenant = {tenant:String} AND day BETWEEN toDate32({first:Int32}) AND toDate32({last:Int32})")
    result.parameters.update(tenant=tenant, first=_day(start_ms), last=_day(end_ms))
    room = Room()
    alternatives = [
        _selector(matchers, index, result.parameters, view, room) for index, matchers in enumerate(selectors)
    ]
    if alternatives:
        result.clause += f" AND ({' OR '.join(alternatives)})"
    return result


def check_number(selectors: Sequence[Sequence[Matcher]]) -> None:
    """Raise BadQuery where there are too many matchers in all of the selectors."""
    if sum(map(len, selectors)) > MAX_MATCHERS:
        raise BadQuery(f"a query may have {MAX_MATCHERS} matchers at most, this one has more")


def _day(time_ms: int) -> int:
    return min(max(time_ms // MS_PER_DAY, -25_567), LAST_DAY)


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


def metric_of(matchers: Sequence[Matcher]) -> str | None:
    """Return the name that all series have which match, if the matchers tell it."""
    names = [matcher.value for matcher in matchers if matcher.name == "__name__" and matcher.op is MatchOp.EQUAL]
    return names[0] if names and _LEGAL_NAME.fullmatch(names[0]) else None
