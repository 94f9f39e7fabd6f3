"""Runs PromQL test scripts: loads their data through a Backend, asks an engine, compares.

A script passes only by what the engine returned. What a script loads and the store cannot hold (see `Withheld`) makes
every evaluation that reads such a series fail, also one that expects nothing: it would pass for the wrong reason.
"""

import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol, TextIO

import numpy as np
from numpy.typing import NDArray

from opstrace.errors import ConfigError, QueryError
from opstrace.promql import regex
from opstrace.promql.engine import Result
from opstrace.promql.testhistogram import (
    Sample,
    derived_from_classic,
    point_of,
    same_but_rounding,
    show_histogram,
    with_hints,
)
from opstrace.promql.testlanguage import (
    Clear,
    Eval,
    Expectation,
    HistogramPoint,
    Invalid,
    Load,
    SeriesLine,
    parse_script,
)
from opstrace.promql.values import filled
from opstrace.store.backend import (
    EXACTLY,
    Appender,
    Backend,
    Block,
    Labels,
    Manner,
    Matcher,
    MatchOp,
    MetricMetadata,
    Querier,
    Statistics,
)
from opstrace.store.budget import Budget
from opstrace.store.histogram import NativeHistogram

TENANT = "script"


class Evaluator(Protocol):
    """What a script asks: `opstrace.promql.engine.Engine`, or one to compare it with."""

    def instant(self, querier: Querier, query: str, at_ms: int, budget: Budget) -> Result:
        """Evaluate at one time."""
        ...

    def range(self, querier: Querier, query: str, start_ms: int, end_ms: int, step_ms: int, budget: Budget) -> Result:
        """Evaluate on a grid of times."""
        ...


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one evaluation ended; `reason` says what was wrong, and is empty when it passed."""

    line: int
    query: str
    reason: str = ""


@dataclass(frozen=True, slots=True)
class ScriptReport:
    """How the evaluations of one script ended, in their order; `fault` says why there are none."""

    name: str
    outcomes: tuple[Outcome, ...]
    fault: str = ""

    @property
    def failures(self) -> list[Outcome]:
        """Return those that failed."""
        return [outcome for outcome in self.outcomes if outcome.reason]

    @property
    def passed(self) -> int:
        """Count those that passed."""
        return len(self.outcomes) - len(self.failures)


# ---------------------------------------------------------------------------------------------------------------
# Doors


def run_script(
    text: str, backend_factory: Callable[[], Backend], engine: Evaluator, name: str = "script"
) -> ScriptReport:
    """Run one script; `backend_factory` makes an empty store, at the start and at every `clear`."""
    return ScriptReport(name, tuple(_outcomes(text, backend_factory, engine)))


def run_files(
    paths: Iterable[Path], backend_factory: Callable[[], Backend], engine: Evaluator
) -> Iterator[ScriptReport]:
    """Run script files one after the other; what is no script has a report that says so."""
    for path in paths:
        try:
            yield run_script(_script(path), backend_factory, engine, str(path))
        except ConfigError as error:
            yield ScriptReport(str(path), (), str(error))


# What looks like a test and is of another kind, by a line that it has.
_OTHER_KINDS: Mapping[str, re.Pattern[str]] = {
    "a unit test of promtool": re.compile(r"^(tests|rule_files|evaluation_interval):(\s|$)", re.MULTILINE),
    "a file of Prometheus's rules": re.compile(r"^groups:(\s|$)", re.MULTILINE),
}


def _script(path: Path) -> str:
    """Return the text of a script; raise ConfigError for what is none."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"is not UTF-8 text: byte {error.start} cannot be decoded") from error
    for kind, line in _OTHER_KINDS.items():
        if line.search(text):
            raise ConfigError(f"is {kind}, which is not understood; a script has the commands load, eval and clear")
    if not any(isinstance(command, Eval | Invalid) for command in parse_script(text)):
        raise ConfigError("evaluates nothing; add a command such as `eval instant at 1m up`")
    return text


def print_reports(reports: Iterable[ScriptReport], out: TextIO, *, verbose: bool = False) -> int:
    """Print a line per script, its first failure, with `verbose` all, and the totals last; return the exit code."""
    passed = failed = unread = 0
    for report in reports:
        passed, failed, unread = passed + report.passed, failed + len(report.failures), unread + bool(report.fault)
        print(f"{report.name}: {report.fault or f'{report.passed} passed, {len(report.failures)} failed'}", file=out)
        shown = report.failures if verbose else report.failures[:1]
        for outcome in shown:
            print(f"  {report.name}:{outcome.line}: {outcome.query}\n    {outcome.reason}", file=out)
        if left := len(report.failures) - len(shown):
            print(f"  … {left} more; -v shows them", file=out)
    print(f"{passed} passed, {failed} failed{f', {unread} not run' if unread else ''}", file=out)
    return 1 if failed or unread else 0


