"""The parser against a plain one: lines of the grammar, lines that were damaged, noise."""

import math
from dataclasses import asdict
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from dogstatsd import plain_parser
from dogstatsd.heard import Hearing
from opstrace.dogstatsd.parse import Event, Malformed, Metric, parse

WORDS = st.text("ab.é:/_ -1", min_size=1, max_size=6).map(str.encode)
NUMBERS = st.one_of(
    st.floats().map(repr),
    st.integers(-(10**20), 10**20).map(str),
    st.from_regex(r"\A[+-]?[0-9_]{0,4}\.?[0-9]{0,3}([eE][+-]?[0-9]{1,3})?\Z"),
    st.from_regex(r"\A[+-]?0[xX][0-9a-f_]{0,4}\.?[0-9a-f]{0,3}([pP][+-]?[0-9]{0,4})?\Z"),
    st.sampled_from(["inf", "-Inf", "+infinity", "nan", "NaN", "-nan", "1e400", "1 ", " 1", "", "٣", "0x1p3", "1_0"]),
).map(str.encode)
TAGS = st.lists(WORDS, max_size=3).map(lambda words: b"#" + b",".join(words))
FIELDS = st.one_of(
    TAGS,
    NUMBERS.map(lambda number: b"@" + number),
    NUMBERS.map(lambda number: b"T" + number),
    st.integers(-5, 2**64).map(lambda number: b"T%d" % number),
    st.sampled_from(
        [b"", b"c:ci-1", b"e:x", b"card:low", b"zz", b"#", b"#,", b"d:5", b"d:x", b"h:web", b"h:", b"m:a\\nb"]
    ),
    st.sampled_from(
        [b"p:low", b"p:high", b"t:error", b"t:bad", b"k:key", b"s:source", b"d:-3", b"d:99999999999999999999"]
    ),
)


@st.composite
def metrics(draw: st.DrawFn) -> bytes:
    kind = draw(st.sampled_from([b"c", b"g", b"h", b"ms", b"d", b"s", b"x", b""]))
    values = b":".join(draw(st.lists(NUMBERS, max_size=4)))
    return b"|".join([draw(WORDS) + b":" + values, kind, *draw(st.lists(FIELDS, max_size=4))])


@st.composite
def events(draw: st.DrawFn) -> bytes:
    title, text = draw(st.text("aé|\\n:", max_size=8)).encode(), draw(st.text("aé|\\n:", max_size=8)).encode()
    lengths = (
        len(title) + draw(st.sampled_from([0, 0, 0, 1, -1])),
        len(text) + draw(st.sampled_from([0, 0, 0, 2, -1])),
    )
    return b"|".join([b"_e{%d,%d}:%b" % (*lengths, title), text, *draw(st.lists(FIELDS, max_size=4))])


@st.composite
def checks(draw: st.DrawFn) -> bytes:
    status = draw(st.sampled_from([b"0", b"1", b"2", b"3", b"4", b""]))
    return b"|".join([b"_sc", draw(WORDS), status, *draw(st.lists(FIELDS, max_size=4))])


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """Return a line in which a few bytes were changed, added or lost."""
    line = bytearray(draw(st.one_of(metrics(), events(), checks())))
    for _ in range(draw(st.integers(1, 3))):
        place = draw(st.integers(0, len(line)))
        line[place : place + draw(st.integers(0, 2))] = draw(
            st.sampled_from([b"", b"|", b":", b"\xff", b"1", b"#", b"{", b"\0"])
        )
    return bytes(line).replace(b"\n", b"")


LINES = st.one_of(metrics(), events(), checks(), damaged(), st.binary(max_size=40))


def outcome(line: bytes) -> tuple[str, dict[str, Any]]:
    try:
        said = parse(line)
    except Malformed as malformed:
        return malformed.reason, {}
    parts = asdict(said)
    match said:
        case Metric():
            return "metric", {**parts, "kind": said.kind.value}
        case Event():
            return "event", parts
        case _:
            return "check", parts


def judgement(line: bytes) -> tuple[str, dict[str, Any]]:
    try:
        said = plain_parser.parse(line)
    except plain_parser.Refused as refused:
        return str(refused), {}
    return said.what, said.parts


def comparable(found: tuple[str, dict[str, Any]]) -> tuple[str, dict[str, str]]:
    """Return an outcome in which NaN equals NaN, and zeros have signs."""
    return found[0], {name: repr(value) for name, value in found[1].items()}


@settings(max_examples=1000, deadline=None)
@given(LINES)
@example(b"a:1|c|@0x1p-1")
@example(b"a:0x_1p1|g")
@example(b"a:0x__1p1|g")
@example(b"a:0x1_.8p1|g")
@example(b"a:0x.8p+1_0|g")
@example(b"a:0x0p|g")
@example(b"a:1e1_0|g")
@example(b"_e{1,1}:a|b|")
@example(b"_e{1,1}:a")
@example(b"_sc|a|0|")
@example(b"|")
@example(b":|c")
def test_the_parser_and_the_plain_one_agree(line: bytes) -> None:
    """What a line says, or why it is refused."""
    assert comparable(outcome(line)) == comparable(judgement(line))


@settings(max_examples=200, deadline=None)
@given(st.lists(LINES, max_size=12))
def test_no_line_harms_a_neighbour_and_no_value_is_invented(lines: list[bytes]) -> None:
    """Each line has the same fate among others, twice over, as alone: a spelling that is known changes nothing."""
    hearing = Hearing({}, max_samples=100_000)
    packet = [part.removesuffix(b"\r") for line in lines for part in line.split(b"\n")]
    hearing.hear(1, b"\n".join(packet))
    hearing.hear(2, b"\n".join(packet))
    hearing.flush(10)
    expected: dict[str, int] = {}
    taken: dict[str, int] = {}
    for line in packet:
        for reason, number in fate(line).items():
            counts = taken if reason in ("c", "g", "h", "d", "s", "event", "service_check") else expected
            counts[reason] = counts.get(reason, 0) + 2 * number
    assert hearing.refused == expected
    assert hearing.lines == taken


def fate(line: bytes) -> dict[str, int]:
    """Return what a line is counted as, by the plain parser."""
    if not line:
        return {}
    what, parts = judgement(line)
    if not parts:
        return {what: 1}
    if what == "event":
        return {"event": 1}
    if what == "check":
        return {"service_check": 1}
    kind = {"ms": "h"}.get(parts["kind"], parts["kind"])
    timed = parts["timestamp"] is not None
    if timed and kind not in "cg":
        return {"timestamp_not_allowed": 1}
    lost = sum(not math.isfinite(value) for value in parts["values"])
    heard = {kind: 1} if kind == "s" or timed or lost < len(parts["values"]) else {}
    return heard | ({"not_finite": lost} if lost else {})
