import math
from dataclasses import fields

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from opstrace.promql.testlanguage import (
    Clear,
    Command,
    Eval,
    Grid,
    HistogramLiteral,
    HistogramPoint,
    Invalid,
    Load,
    Point,
    parse_script,
)
from opstrace.store.traits import STALE_BITS


def only(text: str) -> Command:
    commands = parse_script(text)
    assert len(commands) == 1
    return commands[0]


def loaded(line: str) -> tuple[dict[str, str], tuple[Point, ...]]:
    command = only(f"load 1m\n  {line}")
    assert isinstance(command, Load), command
    return dict(command.series[0].labels), command.series[0].points


def evaluated(text: str) -> Eval:
    command = only(text)
    assert isinstance(command, Eval), command
    return command


@pytest.mark.parametrize(
    ("points", "expected"),
    [
        ("1 2 3", (1, 2, 3)),
        ("1+2x3", (1, 3, 5, 7)),
        ("5-1x2", (5, 4, 3)),
        ("-5--1x2", None),
        ("7x4", (7, 7, 7, 7, 7)),
        ("0x2", (0, 0, 0)),
        ("_", (None,)),
        ("_x3 1", (None, None, None, 1)),
        ("1 _ 2", (1, None, 2)),
        (".5 1e3 -2.5E-1 +4 3.", (0.5, 1000, -0.25, 4, 3)),
        ("Inf -Inf +Inf inf", (math.inf, -math.inf, math.inf, math.inf)),
        ("-1-1x2", (-1, -2, -3)),
        ("1\t2", (1, 2)),
        ("1+2", None),
        ("1 two", None),
        ("1x", None),
        ("1x99999999999", None),
        pytest.param("1x" + "9" * 5000, None, id="endless"),
    ],
)
def test_points(points: str, expected: tuple[float | None, ...] | None) -> None:
    if expected is None:
        assert isinstance(only(f"load 1m\n  m {points}"), Invalid)
    else:
        assert loaded(f"m {points}")[1] == expected


def test_steps_carry_their_rounding() -> None:
    points = loaded("m 0+0.1x9")[1]
    total = 0.0
    for point in points:
        assert point == total
        total += 0.1


def test_stale_is_the_marker_and_nan_is_not() -> None:
    stale, nan, *more = (np.float64(point).view(np.uint64) for point in loaded("m stale NaN stalex1")[1])
    assert stale == STALE_BITS
    assert nan != STALE_BITS
    assert list(more) == [STALE_BITS, STALE_BITS]


@pytest.mark.parametrize(
    ("series", "labels"),
    [
        ("m", {"__name__": "m"}),
        ("a:b:{}", {"__name__": "a:b:"}),
        ("{}", {}),
        ('m{a="b", c="d" ,}', {"__name__": "m", "a": "b", "c": "d"}),
        ('{__name__="m",a=\'b "c"\'}', {"__name__": "m", "a": 'b "c"'}),
        ('{"sy.stem", "la.bel"="v"}', {"__name__": "sy.stem", "la.bel": "v"}),
        ('m{a="\\u00e9\\x41\\101\\n\\\\"}', {"__name__": "m", "a": "éAA\n\\"}),
        ("m{a=`\\n`}", {"__name__": "m", "a": "\\n"}),
        ('m{a=""}', {"__name__": "m"}),
        ('m{a="#{},="}', {"__name__": "m", "a": "#{},="}),
    ],
)
def test_labels(series: str, labels: dict[str, str]) -> None:
    assert loaded(f"{series} 1") == (labels, (1,))


@pytest.mark.parametrize(
    "series", ["m{a}", 'm{a="b"', 'm{="b"}', "m{a=b}", '"m"', 'm{a="\\q"}', 'm{a="b" c="d"}', "1 2"]
)
def test_broken_labels(series: str) -> None:
    assert isinstance(only(f"load 1m\n  {series} 1"), Invalid)


def test_histogram_literal() -> None:
    text = (
        "{{schema:-53 sum:5.5 count:4 z_bucket:1 z_bucket_w:0.5 offset:-1 buckets:[1 2.5e1 1] custom_values:[-2 Inf]"
    )
    _, (point,) = loaded(f"m {text} n_offset:2 n_buckets:[3] counter_reset_hint:gauge}}}}")
    assert point == HistogramPoint(
        HistogramLiteral(-53, 5.5, 4, 1, 0.5, -1, (1, 25, 1), 2, (3,), (-2, math.inf), "gauge")
    )


def test_histogram_sequences() -> None:
    one, two = HistogramLiteral(count=1), HistogramLiteral(count=2)
    assert loaded("m {{count:1}}x1 {{count:1}}+{{count:2}}x1 {{count:1}}-{{count:2}}x1 {{}}")[1] == (
        HistogramPoint(one),
        HistogramPoint(one),
        HistogramPoint(one, two, 0),
        HistogramPoint(one, two, 1),
        HistogramPoint(one, two, 0),
        HistogramPoint(one, two, -1),
        HistogramPoint(HistogramLiteral()),
    )


@pytest.mark.parametrize(
    "text",
    ["{{sum:x}}", "{{sums:1}}", "{{buckets:1}}", "{{sum:[1]}}", "{{counter_reset_hint:maybe}}", "{{schema:1.5}}"],
)
def test_broken_histograms(text: str) -> None:
    assert isinstance(only(f"load 1m\n  m {text}"), Invalid)