@dataclass(slots=True)
class FreshTenants:
    """An empty store each time it is called: the same backend, another tenant."""

    backend: Backend
    made: int = 0

    def __call__(self) -> Backend:
        """Return a view of the backend in which nothing has been written yet."""
        self.made += 1
        return _Renamed(self.backend, self.made)


@dataclass(frozen=True, slots=True)
class _Renamed:
    backend: Backend
    suffix: int

    def querier(self, tenant: str, budget: Budget) -> Querier:
        return self.backend.querier(f"{tenant}-{self.suffix}", budget)

    def appender(self, tenant: str) -> Appender:
        return self.backend.appender(f"{tenant}-{self.suffix}")


# ---------------------------------------------------------------------------------------------------------------
# A store being filled by a script


@dataclass(frozen=True, slots=True)
class Withheld:
    """A series a script loads and the store cannot hold in full, from its first to its last such sample."""

    labels: Labels
    first_ms: int
    last_ms: int
    what: str


@dataclass(slots=True)
class _Loaded:
    """A store and what a script loaded into it, or could not."""

    backend: Backend
    withheld: list[Withheld] = field(default_factory=list)
    takes_histograms: bool | None = None  # once it was asked

    def load(self, load: Load) -> None:
        histograms = any(isinstance(point, HistogramPoint) for line in load.series for point in line.points)
        if self.takes_histograms is None and (histograms or load.with_nhcb):
            self.takes_histograms = _takes_histograms(self.backend)
        series = list(_samples(load))
        kept = series if self.takes_histograms else [replace(one, samples=_floats(one.samples)) for one in series]
        block = _block([one for one in kept if one.samples])
        if len(block.labels):
            self.backend.appender(TENANT).append(block)
        if not self.takes_histograms:
            self.withheld.extend(_withheld_histograms(series))


_PROBE = "histogram_probe"


def _takes_histograms(backend: Backend) -> bool:
    """Tell whether the store reads back a native histogram it was given."""
    histograms = np.array([NativeHistogram(count=1.0)], dtype=object)
    zero = np.zeros(1, dtype=np.int64)
    probe = Block([{"__name__": _PROBE}], np.array([0, 1]), zero, np.full(1, math.nan), histograms)
    backend.appender(_PROBE).append(probe)
    read = backend.querier(_PROBE, Budget()).select([Matcher("__name__", MatchOp.EQUAL, _PROBE)], 0, 0)
    return read.histograms is not None and read.histograms.tolist() == histograms.tolist()


def block_of(load: Load) -> Block:
    """Return the samples of a load command; labels without samples are left out."""
    return _block([one for one in _samples(load) if one.samples])


@dataclass(frozen=True, slots=True)
class _Series:
    """A series that a script loads: its samples, and what they say of their start, by their time in ms."""

    labels: Labels
    samples: dict[int, Sample]
    starts_ms: dict[int, int] = field(default_factory=dict)


def _samples(load: Load) -> Iterator[_Series]:
    for line in load.series:
        points = {i * load.step_ms: point for i, point in enumerate(line.points) if point is not None}
        samples = [point_of(point) if isinstance(point, HistogramPoint) else point for point in points.values()]
        times = [i * load.step_ms for i in range(len(line.starts))]
        starts_ms = {at: at + start for at, start in zip(times, line.starts, strict=True) if start is not None}
        yield _Series(line.labels, dict(zip(points, with_hints(samples), strict=True)), starts_ms)
    for labels, histograms in derived_from_classic(load.series) if load.with_nhcb else ():
        times = [index * load.step_ms for index in histograms]
        yield _Series(labels, dict(zip(times, with_hints(histograms.values()), strict=True)))


def _floats(samples: dict[int, Sample]) -> dict[int, Sample]:
    return {at: sample for at, sample in samples.items() if isinstance(sample, float)}


