"""Tags of hosts against a slow judge: every sample on its own, under the tags that were true at its time."""

import math
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from opstrace.errors import BadQuery, StoreError
from opstrace.store import host_tags
from opstrace.store.backend import WHOLE, Labels, Manner, Matcher, MatchOp, Portion
from opstrace.store.budget import Budget
from opstrace.store.embedded import Store
from opstrace.store.engine import Connection, Engine
from opstrace.store.host_names import ALIASES, HostNames, tenures
from opstrace.store.host_tag_table import HostTagTable
from opstrace.store.host_versions import BEGINNING, END, USERS, TagSet, labels_of, taggings, versions
from opstrace.store.selectors import MAX_MATCHERS
from opstrace.store.traits import STALE, STALE_BITS
from opstrace.store.writer import Writer
from promql.memory_store import MemoryStore, matches
from store.test_store import block, content, matcher

TENANT = "t"
HOUR_MS = 3_600_000
START_MS = 20_000 * 24 * HOUR_MS
RANGE = (START_MS, START_MS + 100)

Own = Mapping[tuple[tuple[str, str], ...], Mapping[int, float]]

# ---------------------------------------------------------------------------------------------------------------
# The judge


def tags_at(sets: Sequence[TagSet], host: str, time_ms: int) -> set[str]:
    """Return the tags of a host at a time: of each source the latest set; its first labels hold before, too."""
    of_host = [one for one in sets if one.host == host]
    return {tag for source in {one.source for one in of_host} for tag in tags_from(of_host, source, time_ms)}


def tags_from(of_host: Sequence[TagSet], source: str, time_ms: int) -> tuple[str, ...]:
    of_source = sorted((one for one in of_host if one.source == source), key=lambda one: one.since_ms)
    labeled = [one.since_ms for one in of_source if labels_of(one.tags)]
    first_ms = min(labeled, default=of_source[0].since_ms)
    if source == USERS and of_source[0].since_ms > min(one.since_ms for one in of_host):
        first_ms = 0  # the host was known without them
    return next((one.tags for one in reversed(of_source) if one.since_ms <= max(time_ms, first_ms)), ())


def labels_at(sets: Sequence[TagSet], own: Labels, time_ms: int) -> dict[str, str]:
    """Return the labels of a series at a time."""
    if own.get("job") != "ddagent" or not own.get("instance"):
        return dict(own)
    found = dict(own)
    for key, value in labels_of(tags_at(sets, own["instance"], time_ms)).items():
        values = {*value.split(","), *(own[key].split(",") if key in own else ())}
        found[key] = value if own.get(key, value) == value else ",".join(sorted(values))
    return found


def precedence(key: tuple[tuple[str, str], ...]) -> tuple[int, object]:
    """Order series as they take precedence where two become one: more labels first, then by what they are."""
    return len(key), str(sorted(key))


def judged(own: Own, sets: Sequence[TagSet], start_ms: int, end_ms: int) -> MemoryStore:
    """Return a store into which every sample of a range was written under the labels of its time.

    Where those are other ones than at the sample before, the old ones end; a sample counts more than an end.
    """
    store = MemoryStore()
    samples: list[tuple[Labels, int, float]] = []
    for key in sorted(own, key=precedence):
        times = [time_ms for time_ms in sorted(own[key]) if start_ms <= time_ms <= end_ms]
        labels = {time_ms: labels_at(sets, dict(key), time_ms) for time_ms in times}
        ends = [
            (labels[before], after, STALE) for before, after in pairwise(times) if labels[before] != labels[after]
        ]
        samples = [*ends, *samples, *((labels[time_ms], time_ms, own[key][time_ms]) for time_ms in times)]
    added: dict[tuple[str, int], float] = {}
    for of_sample, time_ms, value in samples:
        key = (str(sorted(of_sample.items())), time_ms)
        before = added.get(key, STALE)
        adds = of_sample.get("type") in ("count", "rate") and not math.isnan(before) and not math.isnan(value)
        added[key] = before + value if adds else value
        store.appender(TENANT).append(block([(of_sample, [(time_ms, added[key])])]))
    return store


# ---------------------------------------------------------------------------------------------------------------
# The store under test


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    with tempfile.TemporaryDirectory() as directory:
        engine = Engine(Path(directory), readers=1)
        yield engine
        engine.close()


