"""Logs that nobody should send: none of them harms the others, or goes without a count."""

import json
import time
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from opstrace.config import Limits
from opstrace.intake.payload import Body, Family, Verdict
from opstrace.intake.translator import Translator
from opstrace.store.engine import Engine
from opstrace.store.host_tag_table import HostTagTable
from opstrace.store.host_writer import HostWriter
from opstrace.store.kept import KeptRequests
from opstrace.store.logs import Logs, parse_filter
from opstrace.store.writer import Writer

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


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    opened = Engine(tmp_path_factory.mktemp("logs"), readers=1)
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def translator(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Translator:
    kept = KeptRequests(tmp_path_factory.mktemp("kept"), lambda _tenant: Limits())
    writer = Writer(engine)
    hosts = HostWriter(engine, writer, HostTagTable(engine))
    return Translator(
        engine,
        writer,
        kept,
        hosts,
        Limits(),
        lambda _tenant: Limits(),
        retention_days=lambda: 30,
        log_retention_days=lambda: 7,
        tag_label_prefix="",
    )


def judged(translator: Translator, content: bytes, family: Family = Family.LOGS) -> Verdict:
    """Commit a body between two good ones, which must not notice, and return its verdict."""
    good = Body(Family.LOGS, "t", GOOD)
    first, verdict, last = translator.commit([good, Body(family, "t", content), good])[0]
    assert first.logs == last.logs == {"stored": 3}
    assert first.fault == last.fault == ""
    return verdict


@settings(max_examples=60, deadline=None)
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


@settings(max_examples=80, deadline=None)
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
    found = Logs(engine).select("t", parse_filter(""), 0, round(time.time() * 1000) + 1000, 5)
    assert found


@settings(max_examples=40, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_as_text(translator: Translator, content: bytes) -> None:
    verdict = judged(translator, content, Family.LOGS_TEXT)
    assert verdict.fault == ""
    assert set(verdict.logs) <= {"stored"}
