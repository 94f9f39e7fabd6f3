"""Each file of the corpus is lines at times, and all that must be sent because of them (corpus/README.md)."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from dogstatsd.heard import HOST, Hearing

CORPUS = Path(__file__).parent / "corpus"
CASES = sorted(CORPUS.glob("*.yaml"))
KEYS = {"about", "settings", "hear", "flush", "series", "sketches", "events", "checks", "refused", "lines"}
# What is meant where a case says nothing.
PARTS: dict[str, dict[str, Any]] = {
    "series": {"host": HOST, "tags": []},
    "sketches": {"host": HOST, "tags": []},
    "events": {
        "source": "api",
        "msg_text": "",
        "host": HOST,
        "priority": "normal",
        "alert_type": "info",
        "aggregation_key": "",
        "tags": [],
    },
    "checks": {"host_name": HOST, "message": "", "tags": []},
}


def raw(text: str) -> bytes:
    """Return the bytes of text in which `\\xff` stands for a byte that is no character."""
    return text.encode("utf-8", "surrogateescape").replace(rb"\xff", b"\xff")


def ordered(entries: list[dict[str, Any]]) -> list[str]:
    return sorted(yaml.safe_dump(entry, sort_keys=True) for entry in entries)


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_case(path: Path) -> None:
    """All that is sent is what the case says, and nothing else; so are the counts of what was refused."""
    case: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert case.keys() <= KEYS
    hearing = Hearing(case.get("settings", {}))
    happenings = [(at, "hear", lines) for at, lines in case["hear"]]
    happenings += [(at, "flush", "") for at in case.get("flush", [25])]
    for at, what, lines in sorted(happenings, key=lambda happening: happening[0]):
        if what == "hear":
            hearing.hear(at, raw(lines))
        else:
            hearing.flush(at)
    for part, meant in PARTS.items():
        expected = [meant | entry for entry in case.get(part, [])]
        found = getattr(hearing.sent, part)
        assert ordered(found) == ordered(expected), part
    assert hearing.refused == case.get("refused", {})
    if "lines" in case:
        assert hearing.lines == case["lines"]


def test_the_corpus_is_there() -> None:
    assert len(CASES) > 30