# What is appended as a block is nobody's in particular.
CAME_BY_DATADOGS_API = """
ALTER TABLE series UPDATE type = 'gauge' WHERE labels['job'] = 'ddagent' SETTINGS mutations_sync = 1
"""


def commits(sets: Sequence[TagSet]) -> list[list[TagSet]]:
    """Part sets in as few commits as may be: one has one set at most of a host and source."""
    parted: list[list[TagSet]] = []
    for one in sets:
        if not parted or (one.host, one.source) in {(other.host, other.source) for other in parted[-1]}:
            parted.append([])
        parted[-1].append(one)
    return parted


class Tagged:
    """A store of one tenant, with the table of its hosts' tags."""

    def __init__(self, engine: Engine, own: Own, sets: Sequence[TagSet] = ()) -> None:
        for table in ("samples", "series", "host_tags"):
            engine.writer.execute(f"TRUNCATE TABLE {table}")
        self.engine, self.writer = engine, Writer(engine)
        self.table = HostTagTable(engine)
        self.store = Store(engine, self.writer, self.table)
        self.store.appender(TENANT).append(block([(dict(key), sorted(own[key].items())) for key in own]))
        engine.writer.execute(CAME_BY_DATADOGS_API)
        for of_one_commit in commits(sets):
            self.record(*of_one_commit)

    def record(self, *sets: TagSet, tenant: str = TENANT, heard: Sequence[str] = ()) -> int:
        connection, commit = self.engine.writer, self.writer.next_commit()
        return self.table.record(
            connection, [(tenant, one) for one in sets], commit, [(tenant, one) for one in heard]
        )

    def select(
        self, *matchers: Matcher, between: tuple[int, int] = RANGE, portion: Portion = WHOLE
    ) -> dict[tuple[tuple[str, str], ...], list[tuple[int, object]]]:
        return content(self.store.querier(TENANT, Budget()).select(matchers, *between, Manner(portion=portion)))


HOSTS = st.sampled_from(["web-1", "web-2"])
TIMES = st.integers(0, 100).map(lambda ms: START_MS + ms)


def own_labels(host: str, job: str, kind: Labels, rest: Labels) -> tuple[tuple[str, str], ...]:
    return tuple(sorted({"__name__": "m", "instance": host, "job": job, **kind, **rest}.items()))


KINDS = st.sampled_from([{}, {"type": "gauge"}, {"type": "count"}, {"type": "rate"}])
OWN = st.builds(
    own_labels,
    HOSTS,
    st.sampled_from(["ddagent", "ddagent", "ddagent", "node"]),
    KINDS,
    st.dictionaries(st.sampled_from(["env", "team", "path"]), st.sampled_from(["prod", "a,b", "é"]), max_size=2),
)
SERIES = st.dictionaries(
    OWN, st.dictionaries(TIMES, st.floats(allow_nan=False), min_size=1, max_size=5), min_size=1, max_size=5
)
# Those that become one where the host is tagged `env:prod`.
ALIKE = st.dictionaries(
    st.builds(own_labels, st.just("web-1"), st.just("ddagent"), KINDS, st.sampled_from([{}, {"env": "prod"}])),
    st.dictionaries(st.integers(START_MS, START_MS + 2), st.floats(allow_nan=False), min_size=1),
    min_size=2,
)
TAGS = st.lists(
    st.sampled_from(["env:prod", "env:dev", "env:", "team:é", "team:b", "canary", "type:t3", "9x:y", "zone:z:1"]),
    max_size=4,
    unique=True,
).map(tuple)
SETS = st.lists(st.builds(TagSet, HOSTS, st.sampled_from(["system", "users"]), TIMES, TAGS), max_size=6).map(
    lambda sets: sorted(
        {(one.host, one.source, one.since_ms): one for one in sets}.values(), key=lambda one: one.since_ms
    )
)
MATCHERS = st.lists(
    st.sampled_from(
        ["env=prod", "env=", "env!=prod", "env!=", "env=~prod|dev", "env!~d.*", "env=~.*prod.*", "team=a,b,é",
         "team=", "canary=true", "canary!=true", "tag_type=t3", "_9x=y", "zone=~z.*", "path=prod", "path=",
         "job=node", "instance=web-1", "none=", "none!="]
    ).map(matcher),
    max_size=3,
)  # fmt: skip

