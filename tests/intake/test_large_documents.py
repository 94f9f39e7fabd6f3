"""Documents of hosts that are larger than Python reads as a whole: what they say of their hosts is taken, too."""

import json

from opstrace.config import Limits
from opstrace.intake.documents.host_metadata import MAX_SOURCES
from opstrace.intake.payload import Body, Family
from opstrace.intake.repair import MAX_REPAIR_BYTES
from opstrace.intake.translator import Translator
from opstrace.store.engine import Engine
from opstrace.store.host_names import ALIASES

TAGS = {"system": ["env:prod", "team:shop"]}


def told(engine: Engine, tenant: str) -> list[tuple[str, list[str]]]:
    rows = engine.writer.read(
        "SELECT host, tags FROM host_tags WHERE tenant = {t:String} AND source = 'system'", t=tenant
    )
    return [(row["host"], row["tags"]) for row in rows.to_pylist()]


def test_tags_beside_a_part_that_is_too_large(translator: Translator, engine: Engine) -> None:
    checks = [["check", f"check:{n}", "OK", "x" * 1000] for n in range(MAX_REPAIR_BYTES // 1000)]
    document = {
        "internalHostname": "large-1",
        "host-tags": TAGS,
        "meta": {"timezones": ["UTC"]},
        "agent_checks": checks,
    }
    (verdict,), _ = translator.commit([Body(Family.INTAKE, "large", json.dumps(document).encode())])
    assert told(engine, "large") == [("large-1", ["env:prod", "team:shop"])]
    assert verdict.facts["document_too_large"] == 1
    assert verdict.facts["stored"] >= 2


def test_tags_beside_a_million_metrics(translator: Translator, engine: Engine) -> None:
    """What says nothing of hosts, as events do, is no part that is left out."""
    events = {"api": [{"msg_title": "t", "msg_text": "x" * 1000}] * (MAX_REPAIR_BYTES // 1000)}
    document = {"internalHostname": "large-2", "host-tags": TAGS, "events": events}
    (verdict,), _ = translator.commit([Body(Family.INTAKE, "larger", json.dumps(document).encode())])
    assert told(engine, "larger") == [("large-2", ["env:prod", "team:shop"])]
    assert "document_too_large" not in verdict.facts


def test_tags_beside_a_part_that_cannot_be_read(translator: Translator, engine: Engine) -> None:
    """A number that no integer holds costs neither the other parts nor the commit."""
    number = "1" * 5000
    document = {
        "internalHostname": "large-6",
        "host-tags": TAGS,
        "meta": {"a": "<number>"},
        "uuid": "x" * MAX_REPAIR_BYTES,
    }
    content = json.dumps(document).replace('"<number>"', number).encode()
    (verdict,), _ = translator.commit([Body(Family.INTAKE, "numbers", content)])
    assert told(engine, "numbers") == [("large-6", ["env:prod", "team:shop"])]
    assert verdict.facts["document_too_large"] == 2


def test_names_and_sources_without_end(translator: Translator, engine: Engine) -> None:
    """Of a host the first other names and sources of tags stay, none that is too long."""
    aliases = [f"alias-{n:05d}" for n in range(400)]
    sources = {f"source-{n:03d}": [f"n:{n}"] for n in range(MAX_SOURCES + 10)}
    document = {
        "internalHostname": "large-5",
        "host-tags": sources,
        "meta": {"host_aliases": [*aliases, "x" * 20_000]},
    }
    (verdict,), _ = translator.commit([Body(Family.INTAKE, "many", json.dumps(document).encode())])
    rows = engine.writer.read("SELECT source, tags FROM host_tags WHERE tenant = 'many'").to_pylist()
    found = {row["source"]: row["tags"] for row in rows}
    assert sorted(source for source in found if source.startswith("source-")) == sorted(sources)[:MAX_SOURCES]
    assert found[ALIASES] == aliases[: Limits().max_tags]
    assert verdict.facts["too_many_tags"] == 10 + 400 - Limits().max_tags
    assert verdict.facts["tag_too_long"] == 1


def test_kinds_of_an_inventory_that_are_not_too_large(translator: Translator) -> None:
    document = {
        "hostname": "large-3",
        "agent_metadata": {"flavor": "agent"},
        "host_metadata": {"a": "x" * MAX_REPAIR_BYTES},
    }
    (verdict,), _ = translator.commit([Body(Family.INVENTORY, "large", json.dumps(document).encode())])
    assert dict(verdict.facts) == {"stored": 1, "document_too_large": 1}


def test_a_large_document_that_is_broken(translator: Translator, engine: Engine) -> None:
    content = json.dumps({"internalHostname": "large-4", "host-tags": TAGS, "meta": "x" * MAX_REPAIR_BYTES}).encode()[
        :-1
    ]
    (verdict,), _ = translator.commit([Body(Family.INTAKE, "broken", content)])
    assert verdict.fault
    assert told(engine, "broken") == []
