"""Logs that nobody should send: none of them harms the others, or goes without a count."""

import json
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from opstrace.errors import BadQuery
from opstrace.intake.logs.logplex import SEPARATOR, separated
from opstrace.intake.logs.logs_decoder import CUT_HERE, MAX_MESSAGE_BYTES
from opstrace.intake.payload import Body, Family, Verdict
from opstrace.intake.translator import Translator
from opstrace.store.engine import Engine
from opstrace.store.logs import MAX_TERMS, Filter, Logs, parse_filter
from opstrace.store.place import Place

GOOD = json.dumps([{"message": "neighbour", "timestamp": time.time() * 1000}] * 3).encode()
LOG = {
    "message": "m",
    "timestamp": 1795498000000,
    "hostname": "h",
    "service": "s",
    "ddsource": "x",
    "ddtags": "a:b",
    "other": {"n": [1, None, True, "é"]},
}


def judged(translator: Translator, content: bytes, family: Family = Family.LOGS) -> Verdict:
    """Commit a body between two good ones, which must not notice, and return its verdict."""
    good = Body(Family.LOGS, "t", GOOD)
    first, verdict, last = translator.commit([good, Body(family, "t", content), good])[0]
    assert first.logs == last.logs == {"stored": 3}
    assert first.fault == last.fault == ""
    return verdict


@settings(max_examples=30, deadline=None)
@given(cut=st.integers(0, 160), junk=st.binary(max_size=3), lines=st.booleans())
def test_a_body_cut_anywhere(translator: Translator, cut: int, junk: bytes, lines: bool) -> None:
    whole = json.dumps(LOG).encode()
    content = (whole + b"\n" + whole[:cut] if lines else b"[" + whole[:cut]) + junk
    verdict = judged(translator, content)
    assert bool(verdict.fault) != bool(verdict.logs) or content.strip() in (b"[", b"")


NAMES = [*LOG, "host", "source", "date", "syslog", "@timestamp"]
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.dictionaries(st.sampled_from(NAMES), VALUES, min_size=1), min_size=1, max_size=4))
def test_fields_of_any_type(translator: Translator, logs: list[dict[str, object]]) -> None:
    verdict = judged(translator, json.dumps(logs).encode())
    assert verdict.fault == ""
    assert sum(verdict.logs.values()) == len(logs)


@settings(max_examples=40, deadline=None)
@given(
    field=st.sampled_from(["message", "hostname", "service", "ddsource", "ddtags", "status"]),
    junk=st.binary(max_size=8),
)
def test_bytes_that_are_no_text_in_every_field(
    translator: Translator, engine: Engine, field: str, junk: bytes
) -> None:
    safe = junk.replace(b'"', b"").replace(b"\\", b"").translate(None, bytes(range(32)))
    content = (
        json.dumps([{**LOG, "timestamp": time.time() * 1000, field: "@@"}]).encode().replace(b"@@", b"\xff" + safe)
    )
    verdict = judged(translator, content)
    assert verdict.logs == {"stored": 1}
    found, more = Logs(engine).select("t", parse_filter(""), 0, round(time.time() * 1000) + 1000, 5)
    assert found or more


