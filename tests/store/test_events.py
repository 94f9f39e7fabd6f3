"""Events against a slow judge: what a search of tags finds, page by page, under the tags of each event's time."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from opstrace.store.engine import Engine
from opstrace.store.events import Event, Events
from opstrace.store.host_tag_table import HostTagTable
from opstrace.store.host_versions import TagSet
from opstrace.store.place import Place
from opstrace.store.search import All, Either, Field, Node, Not
from store.test_host_tags import HOSTS, RANGE, SEARCH, SETS, TAGS, TENANT, TIMES, commits, tags_at

PAGE = 2
APPEND = """
INSERT INTO events (tenant, timestamp, id, host, tags)
SELECT {tenant:String}, fromUnixTimestamp64Milli(assumeNotNull(time_ms), 'UTC'), assumeNotNull(id),
    assumeNotNull(host), arrayMap(tag -> assumeNotNull(tag), tags)
FROM Python(rows)
"""


@dataclass(frozen=True)
class Sent:
    """An event as it was sent."""

    time_ms: int
    host: str
    tags: tuple[str, ...]


SENT = st.lists(st.builds(Sent, TIMES, st.one_of(HOSTS, st.just("")), TAGS), max_size=8)
FIELDS = st.sampled_from(
    [("env", "prod"), ("env", "PROD"), ("env", "*"), ("team", "É"), ("tags", "canary"), ("tags", "c*y"), ("9x", "y")]
).map(lambda pair: Field(*pair))
NODES: st.SearchStrategy[Node] = st.recursive(
    FIELDS,
    lambda nodes: st.one_of(
        st.builds(Not, nodes),
        st.builds(All, st.lists(nodes, max_size=3)),
        st.builds(Either, st.lists(nodes, max_size=3)),
    ),
    max_leaves=5,
)


def holds(node: Node, tags: set[str]) -> bool:
    """Say whether a search finds what has these tags."""
    match node:
        case Field(name, value):
            head, star, tail = (value if name == "tags" else f"{name}:{value}").lower().partition("*")
            lower = [tag.lower() for tag in tags]
            return any(tag.startswith(head) and tag.endswith(tail) if star else tag == head for tag in lower)
        case Not(inner):
            return not holds(inner, tags)
        case All(nodes):
            return all(holds(one, tags) for one in nodes)
        case Either(nodes):
            return any(holds(one, tags) for one in nodes)
    raise AssertionError(node)


@given(sent=SENT, sets=SETS, wanted=NODES, oldest_first=st.booleans())
@SEARCH
def test_events_are_found_by_the_tags_of_their_time(
    engine: Engine,
    sent: Sequence[Sent],
    sets: list[TagSet],
    wanted: Node,
    oldest_first: bool,
) -> None:
    """Each once, with its own and its host's, in the order of time, however many fit on a page."""
    events = stored(engine, sent, sets)
    expected = []
    for i, one in enumerate(sent):
        tags = {*one.tags, *tags_at(sets, one.host, one.time_ms)}
        expected += [(one.time_ms, i, sorted(tags))] if holds(wanted, tags) else []
    by_offset = [
        event
        for offset in range(0, len(sent) + 1, PAGE)
        for event in events.select(TENANT, wanted, *RANGE, PAGE, offset, oldest_first=oldest_first)
    ]
    assert [(one.time_ms, one.id, one.tags) for one in by_offset] == sorted(expected, reverse=not oldest_first)
    assert list(followed(events, wanted, oldest_first=oldest_first)) == by_offset


def followed(events: Events, wanted: Node, *, oldest_first: bool) -> Iterator[Event]:
    """Yield the events of all pages, each of which begins where the one before ended."""
    after = None
    while page := events.select(TENANT, wanted, *RANGE, PAGE, oldest_first=oldest_first, after=after):
        yield from page
        after = Place(page[-1].time_ms, page[-1].id)


def stored(engine: Engine, sent: Sequence[Sent], sets: Sequence[TagSet]) -> Events:
    """Return a table of events of one tenant, the ids of which are their places."""
    for table in ("events", "host_tags"):
        engine.writer.execute(f"TRUNCATE TABLE {table}")
    rows = pa.table(
        {
            "time_ms": pa.array([one.time_ms for one in sent], pa.int64()),
            "id": pa.array(range(len(sent)), pa.uint64()),
            "host": pa.array([one.host for one in sent], pa.string()),
            "tags": pa.array([sorted(one.tags) for one in sent], pa.list_(pa.string())),
        }
    )
    engine.writer.execute(APPEND, rows, tenant=TENANT)
    hosts = HostTagTable(engine)
    for commit, of_one_commit in enumerate(commits(sets)):
        hosts.record(engine.writer, [(TENANT, one) for one in of_one_commit], commit)
    return Events(engine, hosts)
