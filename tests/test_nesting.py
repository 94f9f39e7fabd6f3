"""How deep JSON is, and that what is stored too deep is shown without it."""

import json
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from opstrace.datadog.events import shown_v2
from opstrace.nesting import MAX_DEPTH, is_too_deep
from opstrace.store.engine import Engine
from opstrace.store.events import Event
from opstrace.store.host_tag_table import HostTagTable
from opstrace.store.host_writer import HostWriter
from opstrace.store.hosts import Hosts
from opstrace.store.writer import Writer


@given(st.lists(st.sampled_from(["list", "object", "wide"]), max_size=MAX_DEPTH + 20), st.text())
def test_depth(levels: list[str], text: str) -> None:
    document: Any = text
    for level in levels:
        wrapped: dict[str, Any] = {
            "list": [document, "]}"],
            "object": {f"k{text}": document, "[{": "\\"},
            "wide": [document, *[[1]] * 3],
        }
        document = wrapped[level]
    wide = 1 if levels[:1] == ["wide"] else 0
    assert is_too_deep(json.dumps(document).encode()) == (len(levels) + wide > MAX_DEPTH)


def deep(levels: int) -> str:
    return "[" * levels + "]" * levels


def test_an_event_of_an_earlier_version_that_is_too_deep_is_shown_without_what_is() -> None:
    attributes = f'{{"category": "change", "attributes": {{"a": {deep(985)}}}}}'
    shown = shown_v2(Event(1, 0, "title", "", "", "", "", "", "", [], "", "", 0, attributes))
    assert json.loads(json.dumps(shown))["attributes"]["attributes"]["title"] == "title"


def test_documents_of_an_earlier_version_that_are_too_deep_are_left_out(tmp_path: Path) -> None:
    engine = Engine(tmp_path / "data", readers=1)
    tags = HostTagTable(engine)
    documents = {("t", "h", "meta"): b'{"a": 1}', ("t", "h", "systemStats"): deep(1010).encode()}
    HostWriter(engine, Writer(engine), tags).append([], documents, 1)
    assert Hosts(engine, tags).documents("t") == {"h": {"meta": {"a": 1}}}
    engine.close()