@settings(max_examples=40, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_as_text(translator: Translator, content: bytes) -> None:
    verdict = judged(translator, content, Family.LOGS_TEXT)
    assert verdict.fault == ""
    assert set(verdict.logs) <= {"stored"}


def test_a_message_is_cut_and_an_answer_is_bounded(translator: Translator, engine: Engine) -> None:
    now = round(time.time() * 1000)
    body = [{"message": f"{i} " + "x" * 2_000_000, "timestamp": now - i} for i in range(20)]
    verdict = judged(translator, json.dumps(body).encode())
    assert (verdict.logs, verdict.cut_logs) == ({"stored": 20}, 20)
    # Other tests of this store have messages with an `XX` in them.
    many = parse_filter("x" * 1000)
    found, more = Logs(engine).select("t", many, 0, now, 100)
    assert [log.message[:2] for log in found] == [f"{i} "[:2] for i in range(16)]
    assert {len(log.message) for log in found} == {MAX_MESSAGE_BYTES + len(CUT_HERE)}
    assert more
    assert len(Logs(engine).select("t", many, 0, now - 16, 100)[0]) == 4
    assert Logs(engine).select("t", parse_filter("no such"), 0, now, 100) == ([], False)


def test_a_query_of_too_many_words_is_refused() -> None:
    assert len(parse_filter("word " * MAX_TERMS).substrings) == MAX_TERMS
    with pytest.raises(BadQuery):
        parse_filter("word " * (MAX_TERMS + 1))


@pytest.mark.parametrize(
    ("query", "filter_"),
    [
        ('team:"a b" x', Filter(("x",), ("team:a b",))),
        ('service:"my shop" status:Error', Filter((), (), (("service", "my shop"), ("status", "error")))),
        ('"a:b c" d', Filter(("a:b c", "d"))),
        ('a:"b"c', Filter((), ('a:"b"c',))),
        ('a: :b "" ""c', Filter(("a:", ":b", "c"))),
        ('say:"open', Filter((), ('say:"open',))),
    ],
)
def test_queries(query: str, filter_: Filter) -> None:
    assert parse_filter(query) == filter_


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.text(st.characters(codec="utf-8")), st.booleans()), max_size=5))
def test_records_that_say_their_length_are_found_again(messages: list[tuple[str, bool]]) -> None:
    """Whatever is in them, but for newlines at their ends, and with or without a newline between."""
    records = [f"<40>1 - h a p - {text}".encode() for text, _ in messages]
    frames = [b"%d %s" % (len(record), record) for record in records]
    content = b"".join(frame + b"\n" * newline for frame, (_, newline) in zip(frames, messages, strict=True))
    found = [record for record in separated(content).split(SEPARATOR) if record]
    assert found == [frame.replace(b"\0", "\ufffd".encode()).strip(b"\r\n") for frame in frames]


@pytest.mark.parametrize("family", [Family.LOGS, Family.LOGS_TEXT])
def test_logs_of_one_time_are_in_their_order_and_on_pages(
    translator: Translator, engine: Engine, family: Family
) -> None:
    now = round(time.time() * 1000)
    word = f"paged{family.value}{now}"
    texts = [f"{word} {n}" for n in range(25)]
    documents = json.dumps([{"message": text, "timestamp": now} for text in texts])
    judged(translator, (documents if family is Family.LOGS else "\n".join(texts)).encode(), family)
    pages: list[int] = []
    read: list[str] = []
    before, more = Place(now + 60_000, 0), True
    while more:
        found, more = Logs(engine).select("t", parse_filter(word), now - 1000, now + 60_000, 10, before)
        pages.append(len(found))
        read += (log.message for log in found)
        before = Place.of(str(Place(found[-1].timestamp_ms, found[-1].id)))
    assert pages == [10, 10, 5]
    assert read == texts[::-1]


@pytest.mark.parametrize("cursor", ["1", "1-", "-1", "a-1", "1-18446744073709551616", "1-1-1", "１-1", "1-1\n"])
def test_a_cursor_that_no_answer_had(cursor: str) -> None:
    with pytest.raises(BadQuery, match="is none that an answer had"):
        Place.of(cursor)


def test_a_body_is_of_the_host_that_its_logs_name_whatever_becomes_of_others(translator: Translator) -> None:
    now_ms = time.time() * 1000
    stored = {"message": "m", "hostname": "web-1", "timestamp": now_ms}
    for other in ({"message": "m", "timestamp": 1}, {"message": "m", "timestamp": now_ms + 10**9}, 7):
        for logs in ([stored, other], [other, stored]):
            verdict = judged(translator, json.dumps(logs).encode())
            assert (verdict.host, verdict.logs["stored"], len(verdict.logs)) == ("web-1", 1, 2)
