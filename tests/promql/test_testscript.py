import io
import math
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opstrace.promql.engine import Engine
from opstrace.promql.testscript import (
    FreshTenants,
    almost_equal,
    print_reports,
    run_files,
    run_script,
    show_labels,
)
from opstrace.store.backend import Block
from opstrace.store.embedded import temporary_store
from promql.memory_store import MemoryStore

DATA = """
load 1m
  m{a="1"} 1 2 3
  m{a="2"} 4 _ stale
  h{a="1"} {{sum:1 count:1}}x2
  h{a="2"} 5x2
  late _x10 {{}}
  c@st -1m -1m
  c 1 2

load_with_nhcb 1m
  b_bucket{le="1"} 1x2
  b_bucket{le="+Inf"} 2x2
"""

# What follows the data, and the reason the evaluation must fail for; none if it must pass.
EVALUATIONS = [
    ('eval instant at 0 m\n  m{a="1"} 1\n  m{a="2"} 4', None),
    ('eval instant at 0 m\n  m{a="2"} 4\n  m{a="1"} 1', None),
    ('eval instant at 0 m\n  expect ordered\n  m{a="2"} 4\n  m{a="1"} 1', "wrong order"),
    ('eval_ordered instant at 0 sort_desc(m)\n  m{a="2"} 4\n  m{a="1"} 1', None),
    ('eval instant at 0 m\n  m{a="1"} 1', 'unexpected series m{a="2"} 4.0@0s'),
    ('eval instant at 0 m{a="1"}\n  m{a="1"} 1\n  m{a="3"} 1', 'missing series m{a="3"}'),
    ('eval instant at 0 m{a="1"}\n  m{a="1"} 1.000001', None),
    ('eval instant at 0 m{a="1"}\n  m{a="1"} 1.00001', 'expected 1.00001@0s, got m{a="1"} 1.0@0s'),
    ("eval instant at 0 nothing", None),
    ("eval instant at 0 nothing\n  m 1", "missing series m{}"),
    ("eval instant at 0 1 + 1\n  2", None),
    ("eval instant at 0 1 + 1\n  3", "expected the scalar 3.0, got [2.0]"),
    ("eval instant at 0 vector(2)\n  2", "expected a scalar, got a vector"),
    ("eval instant at 0 2\n  {} 2", "expected series, got a scalar"),
    ("eval instant at 0 0 / 0\n  NaN", None),
    ('eval instant at 0 "a"\n  expect string "a"', None),
    ('eval instant at 0 "a"\n  expect string "b"', 'expected the string "b", got the string "a"'),
    ('eval instant at 0 1\n  expect string "1"', 'expected the string "1", got the scalar ""'),
    ('eval range from 0 to 2m step 1m m\n  m{a="1"} 1 2 3\n  m{a="2"} 4 4 _', None),
    ('eval range from 0 to 2m step 1m m{a="1"}\n  m{a="1"} 1 2 _', "expected 1.0@0s 2.0@60s, got"),
    ('eval range from 0 to 2m step 1m m{a="1"}\n  m{a="1"} 1 2 3 4', "after the range's end"),
    ('eval instant at 2m m[2m]\n  expect range vector from 1m to 2m step 1m\n  m{a="1"} 2 3', None),
    ("eval instant at 0 sum(\n  expect fail", None),
    ("eval instant at 0 sum(m) /\n  expect fail msg: 1:9: parse error: unexpected end of input", None),
    ("eval instant at 0 sum(m) /\n  expect fail msg: else", "failed as expected, but with"),
    ("eval instant at 0 sum(m) /\n  expect fail regex: ^1:9: .*input$", None),
    ("eval instant at 0 sum(m) /", "failed: 1:9: parse error"),
    ("eval_fail instant at 0 sum(m)", "an error was expected, but the query succeeded"),
    ("eval instant at 0 quantile(2, m)\n  expect warn\n  {} Inf", None),
    ("eval instant at 0 quantile(2, m)\n  expect no_warn\n  {} Inf", "no warn was expected, but there is: PromQL"),
    ("eval instant at 0 quantile(2, m)\n  expect warn msg: else\n  {} Inf", 'expected warn "else" among'),
    ("eval instant at 0 quantile(2, m)\n  expect info\n  {} Inf", "expected info"),
    ("eval instant at 0 quantile(2, m)\n  {} Inf", None),
    ("eval instant at 0 sum(m)\n  expect warn\n  {} 5", "expected warn"),
    ("what is this", "invalid command"),
    ("eval instant at 0 m\n  m{ 1", "a quoted string is missing"),
    # Native histograms
    ('eval instant at 1m h\n  h{a="1"} {{sum:1 count:1}}\n  h{a="2"} 5', None),
    ('eval instant at 1m h{a="1"}\n  h{a="1"} {{sum:1.0000001 count:1 counter_reset_hint:not_reset}}', None),
    ('eval instant at 0 h{a="1"}\n  h{a="1"} {{sum:1 count:1 counter_reset_hint:not_reset}}', "expected {{"),
    ('eval instant at 0 h{a="1"}\n  h{a="1"} {{sum:1.1 count:1}}', "got h"),
    ('eval instant at 0 h{a="1"}\n  h{a="1"} 1', "expected 1.0@0s, got h"),
    ('eval instant at 0 h{a="2"}\n  h{a="2"} {{count:5}}', 'got h{a="2"} 5.0@0s'),
    ('eval range from 0 to 2m step 1m h{a="1"}\n  h{a="1"} {{sum:1 count:1}}x2', None),
    (
        'eval instant at 1m h{a="1"}[1m]\n  expect range vector from 1m to 1m step 1m\n  h{a="1"} {{sum:1 count:1}}',
        None,
    ),
    ("eval instant at 0 b\n  b {{schema:-53 count:2 custom_values:[1] buckets:[1 1]}}", None),
    ("eval instant at 0 b\n  b {{schema:-53 count:2 custom_values:[1] buckets:[2]}}", "expected {{"),
    ("eval instant at 0 b\n  b {{schema:-53 count:2 custom_values:[2] buckets:[1 1]}}", "expected {{"),
]