def _block(series: Sequence[_Series]) -> Block:
    samples = [sample for one in series for sample in one.samples.values()]
    starts_ms = np.array([one.starts_ms.get(at, 0) for one in series for at in one.samples], dtype=np.int64)
    histograms = np.full(len(samples), None, dtype=object)
    for index, sample in enumerate(samples):
        histograms[index] = sample if isinstance(sample, NativeHistogram) else None
    return Block(
        labels=[one.labels for one in series],
        offsets=np.cumsum([0, *(len(one.samples) for one in series)], dtype=np.int64),
        times_ms=np.array([at for one in series for at in one.samples], dtype=np.int64),
        values=np.array([sample if isinstance(sample, float) else math.nan for sample in samples], dtype=np.float64),
        histograms=histograms if any(isinstance(sample, NativeHistogram) for sample in samples) else None,
        start_times=starts_ms if starts_ms.any() else None,
    )


def _withheld_histograms(series: Sequence[_Series]) -> Iterator[Withheld]:
    for one in series:
        times = [at for at, sample in one.samples.items() if isinstance(sample, NativeHistogram)]
        if times:
            yield Withheld(one.labels, times[0], times[-1], "native histograms")


_TESTS: dict[MatchOp, Callable[[str, str], bool]] = {
    MatchOp.EQUAL: lambda value, wanted: value == wanted,
    MatchOp.NOT_EQUAL: lambda value, wanted: value != wanted,
    MatchOp.REGEX: lambda value, wanted: regex.matches(wanted, value),
    MatchOp.NOT_REGEX: lambda value, wanted: not regex.matches(wanted, value),
}


def _matches(matchers: Sequence[Matcher], labels: Labels) -> bool:
    return all(_TESTS[matcher.op](labels.get(matcher.name, ""), matcher.value) for matcher in matchers)


@dataclass(slots=True)
class _WatchedQuerier:
    """Reads for an evaluation and notes which withheld series it should have seen."""

    querier: Querier
    withheld: Sequence[Withheld]
    missed: list[Withheld] = field(default_factory=list)

    def select(self, matchers: Sequence[Matcher], start_ms: int, end_ms: int, manner: Manner = EXACTLY) -> Block:
        self.missed.extend(
            one
            for one in self.withheld
            if one.first_ms <= end_ms and one.last_ms >= start_ms and _matches(matchers, one.labels)
        )
        return self.querier.select(matchers, start_ms, end_ms, manner)

    def series(self, selectors: Sequence[Sequence[Matcher]], start_ms: int, end_ms: int) -> list[Labels]:
        return self.querier.series(selectors, start_ms, end_ms)

    def label_names(self, selectors: Sequence[Sequence[Matcher]], start_ms: int, end_ms: int) -> list[str]:
        return self.querier.label_names(selectors, start_ms, end_ms)

    def label_values(
        self, name: str, selectors: Sequence[Sequence[Matcher]], start_ms: int, end_ms: int
    ) -> list[str]:
        return self.querier.label_values(name, selectors, start_ms, end_ms)

    def metadata(self, metric: str | None = None) -> list[MetricMetadata]:
        return self.querier.metadata(metric)

    def statistics(self, at_ms: int, limit: int) -> Statistics:
        return self.querier.statistics(at_ms, limit)


# ---------------------------------------------------------------------------------------------------------------
# Evaluations


class _Failure(Exception):
    """Why an evaluation failed."""


def _outcomes(text: str, backend_factory: Callable[[], Backend], engine: Evaluator) -> Iterator[Outcome]:
    loaded = _Loaded(backend_factory())
    for command in parse_script(text):
        match command:
            case Clear():
                loaded = _Loaded(backend_factory())
            case Load():
                loaded.load(command)
            case Invalid():
                yield Outcome(command.line, command.text, command.reason)
            case Eval():
                yield Outcome(command.line, command.query, _reason(command, loaded, engine))


def _reason(command: Eval, loaded: _Loaded, engine: Evaluator) -> str:
    querier = _WatchedQuerier(loaded.backend.querier(TENANT, Budget()), loaded.withheld)
    reason = ""
    try:
        _judge(command, querier, engine)
    except _Failure as failure:
        reason = str(failure)
    except Exception as error:  # noqa: BLE001  a broken engine fails the evaluation, not the run
        reason = f"the engine broke: {type(error).__name__}: {error}"
    for missed in querier.missed:
        return f"reads {show_labels(missed.labels)}, but the store cannot hold {missed.what}"
    return reason


def _judge(command: Eval, querier: Querier, engine: Evaluator) -> None:
    """Evaluate and compare; raise _Failure where the result is not the one expected."""
    try:
        result = _evaluate(command, querier, engine)
    except QueryError as error:
        _judge_error(command, str(error))
        return
    if command.expected.of("fail"):
        raise _Failure("an error was expected, but the query succeeded")
    _judge_annotations(command.expected.of, {"warn": result.warnings, "info": result.infos})
    _judge_value(command, result)
    if _has_range_form(command):
        _judge_in_range(command, querier, engine)


