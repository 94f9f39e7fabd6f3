"""The script language of PromQL tests: text → typed commands with line numbers.

The language is Prometheus's own (prometheus/prometheus: promql/promqltest/README.md), so that its scripts and other
people's run here unchanged. Three kinds of commands stand in a script:

    load[_with_nhcb] <step>      then a line per series: labels and points, from time 0 on
    clear                        forget everything loaded so far
    eval[_…] instant|range …     then what the query must return, and `expect …` lines

A command ends at an empty line or a comment. What cannot be read becomes an `Invalid` command: one broken command
never hides the others.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import repeat

from opstrace.errors import BadQuery
from opstrace.promql.duration import parse_duration
from opstrace.store.backend import Labels
from opstrace.store.traits import STALE

# ---------------------------------------------------------------------------------------------------------------
# What a script consists of


@dataclass(frozen=True, slots=True)
class HistogramLiteral:
    """A native histogram as written, `{{schema:1 sum:3 count:22 buckets:[5 10 7]}}`; absent fields are zero."""

    schema: int = 0
    sum: float = 0.0
    count: float = 0.0
    z_bucket: float = 0.0
    z_bucket_w: float = 0.0
    offset: int = 0
    buckets: tuple[float, ...] = ()
    n_offset: int = 0
    n_buckets: tuple[float, ...] = ()
    custom_values: tuple[float, ...] = ()
    counter_reset_hint: str | None = None  # None: not written, so a comparison ignores it


@dataclass(frozen=True, slots=True)
class HistogramPoint:
    """The histogram `base + times · delta`, as `{{…}}+{{…}}x4` spells its points; `times` is negative for `-`."""

    base: HistogramLiteral
    delta: HistogramLiteral | None = None
    times: int = 0


Point = float | HistogramPoint | None  # None is a gap


@dataclass(frozen=True, slots=True)
class SeriesLine:
    """One series with one point a step; `starts` are start timestamps in ms relative to their sample, or empty."""

    line: int
    labels: Labels
    points: tuple[Point, ...]
    starts: tuple[int | None, ...] = ()


@dataclass(frozen=True, slots=True)
class Load:
    """Append these series, their points `step_ms` apart from time 0 on."""

    line: int
    step_ms: int
    series: tuple[SeriesLine, ...]
    with_nhcb: bool = False  # also derive a custom-bucket native histogram from each classic one


@dataclass(frozen=True, slots=True)
class Clear:
    """Forget everything loaded so far."""

    line: int


@dataclass(frozen=True, slots=True)
class Grid:
    """Evaluation times in ms: from start to end, both included, every step; a step of 0 is a single time."""

    start_ms: int
    end_ms: int
    step_ms: int


@dataclass(frozen=True, slots=True)
class Expectation:
    """An `expect` line: what kind of remark the evaluation must make, and which text it must have."""

    kind: str  # a key of EXPECTATIONS
    message: str | None = None
    pattern: re.Pattern[str] | None = None

    def accepts(self, text: str) -> bool:
        """Tell whether an error or annotation has the text asked for; without one, any text will do."""
        if self.pattern is not None:
            return self.pattern.search(text) is not None
        return self.message is None or self.message == text


EXPECTATIONS = ("fail", "warn", "no_warn", "info", "no_info", "ordered")


@dataclass(slots=True)
class Expected:
    """What an evaluation must return; nothing set means an empty result."""

    series: list[SeriesLine] = field(default_factory=list)
    scalar: float | None = None
    string: str | None = None
    raw: Grid | None = None  # the result is a range vector, its samples at these times
    remarks: list[Expectation] = field(default_factory=list)

    def of(self, kind: str) -> list[Expectation]:
        """Return the `expect` lines of one kind."""
        return [remark for remark in self.remarks if remark.kind == kind]


@dataclass(frozen=True, slots=True)
class Eval:
    """Evaluate a query at one time (`instant`) or on a grid, and compare."""

    line: int
    query: str
    grid: Grid
    instant: bool
    expected: Expected


@dataclass(frozen=True, slots=True)
class Invalid:
    """A command that could not be read."""

    line: int
    text: str
    reason: str


Command = Load | Clear | Eval | Invalid


class _Unreadable(Exception):
    """Why a line could not be read; becomes an Invalid command."""


# ---------------------------------------------------------------------------------------------------------------
# Commands

_LOAD = re.compile(r"load(?P<nhcb>_with_nhcb)?\s+(?P<step>\S+)")
_INSTANT = re.compile(r"eval(?:_(?P<mode>fail|warn|info|ordered))?\s+instant\s+at\s+(?P<at>\S+)\s+(?P<query>.+)")
_RANGE = re.compile(
    r"eval(?:_(?P<mode>fail|warn|info))?\s+range\s+from\s+(?P<start>\S+)\s+to\s+(?P<end>\S+)"
    r"\s+step\s+(?P<step>\S+)\s+(?P<query>.+)"
)
_REMARK = re.compile(rf"expect\s+(?P<kind>{'|'.join(EXPECTATIONS)})(?:\s+(?P<how>msg|regex):(?P<text>.+))?")
_RAW = re.compile(r"expect range vector\s+from\s+(?P<start>\S+)\s+to\s+(?P<end>\S+)\s+step\s+(?P<step>\S+)")
_STRING = re.compile(r"expect string\s+(?P<text>.+)")
_OLD_FAIL = re.compile(r"expected_fail_(?P<how>message|regexp)\s+(?P<text>.+)")


@dataclass(frozen=True, slots=True)
class _Line:
    number: int
    text: str


def parse_script(text: str) -> list[Command]:
    """Read a script; what cannot be read is among the commands as Invalid."""
    return [command for block in _blocks(text) for command in _commands(block)]


def _blocks(text: str) -> Iterator[list[_Line]]:
    """Cut the script at empty lines and comments."""
    block: list[_Line] = []
    for number, raw in enumerate(text.split("\n"), start=1):
        line = raw.strip()
        if line and not line.startswith("#"):
            block.append(_Line(number, line))
        elif block:
            yield block
            block = []
    if block:
        yield block


def _commands(block: list[_Line]) -> Iterator[Command]:
    while block:
        head = block[0]
        try:
            command, block = _command(block)
        except (_Unreadable, BadQuery) as error:
            yield Invalid(head.number, head.text, str(error))
            return
        yield command


def _command(block: list[_Line]) -> tuple[Command, list[_Line]]:
    """Read one command from the head of a block; return it and the lines that are left."""
    word = re.split(r"[\s_]", block[0].text.lower(), maxsplit=1)[0]
    reader = _READERS.get(word)
    if reader is None:
        raise _Unreadable(f'invalid command "{block[0].text}"; a command is load, clear or eval')
    return reader(block)


def _read_clear(block: list[_Line]) -> tuple[Command, list[_Line]]:
    if block[0].text.lower() != "clear":
        raise _Unreadable("invalid clear command; write clear")
    return Clear(block[0].number), block[1:]


def _read_load(block: list[_Line]) -> tuple[Command, list[_Line]]:
    head = block[0]
    match = _LOAD.fullmatch(head.text)
    if match is None:
        raise _Unreadable("invalid load command; write load <step> or load_with_nhcb <step>")
    series = tuple(_loaded_series(block[1:]))
    return Load(head.number, parse_duration(match["step"]), series, match["nhcb"] is not None), []


def _read_eval(block: list[_Line]) -> tuple[Command, list[_Line]]:
    head = block[0]
    if match := _RANGE.fullmatch(head.text):
        grid, instant = _grid(match), False
    elif match := _INSTANT.fullmatch(head.text):
        at_ms = parse_duration(match["at"])
        grid, instant = Grid(at_ms, at_ms, 0), True
    else:
        raise _Unreadable(
            "invalid eval command; write eval instant at <time> <query> "
            "or eval range from <time> to <time> step <duration> <query>"
        )
    expected = Expected(remarks=[Expectation(match["mode"])] if match["mode"] else [])
    rest = _read_expected(block[1:], expected)
    _check_expected(expected, instant)
    return Eval(head.number, match["query"], grid, instant, expected), rest


_READERS: Mapping[str, Callable[[list[_Line]], tuple[Command, list[_Line]]]] = {
    "clear": _read_clear,
    "load": _read_load,
    "eval": _read_eval,
}


def _grid(match: re.Match[str]) -> Grid:
    grid = Grid(*(parse_duration(match[part]) for part in ("start", "end", "step")))
    if grid.end_ms < grid.start_ms:
        raise _Unreadable(f"the end of the range, {match['end']}, is before its start, {match['start']}")
    if grid.step_ms == 0:
        raise _Unreadable("the step of a range must be positive")
    return grid


def _loaded_series(lines: list[_Line]) -> Iterator[SeriesLine]:
    """Read the lines under a load; a line of start timestamps joins the line that follows it."""
    waiting: SeriesLine | None = None
    for line in lines:
        series = _series_line(line)
        if waiting is not None and (
            series.starts or dict(series.labels) != dict(waiting.labels) or len(series.points) != len(waiting.starts)
        ):
            raise _Unreadable(
                f"line {waiting.line}: the @st line needs a line of the same series and length after it"
            )
        if series.starts:
            waiting = series
            continue
        yield series if waiting is None else SeriesLine(line.number, series.labels, series.points, waiting.starts)
        waiting = None
    if waiting is not None:
        raise _Unreadable(f"line {waiting.line}: the @st line has no line of samples after it")


def _read_expected(lines: list[_Line], expected: Expected) -> list[_Line]:
    """Fill in what the lines under an eval say; return the lines after a scalar, which ends the command."""
    for position, line in enumerate(lines):
        if match := _RAW.fullmatch(line.text):
            expected.raw = _grid(match)
        elif match := _STRING.fullmatch(line.text):
            expected.string = _unquote(match["text"])
        elif line.text.split(maxsplit=1)[0] == "expect":
            expected.remarks.append(_remark(line))
        elif match := _OLD_FAIL.fullmatch(line.text):
            expected.remarks.append(_with_text("fail", match["how"].startswith("regex"), match["text"]))
        elif _NUMBER.fullmatch(line.text):
            expected.scalar = float(line.text)
            return lines[position + 1 :]
        else:
            expected.series.append(_series_line(line))
    return []


def _remark(line: _Line) -> Expectation:
    match = _REMARK.fullmatch(line.text)
    if match is None:
        raise _Unreadable(
            f'line {line.number}: invalid expectation "{line.text}"; '
            f"write expect {'|'.join(EXPECTATIONS)}, then msg: or regex: if wanted"
        )
    if match["how"] is None:
        return Expectation(match["kind"])
    return _with_text(match["kind"], match["how"] == "regex", match["text"])


def _with_text(kind: str, regex: bool, text: str) -> Expectation:
    text = text.strip()
    if not regex:
        return Expectation(kind, message=text)
    try:
        return Expectation(kind, pattern=re.compile(text))
    except re.error as error:
        raise _Unreadable(f"invalid regular expression {text}: {error}") from None


def _check_expected(expected: Expected, instant: bool) -> None:
    for kind in ("warn", "info"):
        if expected.of(kind) and expected.of(f"no_{kind}"):
            raise _Unreadable(f"expect {kind} and expect no_{kind} exclude each other")
    if len([remark for remark in expected.of("fail") if remark.message or remark.pattern]) > 1:
        raise _Unreadable("an evaluation fails once: one expect fail says how")
    if not instant and expected.of("ordered"):
        raise _Unreadable("the series of a range have no order")
    if instant and expected.raw is None and any(len(series.points) != 1 for series in expected.series):
        raise _Unreadable("an instant evaluation has one value a series; write expect range vector for several")


# ---------------------------------------------------------------------------------------------------------------
# Series: labels and points

_NUMBER = re.compile(r"[+-]?(?:(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?|[iI]nf|[nN]a[nN])")
_NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_QUOTED = re.compile(r"""(?P<raw>`[^`]*`)|(?P<escaped>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')""")
_SPACE = re.compile(r"\s*")
_HISTOGRAM = r"\{\{[^}]*\}\}"
_COUNT = r"[0-9]{1,12}"
_POINTS = re.compile(
    rf"_(?:x(?P<gaps>{_COUNT}))?"
    rf"|(?P<histogram>{_HISTOGRAM})(?:(?P<sign>[+-])(?P<change>{_HISTOGRAM}))?(?:x(?P<repeats>{_COUNT}))?"
    rf"|(?P<stale>stale)(?:x(?P<stale_times>{_COUNT}))?"
    rf"|(?P<value>{_NUMBER.pattern})(?:(?P<delta>[+-]{_NUMBER.pattern.removeprefix('[+-]?')})?x(?P<times>{_COUNT}))?"
)
_SPAN = r"[0-9]+(?:[a-wyz]+(?:[0-9]+[a-wyz]+)*)?"  # a duration; the x counts repetitions
_STARTS = re.compile(
    rf"_(?:x(?P<gaps>{_COUNT}))?"
    rf"|(?P<value>[+-]?{_SPAN})(?:(?P<delta>[+-]{_SPAN})?x(?P<times>{_COUNT}))?"
)
# A script is data, but a typing error in a count must not fill the memory.
_MOST_POINTS = 1_000_000


def _series_line(line: _Line) -> SeriesLine:
    labels, position = _labels(line)
    rest = line.text[position:]
    if rest.startswith("@st"):
        return SeriesLine(line.number, labels, (), tuple(_starts(_Line(line.number, rest.removeprefix("@st")))))
    return SeriesLine(line.number, labels, tuple(_points(_Line(line.number, rest))))


def _labels(line: _Line) -> tuple[Labels, int]:
    """Read `metric{a="b"}`, `{a="b"}` or `{"metric", "a"="b"}`; return the labels and where they end."""
    labels: dict[str, str] = {}
    name = _NAME.match(line.text)
    position = name.end() if name else 0
    if name:
        labels["__name__"] = name[0]
    if line.text.startswith("{{", position) or not line.text.startswith("{", position):
        if not name:
            raise _Unreadable(f'line {line.number}: "{line.text}" is neither a series nor a number')
        return labels, position
    position = _skip_space(line.text, position + 1)
    while not line.text.startswith("}", position):
        key, value, position = _label(line, position)
        if value:
            labels[key] = value
        if line.text.startswith(",", position):
            position = _skip_space(line.text, position + 1)
        elif not line.text.startswith("}", position):
            raise _Unreadable(f"line {line.number}: labels need , or }} at column {position + 1}")
    return labels, position + 1


def _label(line: _Line, position: int) -> tuple[str, str, int]:
    """Read one item between the braces: `name="value"`, or a quoted metric name alone."""
    name = _NAME.match(line.text, position)
    key, position = (name[0], name.end()) if name else _string(line, position)
    position = _skip_space(line.text, position)
    if not line.text.startswith("=", position) and not name:
        return "__name__", key, position
    value, position = _string(line, _skip_space(line.text, position + 1))
    return key, value, _skip_space(line.text, position)


def _string(line: _Line, position: int) -> tuple[str, int]:
    quoted = _QUOTED.match(line.text, position)
    if quoted is None:
        raise _Unreadable(f"line {line.number}: a quoted string is missing at column {position + 1}")
    return _unquote(quoted[0]), quoted.end()


def _skip_space(text: str, position: int) -> int:
    space = _SPACE.match(text, position)
    return space.end() if space else position


def _items(line: _Line, pattern: re.Pattern[str]) -> Iterator[re.Match[str]]:
    """Yield the items of a sequence separated by white space, each a match of the pattern."""
    position = _skip_space(line.text, 0)
    while position < len(line.text):
        match = pattern.match(line.text, position)
        after = match.end() if match else position
        if match is None or not (after == len(line.text) or line.text[after].isspace()):
            raise _Unreadable(f'line {line.number}: cannot read the points from "{line.text[position:]}" on')
        yield match
        position = _skip_space(line.text, after)


def _count(text: str | None, otherwise: int) -> int:
    count = otherwise if text is None else int(text)
    if count > _MOST_POINTS:
        raise _Unreadable(f"{count} points are more than the {_MOST_POINTS} a series may have")
    return count


def _points(line: _Line) -> Iterator[Point]:
    """Expand `1 2+3x2 _ _x3 stale {{…}}x2`; `AxN` is A and N repetitions, but `_xN` is N gaps."""
    for item in _items(line, _POINTS):
        if item["histogram"]:
            yield from _histograms(item)
        elif item["stale"]:
            yield from repeat(STALE, _count(item["stale_times"], 0) + 1)
        elif item["value"]:
            yield from _floats(float(item["value"]), float(item["delta"] or 0), _count(item["times"], 0))
        else:
            yield from repeat(None, _count(item["gaps"], 1))


def _floats(value: float, delta: float, times: int) -> Iterator[float]:
    """Add up step by step, as Prometheus does: `0.1x9` must carry the same rounding."""
    yield value
    for _ in range(times):
        value += delta
        yield value


def _histograms(item: re.Match[str]) -> Iterator[HistogramPoint]:
    base = _histogram(item["histogram"])
    delta = _histogram(item["change"]) if item["change"] else None
    sign = -1 if item["sign"] == "-" else 1
    for times in range(_count(item["repeats"], 0) + 1):
        yield HistogramPoint(base, delta, sign * times) if delta else HistogramPoint(base)


def _starts(line: _Line) -> Iterator[int | None]:
    """Expand start timestamps, `-1m`, `-30s-1mx2`, `_`, in ms relative to their sample."""
    for item in _items(line, _STARTS):
        if item["value"] is None:
            yield from repeat(None, _count(item["gaps"], 1))
            continue
        delta_ms = _signed_duration(item["delta"] or "0")
        start_ms = _signed_duration(item["value"])
        yield from (start_ms + index * delta_ms for index in range(_count(item["times"], 0) + 1))


def _signed_duration(text: str) -> int:
    duration_ms = parse_duration(text.lstrip("+-"))
    return -duration_ms if text.startswith("-") else duration_ms


# ---------------------------------------------------------------------------------------------------------------
# Native histogram literals

_FIELD = re.compile(r"(?P<name>[a-z_]+):(?:\[(?P<list>[^\]]*)\]|(?P<value>[^\s\]]+))")
_HINTS = ("unknown", "reset", "not_reset", "gauge")
_WHOLE_FIELDS = ("schema", "offset", "n_offset")
_NUMBER_FIELDS = ("sum", "count", "z_bucket", "z_bucket_w")
_LIST_FIELDS = ("buckets", "n_buckets", "custom_values")


def _histogram(text: str) -> HistogramLiteral:
    body = text[2:-2]
    fields: dict[str, object] = {}
    position = _skip_space(body, 0)
    while position < len(body):
        match = _FIELD.match(body, position)
        if match is None:
            raise _Unreadable(f'cannot read the histogram {text} from "{body[position:]}" on')
        fields[match["name"]] = _field(text, match)
        position = _skip_space(body, match.end())
    return HistogramLiteral(**fields)  # type: ignore[arg-type]  # _field gives each name its type


def _field(text: str, match: re.Match[str]) -> object:
    name, listed, value = match["name"], match["list"], match["value"]
    try:
        if name in _LIST_FIELDS and listed is not None:
            return tuple(float(number) for number in listed.split())
        if name in _NUMBER_FIELDS and value is not None:
            return float(value)
        if name in _WHOLE_FIELDS and value is not None:
            return int(value)
    except ValueError:
        raise _Unreadable(f"{name} in the histogram {text} is not a number") from None
    if name == "counter_reset_hint" and value in _HINTS:
        return value
    raise _Unreadable(f"the histogram {text} has a field that does not exist: {match[0]}")


# ---------------------------------------------------------------------------------------------------------------
# Quoted strings

_ESCAPE = re.compile(
    rb"\\(?:(?P<plain>[abfnrtv\\'\"])|x(?P<hex>[0-9a-fA-F]{2})|(?P<octal>[0-7]{3})"
    rb"|u(?P<four>[0-9a-fA-F]{4})|U(?P<eight>[0-9a-fA-F]{8})|(?P<bad>.))",
    re.DOTALL,
)
_PLAIN = {b"a": b"\a", b"b": b"\b", b"f": b"\f", b"n": b"\n", b"r": b"\r", b"t": b"\t", b"v": b"\v"}


def _unquote(text: str) -> str:
    """Return the value of a string literal in Go's syntax: "…" or '…' with escapes, or `…` as it stands."""
    match = _QUOTED.fullmatch(text.strip())
    if match is None:
        raise _Unreadable(f"not a quoted string: {text}")
    if match["raw"]:
        return match["raw"][1:-1]
    body = match["escaped"][1:-1].encode("utf-8", "surrogateescape")
    return _ESCAPE.sub(_unescape, body).decode("utf-8", "surrogateescape")


def _unescape(match: re.Match[bytes]) -> bytes:
    if match["plain"]:
        return _PLAIN.get(match["plain"], match["plain"])
    if match["hex"]:
        return bytes.fromhex(match["hex"].decode())
    if match["octal"] and int(match["octal"], 8) < 256:
        return bytes([int(match["octal"], 8)])
    code = match["four"] or match["eight"]
    if code and (point := int(code, 16)) < 0x110000 and not 0xD800 <= point < 0xE000:
        return chr(point).encode()
    raise _Unreadable(f"unknown escape {match[0].decode(errors='replace')} in a string")