SEARCH = settings(max_examples=35, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@given(
    own=st.one_of(SERIES, ALIKE),
    sets=SETS,
    matchers=MATCHERS,
    start=st.one_of(st.just(START_MS), TIMES),
    length=st.integers(0, 100),
    room=st.sampled_from([0, 2000]),
)
@SEARCH
def test_samples_have_the_tags_of_their_time(
    engine: Engine,
    own: Own,
    sets: list[TagSet],
    matchers: list[Matcher],
    start: int,
    length: int,
    room: int,
) -> None:
    """Whatever came when, and whether the hosts find room in the statement or not."""
    tagged = Tagged(engine, own, sets)
    wanted = [matcher("__name__=m"), *matchers]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(host_tags, "MAX_LISTED_HOSTS", room)
        found = tagged.select(*wanted, between=(start, start + length))
    end = start + length
    expected = judged(own, sets, start, end).querier(TENANT, Budget()).select(wanted, start, end)
    assert found == content(expected)
    portions = [tagged.select(*wanted, between=(start, end), portion=Portion(number, 3)) for number in range(3)]
    assert sum(map(len, portions)) == len(found)
    assert {labels: samples for portion in portions for labels, samples in portion.items()} == found


@pytest.mark.parametrize(
    ("tags", "labels"),
    [
        (("env:prod", "env:dev", "env:prod"), {"env": "dev,prod"}),
        (("env:", "env:prod"), {"env": "prod"}),
        (("env:",), {}),
        (("team:b,a",), {"team": "b,a"}),
        (("team:b,a", "team:c,a"), {"team": "a,b,c"}),
    ],
)
def test_values_of_one_key_are_one_label(tags: tuple[str, ...], labels: Labels) -> None:
    """As those of a series are, in `intake/translate.sql`."""
    assert labels_of(tags) == labels


@given(own=SERIES, sets=SETS, matchers=MATCHERS, others=MATCHERS, start=TIMES, length=st.integers(0, 100))
@SEARCH
def test_labels_are_those_of_a_moment_in_the_range(
    engine: Engine,
    own: Own,
    sets: list[TagSet],
    matchers: list[Matcher],
    others: list[Matcher],
    start: int,
    length: int,
) -> None:
    """Series, names and values: of the series of the day, with the tags of any moment in the range."""
    querier = Tagged(engine, own, sets).store.querier(TENANT, Budget())
    selectors = [[matcher("__name__=m"), *matchers], [matcher("__name__=m"), *others]]
    moments = range(start, start + length + 1)
    sets_of_labels = {tuple(sorted(labels_at(sets, dict(key), at).items())) for key in own for at in moments}
    expected = {
        labels
        for labels in sets_of_labels
        if any(all(matches(one, dict(labels)) for one in selector) for selector in selectors)
    }
    series = querier.series(selectors, start, start + length)
    assert sorted(tuple(sorted(labels.items())) for labels in series) == sorted(expected)
    names = sorted({name for labels in expected for name, _ in labels})
    assert querier.label_names(selectors, start, start + length) == names
    for name in ("env", "team", "path", "tag_type", "instance", "__name__", "none"):
        values = sorted({dict(labels)[name] for labels in expected if name in dict(labels)})
        assert querier.label_values(name, selectors, start, start + length) == values


@given(own=SERIES, sets=SETS)
@SEARCH
def test_without_selectors_everything_is_listed(engine: Engine, own: Own, sets: list[TagSet]) -> None:
    querier = Tagged(engine, own, sets).store.querier(TENANT, Budget())
    everything = [labels_at(sets, dict(key), at) for key in own for at in range(RANGE[0], RANGE[1] + 1)]
    assert querier.label_names([], *RANGE) == sorted({name for labels in everything for name in labels})
    assert querier.label_values("env", [], *RANGE) == sorted({one["env"] for one in everything if "env" in one})
    found = {tuple(sorted(labels.items())) for labels in querier.series([], *RANGE)}
    assert found == {tuple(sorted(labels.items())) for labels in everything}


# ---------------------------------------------------------------------------------------------------------------
# Rules one by one

SERIES_OF_WEB_1 = (("__name__", "m"), ("instance", "web-1"), ("job", "ddagent"))
NOON_MS = START_MS + 50


def tags_of(found: object) -> list[tuple[dict[str, str], list[int]]]:
    assert isinstance(found, dict)
    plain = {"__name__", "instance", "job"}
    return [
        ({name: value for name, value in key if name not in plain}, [time_ms for time_ms, _ in samples])
        for key, samples in sorted(found.items())
    ]


def test_a_tag_that_changed_at_noon_is_the_old_one_before_noon(engine: Engine) -> None:
    own = {SERIES_OF_WEB_1: {START_MS: 1.0, NOON_MS - 1: 2.0, NOON_MS: 3.0, NOON_MS + 1: 4.0}}
    sets = [
        TagSet("web-1", "system", START_MS + 10, ("env:blue",)),
        TagSet("web-1", "system", NOON_MS, ("env:green",)),
    ]
    tagged = Tagged(engine, own, sets)
    everything = [matcher("__name__=m")]
    assert tags_of(tagged.select(*everything)) == [
        ({"env": "blue"}, [START_MS, NOON_MS - 1, NOON_MS]),
        ({"env": "green"}, [NOON_MS, NOON_MS + 1]),
    ]
    assert tags_of(tagged.select(*everything, matcher("env=green"))) == [({"env": "green"}, [NOON_MS, NOON_MS + 1])]
    (blue,) = content(
        tagged.store.querier(TENANT, Budget()).select([*everything, matcher("env=blue")], *RANGE)
    ).values()
    assert [cell == STALE_BITS for _, cell in blue] == [False, False, True]


def test_a_host_that_was_known_without_tags_has_none_before_its_first_ones(engine: Engine) -> None:
    """Unless they came soon: an Agent may wait for its cloud's tags."""
    own = {SERIES_OF_WEB_1: {START_MS: 1.0}}
    for wait_ms, before in ((HOUR_MS // 2, {"env": "prod"}), (HOUR_MS // 2 + 1, {})):
        sets = [TagSet("web-1", "system", NOON_MS, ()), TagSet("web-1", "system", NOON_MS + wait_ms, ("env:prod",))]
        assert tags_of(Tagged(engine, own, sets).select(matcher("__name__=m"))) == [(before, [START_MS])]


def test_other_names_of_a_host_are_the_host(engine: Engine) -> None:
    """But a name that two hosts claim says nothing, and one that is a host's own is this host's."""

    def own(name: str) -> tuple[tuple[str, str], ...]:
        return (("__name__", "m"), ("instance", name), ("job", "ddagent"))

    sets = [
        TagSet("web-1", ALIASES, START_MS, ("i-1", "both", "web-2")),
        TagSet("web-1", "system", START_MS, ("env:one",)),
        TagSet("web-2", ALIASES, START_MS, ("i-2", "both")),
        TagSet("web-2", "system", START_MS, ("env:two",)),
    ]
    samples = {own(name): {START_MS: 1.0} for name in ("i-1", "i-2", "both", "web-1", "web-2")}
    found = Tagged(engine, samples, sets).select(matcher("__name__=m"))
    assert isinstance(found, dict)
    assert {dict(key)["instance"]: dict(key).get("env") for key in found} == {
        "i-1": "one",
        "i-2": "two",
        "both": None,
        "web-1": "one",
        "web-2": "two",
    }
    found = Tagged(engine, samples, sets).select(matcher("env=one"))
    assert isinstance(found, dict)
    assert {dict(key)["instance"] for key in found} == {"i-1", "web-1"}


def instances(found: object, label: str) -> dict[str, str | None]:
    """Return the value of a label by instance."""
    assert isinstance(found, dict)
    return {dict(key)["instance"]: dict(key).get(label) for key in found}


def test_what_another_name_is_given_is_the_hosts(engine: Engine) -> None:
    """As are tags that it got before its host was known; once it speaks itself they are its own."""
    own = {
        (("__name__", "m"), ("instance", name), ("job", "ddagent")): {START_MS: 1.0}
        for name in ("web-1", "i-1", "i-2")
    }
    sets = [
        TagSet("i-1", "users", START_MS - 1, ("owner:x",)),
        TagSet("web-1", ALIASES, START_MS, ("i-1", "i-2")),
        TagSet("web-1", "users", START_MS, ("owner:y",)),
    ]
    tagged = Tagged(engine, own, sets)
    found = tagged.select(matcher("__name__=m"))
    assert instances(found, "owner") == dict.fromkeys(("web-1", "i-1", "i-2"), "x,y")
    assert instances(tagged.select(matcher("owner=x,y")), "owner").keys() == {"web-1", "i-1", "i-2"}
    assert tagged.record(heard=["i-1"]) == 1
    found = tagged.select(matcher("__name__=m"))
    assert instances(found, "owner") == dict.fromkeys(("web-1", "i-1", "i-2"), "x,y")  # that was long ago
    soon = TagSet("i-1", ALIASES, START_MS + HOUR_MS // 4, ())
    found = Tagged(engine, own, [*sets, soon]).select(matcher("__name__=m"))
    assert instances(found, "owner") == {"web-1": "y", "i-1": "x", "i-2": "y"}


def test_whose_a_name_was_stays(engine: Engine) -> None:
    """Whoever is called so later, and whatever it says of itself."""
    own = {(("__name__", "m"), ("instance", "i-1"), ("job", "ddagent")): {START_MS: 1.0, NOON_MS: 2.0}}
    sets = [
        TagSet("web-1", ALIASES, START_MS, ("i-1",)),
        TagSet("web-1", "system", START_MS, ("env:one",)),
        TagSet("web-1", "system", NOON_MS - 20, ("env:two",)),
        TagSet("web-1", ALIASES, NOON_MS - 10, ()),
    ]
    later = {
        (): {},
        (TagSet("i-1", "system", NOON_MS - 5, ("env:own",)),): {"env": "own"},
        (
            TagSet("web-2", ALIASES, NOON_MS + 5, ("i-1",)),
            TagSet("web-2", "system", NOON_MS + 5, ("env:three",)),
        ): {"env": "three"},
    }
    for more, at_noon in later.items():
        tagged = Tagged(engine, own, [*sets, *more])
        found = tags_of(tagged.select(matcher("__name__=m")))
        first = ({"env": "one"}, [START_MS, NOON_MS])  # it ends where the next sample has other labels
        assert found == sorted([first, (at_noon, [NOON_MS])], key=str)


SAID = tuple[float, str, tuple[str, ...]]
TENURES: dict[str, tuple[Sequence[SAID], Sequence[tuple[float, str]]]] = {
    "claimed": ([(10, "a", ("n",))], [(0, "a")]),
    "given up": ([(10, "a", ("n",)), (12, "a", ("other",))], [(0, "a"), (12, "n")]),
    "given up for a while": ([(10, "a", ("n",)), (12, "a", ()), (12.4, "a", ("n",))], [(0, "a")]),
    "given up for long": ([(10, "a", ("n",)), (12, "a", ()), (14, "a", ("n",))], [(0, "a"), (12, "n"), (13.5, "a")]),
    "another's at once": ([(10, "a", ("n",)), (10.5, "b", ("n",))], []),
    "another's, too": ([(10, "a", ("n",)), (12, "b", ("n",))], [(0, "a"), (12, "n")]),
    "one's again": ([(10, "a", ("n",)), (12, "b", ("n",)), (13, "a", ())], [(0, "a"), (12, "n"), (13, "b")]),
    "handed over": ([(10, "a", ("n",)), (12, "a", ()), (12.2, "b", ("n",))], [(0, "a"), (12, "b")]),
    "speaks soon": ([(10, "a", ("n",)), (10.5, "n", ())], []),
    "speaks late": ([(10, "a", ("n",)), (12, "n", ())], [(0, "a"), (11.5, "n")]),
    "speaks first": ([(9, "n", ()), (10, "a", ("n",))], []),
    "its own": ([(10, "n", ("n",))], []),
}


@pytest.mark.parametrize("case", TENURES)
def test_whose_a_name_is(case: str) -> None:
    """What hosts said at which hour, and whose the name was from which hour on: 0 is the beginning."""
    said, expected = TENURES[case]
    found = tenures(TagSet(host, ALIASES, int(hour * HOUR_MS), names) for hour, host, names in said).get("n", [])
    assert [(max(one.from_ms, 0) / HOUR_MS, one.host) for one in found] == list(expected)
    assert [one.until_ms for one in found[:-1]] == [one.from_ms for one in found[1:]]
    assert not found or (found[0].from_ms, found[-1].until_ms) == (BEGINNING, END)


def test_a_host_that_speaks_keeps_the_names_it_told(engine: Engine) -> None:
    tagged = Tagged(engine, {})
    told = TagSet("web-1", ALIASES, START_MS, ("i-1",))
    assert tagged.record(told, heard=["web-1"]) == 1
    assert tagged.record(heard=["web-1", "web-2"]) == 1
    assert [tagged.record(heard=["web-1", "web-2"]), tagged.record(heard=["web-2"])] == [0, 0]
    assert HostTagTable(engine).record(engine.writer, [], tagged.writer.next_commit(), [(TENANT, "web-1")]) == 0
    assert HostNames.of(tagged.table.sets(TENANT)).claimed == {"web-1": ("i-1",), "web-2": ()}


def test_a_series_that_looks_like_datadogs_has_no_tags(engine: Engine) -> None:
    """Such as what a rule made of series of Datadog's and wrote back; where both write one series it is Datadog's."""
    datadogs, written = (
        (("__name__", name), ("instance", "web-1"), ("job", "ddagent")) for name in ("m", "rule:m:sum")
    )
    tagged = Tagged(engine, {datadogs: {START_MS: 1.0}}, [TagSet("web-1", "system", START_MS, ("env:prod",))])
    tagged.store.appender(TENANT).append(
        block([(dict(written), [(START_MS, 2.0)]), (dict(datadogs), [(START_MS + 1, 3.0)])])
    )
    everything = matcher("__name__=~.+")
    found = tagged.select(everything)
    assert isinstance(found, dict)
    assert {dict(key)["__name__"]: dict(key).get("env") for key in found} == {"m": "prod", "rule:m:sum": None}
    for text, names in (("env=prod", ["m"]), ("env=", ["rule:m:sum"]), ("env!=prod", ["rule:m:sum"])):
        querier = tagged.store.querier(TENANT, Budget())
        selected = tagged.select(everything, matcher(text))
        assert isinstance(selected, dict)
        assert [dict(key)["__name__"] for key in selected] == names
        assert querier.label_values("__name__", [[matcher(text)]], *RANGE) == names
        assert [one["__name__"] for one in querier.series([[matcher(text)]], *RANGE)] == names


def test_a_change_is_seen_by_the_next_query(engine: Engine) -> None:
    tagged = Tagged(engine, {SERIES_OF_WEB_1: {START_MS: 1.0}})
    assert tags_of(tagged.select(matcher("__name__=m"))) == [({}, [START_MS])]
    assert tagged.record(TagSet("web-1", "system", NOON_MS, ("env:prod",))) == 1
    assert tags_of(tagged.select(matcher("env=prod"))) == [({"env": "prod"}, [START_MS])]
    assert tagged.record(TagSet("web-1", "system", NOON_MS + 1, ("env:dev",)), tenant="another") == 1
    assert tags_of(tagged.select(matcher("env=prod"))) == [({"env": "prod"}, [START_MS])]


NAMES = st.sampled_from(["a", "b", "c", "d", "e"])
SAID = st.one_of(
    st.tuples(NAMES, st.just(ALIASES), st.lists(NAMES, max_size=2, unique=True).map(tuple)),
    st.tuples(NAMES, st.sampled_from(["system", "users"]), TAGS),
)


@given(
    said=st.lists(
        st.tuples(st.lists(SAID, min_size=1, max_size=2), st.sampled_from([1, HOUR_MS]), st.booleans()), max_size=8
    ),
    at_once=st.sampled_from([1, 3, 1000]),
)
@SEARCH
def test_what_is_read_again_after_changes_is_all_that_there_is(
    engine: Engine, said: list[tuple[list[tuple[str, str, tuple[str, ...]]], int, bool]], at_once: int
) -> None:
    """As a table finds it that was told of no change."""
    tagged, at_ms = Tagged(engine, {}), START_MS
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("opstrace.store.host_tag_table.MAX_NAMES_READ_AGAIN", at_once)
        for sets, later_ms, looks in said:
            at_ms += later_ms
            named = {(host, source): TagSet(host, source, at_ms, tags) for host, source, tags in sets}
            tagged.record(*named.values(), heard=[host for host, source in named if source == ALIASES])
            if looks:
                tagged.table.tagged(TENANT)
        assert told(tagged.table) == told(HostTagTable(engine))


def told(table: HostTagTable) -> tuple[dict[str, object], dict[str, object]]:
    view = table.view(TENANT, *RANGE)
    return dict(view.tags.hosts) if view else {}, dict(table.tagged(TENANT).hosts)


def test_what_was_written_by_a_statement_that_failed_is_known(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    tagged = Tagged(engine, {}, [TagSet("web-1", "system", START_MS, ("env:prod",))])
    assert told(tagged.table) == told(HostTagTable(engine))
    execute = Connection.execute

    def failing(*arguments: Any, **named: Any) -> int:
        execute(*arguments, **named)
        raise StoreError("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(Connection, "execute", failing)
        with pytest.raises(StoreError):
            tagged.record(TagSet("web-1", "system", START_MS + 1, ("env:dev",)))
    assert tagged.record(TagSet("web-1", "system", START_MS + 2, ("env:dev",))) == 0
    assert told(tagged.table) == told(HostTagTable(engine))


def test_a_removed_tenant_is_not_known_any_more(engine: Engine) -> None:
    tagged = Tagged(engine, {}, [TagSet("web-1", "system", START_MS, ("env:prod",))])
    assert tagged.table.view(TENANT, *RANGE) is not None
    engine.writer.execute("TRUNCATE TABLE host_tags")
    tagged.table.forget([TENANT])
    assert tagged.table.view(TENANT, *RANGE) is None
    tagged.record(TagSet("web-2", "system", START_MS, ("env:dev",)))
    assert set(told(tagged.table)[0]) == {"web-2"}


def test_what_is_known_already_is_not_written_again(engine: Engine) -> None:
    tagged = Tagged(engine, {})
    first, again = (TagSet("h", "system", at, ("b", "a", "b", "")) for at in (START_MS, START_MS + 1))
    assert [tagged.record(first), tagged.record(again)] == [1, 0]
    assert tagged.record(TagSet("h", "system", START_MS + 2, ())) == 1
    never = [TagSet("never tagged", "system", START_MS + at, ()) for at in (0, 1)]
    assert [tagged.record(one) for one in never] == [1, 0]
    assert [(one.since_ms, one.tags) for one in tagged.table.sets(TENANT)] == [
        (START_MS, ("a", "b")),
        (START_MS + 2, ()),
        (START_MS, ()),
    ]


def test_a_regular_expression_that_does_not_compile_is_a_bad_query(engine: Engine) -> None:
    tagged = Tagged(engine, {SERIES_OF_WEB_1: {START_MS: 1.0}}, [TagSet("web-1", "system", START_MS, ("env:prod",))])
    with pytest.raises(BadQuery, match="does not compile"):
        tagged.select(matcher("env=~("))


def test_many_matchers_on_tags_of_many_hosts_fit_into_a_statement(engine: Engine) -> None:
    sets = [TagSet(f"host-{i}", "system", START_MS, ("env:prod", f"shard:{i % 7}")) for i in range(1500)]
    tagged = Tagged(engine, {SERIES_OF_WEB_1: {START_MS: 1.0}})
    tagged.record(*sets)
    matchers = [Matcher("env", MatchOp.REGEX, f"prod|{i}") for i in range(900)]
    assert tags_of(tagged.select(matcher("__name__=m"), *matchers)) == []
    assert tags_of(tagged.select(matcher("__name__=m"), matcher("shard!=3"), matcher("env="))) == [({}, [START_MS])]


def test_matchers_of_all_selectors_count_together_whether_or_not_hosts_have_tags(engine: Engine) -> None:
    tags = [TagSet("web-1", "system", START_MS, ("env:prod",))]
    selectors = [[matcher("__name__=m"), matcher("env=prod")]] * (MAX_MATCHERS // 2)
    for sets in ([], tags):
        querier = Tagged(engine, {SERIES_OF_WEB_1: {START_MS: 1.0}}, sets).store.querier(TENANT, Budget())
        for ask in (
            querier.series,
            partial(querier.label_values, "env"),
            querier.label_names,
        ):
            with pytest.raises(BadQuery, match=f"{MAX_MATCHERS} matchers at most"):
                ask([*selectors, [matcher("a=b")]], *RANGE)


def test_the_cache_keeps_the_tenant_that_asks(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("opstrace.store.host_tag_table.MAX_CACHED_VERSIONS", 1)
    tagged = Tagged(engine, {})
    for tenant in ("one", "two"):
        tagged.record(*(TagSet(host, "system", START_MS, ("env:prod",)) for host in ("a", "b")), tenant=tenant)
    for tenant in ("one", "two", "one"):
        view = tagged.table.view(tenant, *RANGE)
        assert view is not None
        assert view.keys == {"env"}
    assert len(tagged.table._cached) == 1


# ---------------------------------------------------------------------------------------------------------------
# Versions


def test_versions_end_where_the_next_begins() -> None:
    found = list(
        versions(
            taggings(
                [
                    TagSet("h", "system", 10, ("env:a",)),
                    TagSet("h", "users", 20, ("env:a",)),  # says nothing new
                    TagSet("h", "users", 30, ("team:x",)),
                    TagSet("h", "system", 40, ()),
                ]
            )
        )
    )
    assert [version.labels for version in found] == [{"env": "a"}, {"env": "a", "team": "x"}, {"team": "x"}]
    assert [version.from_ms for version in found][1:] == [30, 40]
    assert [version.until_ms for version in found][:-1] == [30, 40]
    assert found[0].from_ms < 0 < START_MS < found[-1].until_ms


def test_the_first_tags_of_each_source_hold_before_too() -> None:
    """Whoever tagged the host before; a source that had none for long had none before."""
    late_ms = 10 + HOUR_MS
    found = list(
        versions(
            taggings(
                [
                    TagSet("h", "users", 10, ("owner:me",)),
                    TagSet("h", "system", 20, ()),
                    TagSet("h", "otel", 20, ()),
                    TagSet("h", "system", 30, ("env:prod",)),
                    TagSet("h", "otel", late_ms, ("zone:a",)),
                ]
            )
        )
    )
    assert [(version.from_ms, version.labels) for version in found] == [
        (BEGINNING, {"env": "prod", "owner": "me"}),
        (late_ms, {"env": "prod", "owner": "me", "zone": "a"}),
    ]


def test_tags_by_hand_begin_when_they_are_given_to_a_known_host() -> None:
    found = versions(taggings([TagSet("h", "system", 10, ("env:a",)), TagSet("h", USERS, 20, ("role:web",))]))
    assert [(version.from_ms, version.labels) for version in found] == [
        (BEGINNING, {"env": "a"}),
        (20, {"env": "a", "role": "web"}),
    ]


def test_labels_with_a_prefix() -> None:
    assert labels_of(["env:prod", "device:sda", "type:x"], "ddtag_") == {
        "ddtag_env": "prod",
        "ddtag_type": "x",
        "device": "sda",
    }


def test_what_a_clock_that_was_ahead_said_holds_no_longer(engine: Engine) -> None:
    now_ms = time.time_ns() // 1_000_000
    key = (("__name__", "m"), ("instance", "web-1"), ("job", "ddagent"))
    tagged = Tagged(engine, {key: {now_ms: 1.0}}, [TagSet("web-1", USERS, now_ms - 60_000, ("env:first",))])
    for ahead_ms in (86_400_000, 2 * 86_400_000):
        tagged.record(TagSet("web-1", USERS, now_ms + ahead_ms, ("env:ahead",)))
    for env in ("back", "later", "ahead", "back"):
        tagged.record(TagSet("web-1", USERS, now_ms, (f"env:{env}",)))
        querier = tagged.store.querier(TENANT, Budget())
        assert querier.label_values("env", [[matcher("__name__=m")]], now_ms, now_ms + 1) == [env]
        current = tagged.table.current(engine.writer, TENANT, ["web-1"])
        assert [one.tags for one in current] == [(f"env:{env}",)]
