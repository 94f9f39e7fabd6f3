import re
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import pytest

from opstrace.errors import BadQuery
from opstrace.promql.parser import parse
from opstrace.promql.printer import LINE_WIDTH, one_line, printed
from opstrace.store.backend import Matcher

SCRIPTS = [
    *Path(__file__).parent.glob("scripts/*.test"),
    *(Path(__file__).parents[3] / "shared" / "conformance" / "promql").glob("*.test"),
]
EVAL = re.compile(r"eval(?:_\w+)?\s+(?:instant\s+at\s+\S+|range\s+from\s+\S+\s+to\s+\S+\s+step\s+\S+)\s+(.*)")


def queries() -> set[str]:
    texts = (path.read_text(encoding="utf-8") for path in SCRIPTS)
    return {match[1].strip() for text in texts for match in EVAL.finditer(text)}


def meaning(node: Any) -> Any:
    """Return a tree without its places in the text; matchers are printed in an order of their own."""
    if is_dataclass(node):
        content = {f.name: meaning(getattr(node, f.name)) for f in fields(node) if f.name not in ("start", "end")}
        return type(node).__name__, tuple(content.items())
    if isinstance(node, tuple) and node and isinstance(node[0], Matcher):
        return sorted(map(repr, node))
    if isinstance(node, tuple):
        return tuple(map(meaning, node))
    return repr(node)


def test_what_is_printed_means_what_was_read() -> None:
    read = 0
    for query in queries():
        try:
            tree = parse(query)
        except BadQuery:
            continue
        read += 1
        assert meaning(parse(one_line(tree))) == meaning(tree), query
        assert meaning(parse(printed(tree))) == meaning(tree), query
        assert printed(parse(printed(tree))) == printed(tree), query
    assert read > 100


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("sum(x)by(a , b)", "sum by (a, b) (x)"),
        ("sum by () (x)", "sum(x)"),
        ('{__name__="foo", a = "b"}', '{__name__="foo",a="b"}'),
        ('{__name__="c"}', '{__name__="c"}'),
        ('{"a.b",x="y"}', '{__name__="a.b",x="y"}'),
        ('c{b="2",a="1",a!="0"}', 'c{a!="0",a="1",b="2"}'),
        ('{"é"="a\\x01\\u200b\\U0001f600\\x7f\\"\\u2028"}', '{"é"="a\\x01\\u200b😀\\x7f\\"\\u2028"}'),
        ('{a=~"x\\n"}', '{a=~"x\\n"}'),
        ("foo offset -90m @ 12.5", "foo @ 12.500 offset -1h30m"),
        ("foo[1d]@end()", "foo[1d] @ end()"),
        ("foo[36h:90s] offset 8d", "foo[36h:1m30s] offset 8d"),
        ("foo[25h]", "foo[25h]"),
        ("rate(foo[5m:])", "rate(foo[5m:])"),
        ("-foo^2", "-foo ^ 2"),
        ("a==bool on(x)group_left(y)b", "a == bool on (x) group_left (y) b"),
        ("1e3+0x10", "1000 + 16"),
        ("010 + 017", "8 + 15"),
        ("-5m + 90s*+1h", "-5m + 1m30s * 1h"),
        ("c[5m*step()]", "c[5m * step()]"),
        ("c[5m+1]", "c[5m + 1]"),
        ("c[((5m))]", "c[(5m)]"),
        ("c[+step():300] offset -(5m+step())", "c[step():5m] offset -(5m + step())"),
        ("c offset (5m)", "c offset (5m)"),
        ("c @ 1 smoothed offset 1m", "c @ 1.000 smoothed offset 1m"),
        ("1 + on() 2", "1 + 2"),
        ("a + ignoring() group_left b", "a + ignoring () group_left () b"),
        ("a+fill_left(-1)fill_right(1e30)b", "a + fill_left (-1) fill_right (1e+30) b"),
        ("sum by ('a:b') (c)", 'sum by ("a:b") (c)'),
        ("topk without(x)(3,a)", "topk without (x) (3, a)"),
        ("'single'", '"single"'),
    ],
)
def test_on_one_line(query: str, expected: str) -> None:
    assert printed(parse(query)) == expected


def test_what_does_not_fit_is_a_line_a_part() -> None:
    long = 'rate(some_rather_long_metric_name{with="labels"}[5m])'
    query = f"histogram_quantile(0.9, sum by (le, job) ({long}) / ignoring (le) group_left sum by (job) ({long}))"
    assert printed(parse(query)).splitlines() == [
        "histogram_quantile(",
        "  0.9,",
        f"    sum by (le, job) ({long})",
        "  / ignoring (le) group_left ()",
        f"    sum by (job) ({long})",
        ")",
    ]
    assert all(len(line) <= LINE_WIDTH for line in printed(parse(query)).splitlines())
