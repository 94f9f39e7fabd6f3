from contextlib import suppress
from pathlib import Path

import promql_parser
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from opstrace.errors import BadQuery
from opstrace.promql.parser import parse, parse_selector
from opstrace.promql.tokens import position
from opstrace.promql.tree import Binary, Call, Node, Number, Selector, Subquery, Text, Unary
from opstrace.store.backend import Matcher, MatchOp

ERRORS = [
    tuple(line.split("\t"))
    for line in (Path(__file__).parent / "corpus_errors.tsv").read_text(encoding="utf-8").splitlines()
]


@pytest.mark.parametrize(("query", "message"), ERRORS, ids=[query for query, _ in ERRORS])
def test_errors_say_what_and_where(query: str, message: str) -> None:
    if not message:
        parse(query)
        return
    with pytest.raises(BadQuery) as raised:
        parse(query)
    assert str(raised.value) == message


def test_positions_count_lines_and_columns_from_one() -> None:
    assert position("sum(\n  foo bar)", 10) == "2:6"
    assert position("é + x", 4) == "1:6"  # in bytes
    with pytest.raises(BadQuery, match=r"^2:7: "):
        parse("sum(\n  foo bar)")


def test_operators_bind_as_documented() -> None:
    def shape(query: str) -> str:
        def walk(node: object) -> str:
            match node:
                case Binary(op=op, left=left, right=right):
                    return f"({walk(left)}{op}{walk(right)})"
                case Unary(op=op, expr=expr):
                    return f"({op}{walk(expr)})"
                case Number(value=value):
                    return f"{value:g}"
                case Selector(name=name):
                    return name
            raise AssertionError(node)

        return walk(parse(query))

    assert shape("a or b and c") == "(aor(bandc))"
    assert shape("a - b - c") == "((a-b)-c)"
    assert shape("a ^ b ^ c") == "(a^(b^c))"
    assert shape("-a ^ b") == "(-(a^b))"
    assert shape("-a * b") == "((-a)*b)"
    assert shape("a * -b ^ c") == "(a*(-(b^c)))"
    assert shape("a + b > bool c * d") == "((a+b)>(c*d))"
    assert shape("2 ^ -1") == "(2^-1)"
    assert shape("a unless b or c") == "((aunlessb)orc)"


def test_keywords_are_metric_names_where_nothing_else_can_stand() -> None:
    for word in ("sum", "by", "offset", "and", "fill", "start", "step", "quantile", "anchored", "without"):
        node = parse(f"{word} + 1")
        assert isinstance(node, Binary)
        assert isinstance(node.left, Selector)
        assert node.left.name == word
    assert parse_selector('sum{by="x"}')[1] == Matcher("by", MatchOp.EQUAL, "x")


def test_numbers_durations_and_strings() -> None:
    spelled = {
        "0x1F": 31,
        "1_000.5": 1000.5,
        "1e-3": 0.001,
        ".5": 0.5,
        "5.": 5,
        "010": 8,
        "0_10": 8,
        "08": 8,
        "09.5": 9.5,
        "0x_F": 15,
        "9223372036854775808": 2.0**63,
        "0777777777777777777777777": 777777777777777777777777.0,
    }
    for text, value in spelled.items():
        assert parse(text) == Number(0, len(text), value)
    for text, value in {"1h30m": 5400, "250ms": 0.25, "1y": 31536000, "010m": 600}.items():
        assert parse(text) == Number(0, len(text), value, duration=True)
    assert parse(r'"\x41\u00e9\n\101\\"') == Text(0, 20, "Aé\nA\\")
    assert parse("`a\\n`") == Text(0, 5, "a\\n")
    assert parse("'\"'") == Text(0, 3, '"')


def test_bytes_that_are_no_text_are_refused_cleanly() -> None:
    for query in (
        r'c{i="\xff"}',
        r'{"\xff"}',
        r'c{i=~"a\xff"}',
        r'c{i!~"\xff"}',
        r'sum by ("\xff") (c)',
        'c{i="\udcff"}',
    ):
        with pytest.raises(BadQuery) as raised:
            parse(query)
        assert "codec" not in str(raised.value)
        assert "UTF-8" in str(raised.value) or "label name" in str(raised.value)


def test_modifiers_reach_the_selector() -> None:
    node = parse("rate(foo[5m] offset -1m @ 12.5)[1h:30] @ end() offset 1d")
    assert isinstance(node, Subquery)
    assert (node.range, node.step, node.at, node.offset) == (3_600_000, 30_000, "end", 86_400_000)
    inner = node.expr
    assert isinstance(inner, Call)
    selector = inner.args[0].selector  # type: ignore[attr-defined]
    assert (selector.offset, selector.at) == (-60_000, 12_500)


def test_moments_and_durations_are_rounded_as_prometheus_rounds_them() -> None:
    node = parse("foo @ 0.0005 offset 1.001")
    assert isinstance(node, Selector)
    assert (node.at, node.offset) == (1, 1001)
    node = parse("foo offset -0.0019")
    assert isinstance(node, Selector)
    assert node.offset == -1


def test_a_selector_parameter_is_only_a_selector() -> None:
    assert parse_selector('up{job="a"}') == (
        Matcher("__name__", MatchOp.EQUAL, "up"),
        Matcher("job", MatchOp.EQUAL, "a"),
    )
    for query in ("up + 1", "rate(up[5m])", "up offset 5m", "1"):
        with pytest.raises(BadQuery):
            parse_selector(query)


@settings(deadline=None)
@given(st.text(max_size=60))
def test_any_text_parses_or_is_refused(text: str) -> None:
    with suppress(BadQuery):
        assert isinstance(parse(text), Node)


NAMES = st.sampled_from(["foo", "a:b", "up", "start", "sum"])
EXPRESSIONS = st.recursive(
    st.one_of(
        NAMES, st.sampled_from(["1", "2.5", "Inf", 'up{a="b",c!~"d|e"}', '{x=~"y.+"}', "up offset 5m", "up @ 10"])
    ),
    lambda inner: st.one_of(
        st.builds("({})".format, inner),
        st.builds("-{}".format, inner),
        st.builds(
            "{} {} {}".format, inner, st.sampled_from(["+", "*", "^", "%", "and", "or", "> bool", "=="]), inner
        ),
        st.builds("{} + on (a) group_left (b) {}".format, inner, inner),
        st.builds("sum by (a, b) ({})".format, inner),
        st.builds("topk(3, {}) without (x)".format, inner),
        st.builds("rate(up[{}m])".format, st.integers(1, 90)),
        st.builds("max_over_time({}[1h:5m])".format, inner),
        st.builds("clamp({}, 1, 2)".format, inner),
    ),
    max_leaves=8,
)


@settings(deadline=None)
@given(EXPRESSIONS)
def test_queries_are_accepted_exactly_when_another_parser_accepts_them(query: str) -> None:
    def accepts(parser: object) -> bool:
        try:
            parser(query)  # type: ignore[operator]
        except (BadQuery, ValueError):
            return False
        return True

    assert accepts(parse) == accepts(promql_parser.parse), query