class FloatsOnly(MemoryStore):
    """A store that does not know native histograms."""

    def appender(self, tenant: str) -> "FloatsOnly":
        self.tenant = tenant
        return self

    def append(self, block: Block) -> None:
        super().appender(self.tenant).append(replace(block, histograms=None))


# What cannot be held must neither pass nor hide what can.
WITHOUT_HISTOGRAMS = [
    ("eval instant at 0 h", 'reads h{a="1"}, but the store cannot hold native histograms'),
    ('eval instant at 0 h{a="1"}', "native histograms"),
    ('eval instant at 0 h{a="2"}\n  h{a="2"} 5', None),
    ('eval instant at 0 {a=~"1"} > 5', "native histograms"),
    ("eval instant at 0 {a=~1}\n  expect fail", None),
    ("eval instant at 0 late", None),
    ("eval instant at 10m late", "native histograms"),
    ("eval instant at 10m late\n  late {{}}", "native histograms"),
    ("eval instant at 0 b_bucket > 2", None),
    ("eval instant at 0 b", "native histograms"),
    ('eval instant at 0 m\n  m{a="1"} 1\n  m{a="2"} 4', None),
]


@pytest.mark.parametrize(("evaluation", "reason"), WITHOUT_HISTOGRAMS)
def test_a_store_without_histograms(evaluation: str, reason: str | None) -> None:
    (outcome,) = run_script(f"{DATA}\n\n{evaluation}", FloatsOnly, Engine()).outcomes
    assert (not outcome.reason) if reason is None else (reason in outcome.reason), outcome.reason


@pytest.mark.parametrize(("evaluation", "reason"), EVALUATIONS)
def test_evaluations(evaluation: str, reason: str | None) -> None:
    (outcome,) = run_script(f"{DATA}\n\n{evaluation}", MemoryStore, Engine()).outcomes
    assert (not outcome.reason) if reason is None else (reason in outcome.reason), outcome.reason
    assert outcome.line == DATA.count("\n") + 3


SCRIPT = """load 1m
  m 1

eval instant at 0 m
  m 1

load 1m
  n 2

eval instant at 0 m + on() n
  {} 3

eval instant at 0 n
  n 3

clear

eval instant at 0 m
"""


def test_loads_add_up_and_clear_forgets_in_a_real_store() -> None:
    with temporary_store() as store:
        report = run_script(SCRIPT, FreshTenants(store), Engine(), "mine")
    assert [(one.line, bool(one.reason)) for one in report.outcomes] == [
        (4, False),
        (10, False),
        (13, True),
        (18, False),
    ]
    assert (report.passed, len(report.failures)) == (3, 1)


class Broken(Engine):
    """An engine with a bug."""

    def instant(self, *_args: object, **_more: object) -> None:
        raise ZeroDivisionError("oops")


def test_a_broken_engine_fails_evaluations_not_the_run() -> None:
    report = run_script(SCRIPT, MemoryStore, Broken())
    assert [one.reason for one in report.outcomes] == ["the engine broke: ZeroDivisionError: oops"] * 4