def test_start_timestamps_join_their_series() -> None:
    command = only('load 1m\n  m{a="b"}@st _ -30s-1mx2 1ms\n  m{a="b"} _ 1 2 3 4\n  other 1')
    assert isinstance(command, Load)
    assert command.series[0].starts == (None, -30_000, -90_000, -150_000, 1)
    assert command.series[0].points == (None, 1, 2, 3, 4)
    assert command.series[1].starts == ()


@pytest.mark.parametrize(
    "lines", ["m@st -1m", "m@st -1m\n  other 1", "m@st -1m -1m\n  m 1", "m@st -1m\n  m@st 0\n  m 1"]
)
def test_start_timestamps_alone_are_broken(lines: str) -> None:
    assert isinstance(only(f"load 1m\n  {lines}"), Invalid)


def test_commands_and_their_lines() -> None:
    commands = parse_script("# comment\n\nclear\nload_with_nhcb 30s\n  m 1\n\nwhat is this\n\neval instant at 1m m\n")
    assert [type(command) for command in commands] == [Clear, Load, Invalid, Eval]
    assert [command.line for command in commands] == [3, 4, 7, 9]


def test_a_broken_command_hides_no_other() -> None:
    commands = parse_script("load 1m\n  m 1 x\n\nclear\n\nload oops\n  m 1\n\neval instant at 1m m\n  m 1")
    assert [type(command) for command in commands] == [Invalid, Clear, Invalid, Eval]


@pytest.mark.parametrize(
    "text",
    [
        "eval instant at",
        "eval instant at 5m",
        "eval instant m",
        "eval_fail instant at 0",
        "eval range from 0 to 5m step 1m",
        "eval range from 0 to 5m m",
        "eval",
        "clear now",
        "clear_all",
        "clearly",
        "load",
        "load 5m 1m",
        "load_with_nhcb",
        "load_with 5m",
        "eval range from 0 to 1m step 1m m\n  expect ordered",
    ],
)
def test_broken_commands(text: str) -> None:
    assert isinstance(only(text), Invalid)


def test_eval_times() -> None:
    assert evaluated("eval instant at 1m30s sum(m)").grid == Grid(90_000, 90_000, 0)
    assert evaluated("eval range from 0 to 2m step 30s sum(m)").grid == Grid(0, 120_000, 30_000)
    assert evaluated("eval range from 0 to 2m step 30s sum(m)").query == "sum(m)"
    assert isinstance(only("eval range from 2m to 1m step 30s m"), Invalid)
    assert isinstance(only("eval range from 0 to 1m step 0 m"), Invalid)
    assert isinstance(only("eval sometimes m"), Invalid)


def test_expected_values() -> None:
    assert evaluated('eval instant at 0 "a"\n  expect string "a\\tb"').expected.string == "a\tb"
    assert evaluated("eval instant at 0 1\n  -1e3").expected.scalar == -1000
    assert evaluated("eval instant at 0 m").expected.series == []
    raw = evaluated("eval instant at 5m m[2m]\n  expect range vector from 1m to 2m step 1m\n  m 1 _").expected
    assert raw.raw == Grid(60_000, 120_000, 60_000)
    assert raw.series[0].points == (1, None)
    assert isinstance(only("eval instant at 0 m\n  m 1 2"), Invalid)


def test_a_scalar_ends_its_command() -> None:
    assert [type(command) for command in parse_script("eval instant at 0 1\n  1\neval instant at 0 2\n  2")] == [
        Eval,
        Eval,
    ]


@pytest.mark.parametrize(
    ("lines", "kind", "accepted", "refused"),
    [
        ("expect fail", "fail", "anything", None),
        ("expect fail msg: no: such", "fail", "no: such", "no: such thing"),
        ("expect fail msg:no such", "fail", "no such", "none such"),
        ("expect warn regex: a+b", "warn", "xaabx", "xb"),
        ("expect info", "info", "any", None),
        ("expected_fail_message boom", "fail", "boom", "bang"),
        ("expected_fail_regexp b.*m", "fail", "a boom", "bang"),
    ],
)
def test_expectations(lines: str, kind: str, accepted: str, refused: str | None) -> None:
    (expectation,) = evaluated(f"eval instant at 0 m\n  {lines}").expected.of(kind)
    assert expectation.accepts(accepted)
    assert refused is None or not expectation.accepts(refused)


@pytest.mark.parametrize("mode", ["fail", "warn", "info", "ordered"])
def test_old_spellings(mode: str) -> None:
    command = evaluated(f"eval_{mode} instant at 0 m")
    assert [remark.kind for remark in command.expected.remarks] == [mode]


@pytest.mark.parametrize(
    "lines",
    [
        "expect maybe",
        "expect warn\n  expect no_warn",
        "expect fail regex: (",
        "expect info\n  expect no_info",
        "expect fail msg: a\n  expect fail msg: b",
        "expect string",
        "expect range vector from 0 to 1m",
    ],
)
def test_broken_expectations(lines: str) -> None:
    assert isinstance(only(f"eval instant at 0 m\n  {lines}"), Invalid)


@given(st.text())
def test_any_text_is_read_to_its_end(text: str) -> None:
    commands = parse_script(text)
    assert all(command.line <= text.count("\n") + 1 for command in commands)


@given(st.text(alphabet="load 1mevist{}=\"'`_x+-@{{:[]\n #\\"))
def test_nearly_scripts_are_read_to_their_end(text: str) -> None:
    for command in parse_script("load 1m\n " + text):
        assert {field.name for field in fields(command)} >= {"line"}