def _evaluate(command: Eval, querier: Querier, engine: Evaluator) -> Result:
    grid = command.grid
    if command.instant:
        at_ms = command.expected.raw.end_ms if command.expected.raw else grid.start_ms
        return engine.instant(querier, command.query, at_ms, Budget())
    return engine.range(querier, command.query, grid.start_ms, grid.end_ms, grid.step_ms, Budget())


def _judge_error(command: Eval, message: str) -> None:
    wanted = command.expected.of("fail")
    if not wanted:
        raise _Failure(f"failed: {message}")
    for expectation in wanted:
        if not expectation.accepts(message):
            raise _Failure(f'failed as expected, but with "{message}" instead of {_wording(expectation)}')


def _wording(expectation: Expectation) -> str:
    return f'"{expectation.message}"' if expectation.pattern is None else f"/{expectation.pattern.pattern}/"


def _judge_annotations(expected: Callable[[str], list[Expectation]], actual: dict[str, tuple[str, ...]]) -> None:
    """Each expectation needs an annotation; where there are expectations, each annotation needs one of them."""
    for kind, texts in actual.items():
        wanted = expected(kind)
        if expected(f"no_{kind}") and texts:
            raise _Failure(f"no {kind} was expected, but there is: {texts[0]}")
        for expectation in wanted:
            if not any(expectation.accepts(text) for text in texts):
                raise _Failure(f"expected {kind} {_wording(expectation)} among {list(texts)}")
        for text in texts if wanted else ():
            if not any(expectation.accepts(text) for expectation in wanted):
                raise _Failure(f"unexpected {kind}: {text}")


# These depend on the query's range, so an instant evaluation says nothing about a range.
_RANGE_DEPENDENT = re.compile(r"\b(?:start|end|range|step)\(\)")


def _has_range_form(command: Eval) -> bool:
    expected = command.expected
    return (
        command.instant
        and expected.raw is None
        and expected.string is None
        and not expected.of("ordered")
        and not _RANGE_DEPENDENT.search(command.query)
    )


def _judge_in_range(command: Eval, querier: Querier, engine: Evaluator) -> None:
    """The middle step of a range around an instant must be the instant's own result, as Prometheus's runner asks."""
    at_ms = command.grid.start_ms
    try:
        result = engine.range(querier, command.query, at_ms - 60_000, at_ms + 60_000, 60_000, Budget())
    except QueryError as error:
        raise _Failure(f"failed in a range query: {error}") from None
    rows = [_Row(row.labels, {at_ms: row.values[at_ms]}) for row in _rows(result) if at_ms in row.values]
    try:
        _judge_rows(command, rows)
    except _Failure as failure:
        raise _Failure(f"in a range query: {failure}") from None


# ---------------------------------------------------------------------------------------------------------------
# Values


@dataclass(frozen=True, slots=True)
class _Row:
    """One series of a result; its samples by their time in ms."""

    labels: Labels
    values: dict[int, Sample]


def _rows(result: Result) -> list[_Row]:
    if result.raw is not None:
        return list(_raw_rows(result.raw))
    times = result.timestamps.tolist()
    cells = _cells(result.values, result.histograms)
    return [
        _Row(labels, {at: cell for at, cell, is_there in zip(times, row, present, strict=True) if is_there})
        for labels, row, present in zip(result.labels, cells.tolist(), result.present.tolist(), strict=True)
        if any(present)
    ]


def _raw_rows(block: Block) -> Iterator[_Row]:
    cells = _cells(block.values, block.histograms)
    for index, labels in enumerate(block.labels):
        span = slice(block.offsets[index], block.offsets[index + 1])
        yield _Row(labels, dict(zip(block.timestamps[span].tolist(), cells[span].tolist(), strict=True)))


def _cells(values: NDArray[np.float64], histograms: NDArray[np.object_] | None) -> NDArray[np.object_]:
    """Return a histogram where there is one, else the value."""
    cells: NDArray[np.object_] = values.astype(object)
    if histograms is not None:
        there = filled(histograms)
        cells[there] = histograms[there]
    return cells


def _judge_value(command: Eval, result: Result) -> None:
    expected = command.expected
    if result.kind == "string" or expected.string is not None:
        if result.kind != "string" or result.text != (expected.string or ""):
            raise _Failure(f'expected the string "{expected.string}", got the {result.kind} "{result.text}"')
        return
    if expected.scalar is not None and command.instant and result.kind != "scalar":
        raise _Failure(f"expected a scalar, got a {result.kind}")
    if expected.scalar is None and result.kind == "scalar":
        raise _Failure("expected series, got a scalar")
    _judge_rows(command, _rows(result))