class Lenient(Engine):
    """An engine whose range queries disagree with its instant ones."""

    def range(self, querier, query, start_ms, end_ms, step_ms, budget, lookback_ms=None):
        return super().range(querier, f"1 + {query}", start_ms, end_ms, step_ms, budget, lookback_ms)


def test_an_instant_is_also_asked_as_the_middle_of_a_range() -> None:
    outcomes = run_script(SCRIPT, MemoryStore, Lenient()).outcomes
    assert outcomes[0].reason == "in a range query: unexpected series {} 2.0@0s"


def test_files_and_what_is_printed(tmp_path: Path) -> None:
    good, bad = tmp_path / "good.test", tmp_path / "bad.test"
    good.write_text("eval instant at 0 1\n  1\n")
    bad.write_text(SCRIPT)
    paths = [good, bad]
    out = io.StringIO()
    assert print_reports(run_files(paths, MemoryStore, Engine()), out) == 1
    first = f"  {bad}:13: n\n    expected 3.0@0s, got n{{}} 2.0@0s\n"
    assert out.getvalue() == f"{good}: 1 passed, 0 failed\n{bad}: 3 passed, 1 failed\n{first}4 passed, 1 failed\n"
    out = io.StringIO()
    assert print_reports(run_files(paths, MemoryStore, Engine()), out, verbose=True) == 1
    assert f"  {bad}:13: n\n    expected 3.0@0s, got n{{}} 2.0@0s\n" in out.getvalue()
    out = io.StringIO()
    assert print_reports(run_files([good], MemoryStore, Engine()), out, verbose=True) == 0
    assert out.getvalue().endswith("\n1 passed, 0 failed\n")


def test_without_being_asked_for_all_one_failure_is_shown(tmp_path: Path) -> None:
    (path := tmp_path / "it.test").write_text("evil\n\neval instant at 0 1\n  2\n")
    out = io.StringIO()
    assert print_reports(run_files([path], MemoryStore, Engine()), out) == 1
    assert out.getvalue() == (
        f"{path}: 0 passed, 2 failed\n"
        f'  {path}:1: evil\n    invalid command "evil"; a command is load, clear or eval\n'
        "  … 1 more; -v shows them\n0 passed, 2 failed\n"
    )


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (None, "cannot be read: No such file or directory"),
        (b"\xff\xfe", "is not UTF-8 text: byte 0 cannot be decoded"),
        (b"", "evaluates nothing; add a command"),
        (b"load 1m\n  m 1\n", "evaluates nothing; add a command"),
        (b"groups:\n- name: a\n", "is a file of Prometheus's rules, which is not understood"),
        (b"rule_files:\n- a.yml\ntests:\n", "is a unit test of promtool, which is not understood"),
    ],
)
def test_what_is_no_script_is_told_and_the_others_are_run(content: bytes | None, fault: str, tmp_path: Path) -> None:
    path, good = tmp_path / "it.test", tmp_path / "good.test"
    if content is not None:
        path.write_bytes(content)
    good.write_text("eval instant at 0 1\n  1\n")
    out = io.StringIO()
    assert print_reports(run_files([path, good], MemoryStore, Engine()), out) == 1
    first, *rest = out.getvalue().splitlines()
    assert first.startswith(f"{path}: {fault}")
    assert rest == [f"{good}: 1 passed, 0 failed", "1 passed, 0 failed, 1 not run"]


@given(st.floats(), st.floats())
def test_almost_equal_is_symmetric_and_tight(a: float, b: float) -> None:
    assert almost_equal(a, a)
    assert almost_equal(a, b) == almost_equal(b, a)
    if almost_equal(a, b) and math.isfinite(a) and math.isfinite(b):
        assert abs(a - b) <= 1e-6 * (abs(a) + abs(b)) + 1e-300


@given(st.floats(allow_nan=False, allow_infinity=False, min_value=1e-300, max_value=1e300))
def test_almost_equal_lets_rounding_pass(value: float) -> None:
    assert almost_equal(value, value * (1 + 1e-7))
    assert not almost_equal(value, value * (1 + 1e-5))
    assert not almost_equal(value, -value)
    assert not almost_equal(value, math.inf)


def test_labels_are_shown_as_scripts_write_them() -> None:
    assert show_labels({"__name__": "m", "b": "2", "a": "1"}) == 'm{a="1", b="2"}'


CORPUS = sorted((Path(__file__).parent / "corpus").glob("*.test"))


@pytest.mark.parametrize("path", CORPUS, ids=lambda path: path.stem)
def test_corpus(path: Path) -> None:
    """Cases in which the engine once was wrong, as scripts."""
    (report,) = run_files([path], MemoryStore, Engine())
    assert report.outcomes
    assert report.failures == []