def _judge_rows(command: Eval, rows: list[_Row]) -> None:
    if command.expected.scalar is not None:
        _judge_scalar(command.expected.scalar, rows)
        return
    wanted = {_key(line.labels): line for line in command.expected.series}
    for row in rows:
        if _key(row.labels) not in wanted:
            raise _Failure(f"unexpected series {_show_row(row)}")
        _judge_row(command, wanted[_key(row.labels)], row)
    found = {_key(row.labels) for row in rows}
    if len(found) < len(rows):
        raise _Failure("the result has two series with the same labels")
    if missing := [line for key, line in wanted.items() if key not in found and _has_points(line)]:
        raise _Failure(f"missing series {show_labels(missing[0].labels)}")
    if command.expected.of("ordered") and [_key(row.labels) for row in rows] != list(wanted):
        raise _Failure(f"wrong order: {', '.join(show_labels(row.labels) for row in rows)}")


def _judge_scalar(expected: float, rows: list[_Row]) -> None:
    values = [value for row in rows for value in row.values.values()]
    if len(values) != 1 or not _is_expected(expected, values[0]):
        raise _Failure(f"expected the scalar {expected!r}, got {values}")


def _judge_row(command: Eval, line: SeriesLine, row: _Row) -> None:
    expected = _expected_points(command, line)
    if expected.keys() != row.values.keys() or not all(
        _is_expected(point, row.values[at]) for at, point in expected.items()
    ):
        raise _Failure(f"expected {_show_points(expected)}, got {_show_row(row)}")


def _is_expected(point: float | HistogramPoint, sample: Sample) -> bool:
    if isinstance(point, HistogramPoint):
        return isinstance(sample, NativeHistogram) and same_but_rounding(point, sample, almost_equal)
    return isinstance(sample, float) and almost_equal(point, sample)


def _expected_points(command: Eval, line: SeriesLine) -> dict[int, float | HistogramPoint]:
    grid = command.expected.raw or command.grid
    points = {grid.start_ms + i * grid.step_ms: point for i, point in enumerate(line.points) if point is not None}
    if beyond := [at for at in points if at > grid.end_ms]:
        raise _Failure(
            f"{show_labels(line.labels)} expects a value at {_show_time(beyond[0])}, after the range's end"
        )
    return points


def _has_points(line: SeriesLine) -> bool:
    return any(point is not None for point in line.points)


# Relative to the sum of both (prometheus/prometheus: util/almost/almost.go).
_EPSILON = 1e-6
_SMALLEST_NORMAL = float(np.finfo(np.float64).tiny)
_LARGEST = float(np.finfo(np.float64).max)


def almost_equal(a: float, b: float) -> bool:
    """Tell whether two values are the same but for rounding; NaN is the same as NaN."""
    if math.isnan(a) or math.isnan(b):
        return math.isnan(a) and math.isnan(b)
    if a == b:
        return True
    if math.isinf(a) or math.isinf(b):
        return False
    total, difference = abs(a) + abs(b), abs(a - b)
    if a == 0 or b == 0 or total < _SMALLEST_NORMAL:
        return difference < _EPSILON * _SMALLEST_NORMAL
    return difference / min(total, _LARGEST) < _EPSILON


def _key(labels: Labels) -> frozenset[tuple[str, str]]:
    return frozenset((name, value) for name, value in labels.items() if value)


def show_labels(labels: Labels) -> str:
    """Return labels as a script writes them: `metric{a="b"}`."""
    pairs = ", ".join(f'{name}="{value}"' for name, value in sorted(labels.items()) if name != "__name__")
    return f"{labels.get('__name__', '')}{{{pairs}}}"


def _show_time(at_ms: int) -> str:
    return f"{at_ms / 1000:g}s"


def _show_points(points: Mapping[int, Sample | HistogramPoint]) -> str:
    return " ".join(f"{_show_sample(point)}@{_show_time(at)}" for at, point in points.items())


def _show_sample(sample: Sample | HistogramPoint) -> str:
    match sample:
        case HistogramPoint():
            return show_histogram(point_of(sample))
        case NativeHistogram():
            return show_histogram(sample)
        case _:
            return str(sample)


def _show_row(row: _Row) -> str:
    return f"{show_labels(row.labels)} {_show_points(row.values)}"
