"""The join: tags of hosts are labels of all series of their host, as of each sample's time.

Writing a sample knows nothing of it. A query takes the labels that series have of their own (`instance` is the host
of what came by Datadog's API), joins each with the versions of its host that hold in the query's range, and cuts the
samples where one version ends and the next begins.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import TYPE_CHECKING, Final

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from opstrace.errors import BadQuery
from opstrace.ragged import run_bounds, runs
from opstrace.store import unions
from opstrace.store.backend import Block, Labels, Matcher, MatchOp, alike, memoised
from opstrace.store.engine import Parameter
from opstrace.store.host_versions import BEGINNING, END, Version
from opstrace.store.traits import STALE

if TYPE_CHECKING:
    from numpy.typing import NDArray

# A statement is 256 KiB at most, and a host in it is a number of up to 20 digits.
MAX_LISTED_HOSTS: Final = 2_000

_JOB: Final = "ddagent"  # the label `job` of all that came by Datadog's API
_encode = msgspec.json.Encoder(order="deterministic").encode


class AlienLabels(dict[str, str]):
    """Labels that look like those from Datadog's API, of a series that did not come by it: from a rule, say."""


def told_apart(labels: Iterable[Labels], alien: Iterable[bool]) -> list[Labels]:
    """Return the labels of series, of which it is known whether they did not come by Datadog's API."""
    return [
        AlienLabels(own) if is_alien and own.get("job") == _JOB else own
        for own, is_alien in zip(labels, alien, strict=True)
    ]


def joined(own: Labels, of_host: Labels) -> Labels:
    """Return a series' labels and its host's; values of a label that both have are sorted, unique, joined."""
    if of_host.keys().isdisjoint(own):
        return {**of_host, **own}
    unequal = [key for key in own.keys() & of_host.keys() if own[key] != of_host[key]]
    both = {key: {*own[key].split(","), *of_host[key].split(",")} for key in unequal}
    return {**of_host, **own, **{key: ",".join(sorted(values)) for key, values in both.items()}}


def matched(matcher: Matcher, values: Sequence[str]) -> "NDArray[np.bool_]":
    """Say which values a matcher matches; regular expressions are RE2's, anchored at both ends.

    Raises BadQuery for one that does not compile.
    """
    if matcher.op in (MatchOp.EQUAL, MatchOp.NOT_EQUAL):
        found = np.array([value == matcher.value for value in values], dtype=bool)
    else:
        try:
            hits = pc.match_substring_regex(pa.array(values, pa.string()), f"^(?s:{matcher.value})$")
        except pa.ArrowInvalid as error:
            raise BadQuery("a regular expression in a matcher does not compile") from error
        found = hits.to_numpy(zero_copy_only=False).astype(bool)
    return ~found if matcher.op in (MatchOp.NOT_EQUAL, MatchOp.NOT_REGEX) else found


@dataclass(frozen=True, slots=True)
class Host:
    """A host with the number that statements know it by, and its versions in the order of time."""

    code: int
    versions: tuple[Version, ...]
    keys: frozenset[str]  # labels that some version has

    @classmethod
    def of(cls, code: int, versions: tuple[Version, ...]) -> "Host":
        """Return a host of these versions."""
        return cls(code, versions, frozenset(key for version in versions for key in version.labels))


class TenantTags:
    """All versions of all hosts of one tenant."""

    def __init__(self, hosts: Mapping[str, Host]) -> None:
        self.hosts = hosts
        self.keys = frozenset[str]().union(*(host.keys for host in hosts.values()))
        self._versions = [version for host in hosts.values() for version in host.versions]
        self.size = len(self._versions)
        codes = np.array([host.code for host in hosts.values()], dtype=np.uint64)
        self._codes = np.repeat(codes, np.array([len(host.versions) for host in hosts.values()], dtype=np.int64))
        self._from_ms = np.array([version.from_ms for version in self._versions], dtype=np.int64)
        self._until_ms = np.array([version.until_ms for version in self._versions], dtype=np.int64)
        self._by_key: dict[str, dict[str, list[int]]] = {}  # of labels that were asked for

    def valid(self, start_ms: int, end_ms: int) -> "NDArray[np.bool_]":
        """Say which versions hold at some moment of a range."""
        return (self._from_ms <= end_ms) & (self._until_ms > start_ms)

    def lasting(self, start_ms: int, end_ms: int) -> "NDArray[np.bool_]":
        """Say which versions hold throughout a range."""
        return (self._from_ms <= start_ms) & (self._until_ms > end_ms)

    def codes(self, chosen: "NDArray[np.bool_]") -> "NDArray[np.uint64]":
        """Return the hosts of some versions."""
        return np.unique(self._codes[chosen])

    def matching(self, matcher: Matcher) -> "tuple[NDArray[np.bool_], NDArray[np.bool_]]":
        """Say which versions have the matcher's label, and which with a value that it matches."""
        values = self._by_value(matcher.name)
        having, matching = np.zeros(self.size, dtype=bool), np.zeros(self.size, dtype=bool)
        for places, hit in zip(values.values(), matched(matcher, list(values)), strict=True):
            having[places] = True
            matching[places] = hit
        return having, matching

    def _by_value(self, key: str) -> dict[str, list[int]]:
        """Return the places of the versions that have a label, by its value."""
        if key not in self._by_key:
            found: dict[str, list[int]] = {}
            for place, version in enumerate(self._versions):
                if (value := version.labels.get(key)) is not None:
                    found.setdefault(value, []).append(place)
            self._by_key[key] = found
        return self._by_key[key]


@dataclass(slots=True)
class Room:
    """How many hosts may still be listed in a statement."""

    hosts: int = MAX_LISTED_HOSTS

    def take(self, codes: "NDArray[np.uint64]") -> bool:
        """Say whether these find room, and take it."""
        fits = len(codes) <= self.hosts
        self.hosts -= len(codes) if fits else 0
        return fits


@dataclass(frozen=True, slots=True)
class Spell:
    """What the labels of a series are, joined, from one moment until another (exclusive)."""

    from_ms: int
    until_ms: int
    labels: Labels


class HostView:
    """The tags of a tenant's hosts in the range of one query, closed at both ends."""

    def __init__(self, tags: TenantTags, start_ms: int, end_ms: int) -> None:
        self.tags = tags
        self._start_ms, self._end_ms = start_ms, end_ms
        self._valid = tags.valid(start_ms, end_ms)
        self.keys = tags.keys

    @property
    def standing(self) -> bytes | None:
        """A digest of the versions of the range, if none begins or ends in it; nothing if one does.

        Views of the same tags that have it in common join alike.
        """
        lasting = self.tags.lasting(self._start_ms, self._end_ms)
        return blake2b(self._valid.tobytes()).digest() if np.array_equal(lasting, self._valid) else None

    def on_hosts(self, matchers: Iterable[Matcher]) -> list[Matcher]:
        """Return the matchers of labels that hosts have: those that only a join can judge."""
        return [matcher for matcher in matchers if matcher.name in self.keys]

    def widened(
        self, clause: str, matcher: Matcher, suffix: str, parameters: dict[str, Parameter], room: Room
    ) -> str:
        """Return a condition that holds for all series whose joined labels match, and for few others.

        `clause` is the matcher's condition on the series' own labels, whose name is parameter `label_<suffix>`.
        """
        if matcher.name not in self.keys:
            return clause
        having, matching = (mask & self._valid for mask in self.tags.matching(matcher))
        # Hosts whose tag excludes a series without one of its own; only where the absence of the label would match.
        excluding = having & ~matching if matched(matcher, [""])[0] else np.zeros_like(having)
        never = np.setdiff1d(self.tags.codes(excluding), self.tags.codes(self._valid & ~excluding))
        own = f"labels[{{label_{suffix}:String}}]"
        by_host, both, excluded = (
            _listed(name, codes, suffix, parameters, room, otherwise)
            for name, codes, otherwise in (
                ("matching", self.tags.codes(matching), "1"),
                ("having", self.tags.codes(having), "1"),
                ("never", never, "0"),
            )
        )
        return (
            f"(({clause} OR {by_host} OR ({own} != '' AND {both}))"
            f" AND NOT ({own} = '' AND type != '' AND {excluded}))"
        )

    def spells(self, own: Sequence[Labels], matchers: Sequence[Matcher]) -> list[list[Spell]]:
        """Return what each series' labels are in the range, joined, in the order of time, where the matchers match.

        Matchers of labels that no host has are not looked at.
        """
        spells = [self._spells(labels) for labels in own]
        for matcher in self.on_hosts(matchers):
            values = list({one.labels.get(matcher.name, "") for some in spells for one in some})
            good = {value for value, hit in zip(values, matched(matcher, values), strict=True) if hit}
            spells = [[one for one in some if one.labels.get(matcher.name, "") in good] for some in spells]
        return spells

    def join(self, own: Sequence[Labels], matchers: Sequence[Matcher]) -> "Join":
        """Join the labels of many series, as `spells` does."""
        return Join(own, self.spells(own, matchers), self)

    def covers(self, spell: Spell) -> bool:
        """Say whether a spell lasts for the whole range."""
        return spell.from_ms <= self._start_ms and spell.until_ms > self._end_ms

    def _spells(self, own: Labels) -> list[Spell]:
        host = self.tags.hosts.get(own.get("instance", ""))
        if host is None or own.get("job") != _JOB or isinstance(own, AlienLabels):
            return [Spell(BEGINNING, END, own)]
        return [
            Spell(version.from_ms, version.until_ms, joined(own, version.labels))
            for version in host.versions
            if version.from_ms <= self._end_ms and version.until_ms > self._start_ms
        ]


def _listed(
    name: str,
    codes: "NDArray[np.uint64]",
    suffix: str,
    parameters: dict[str, Parameter],
    room: Room,
    otherwise: str,
) -> str:
    """Return the condition that a series' host is one of these, or the constant where they find no room."""
    if not len(codes):
        return "0"
    if not room.take(codes):
        return otherwise
    parameters[f"{name}_{suffix}"] = codes.tolist()
    return f"sipHash64(labels['instance']) IN {{{name}_{suffix}:Array(UInt64)}}"


class Join:
    """What becomes of the series of a selector: which are left, and under which labels."""

    def __init__(self, own: Sequence[Labels], spells: list[list[Spell]], view: HostView) -> None:
        self._own = own
        self._spells = spells
        self._plain = _plain(own, spells, view)
        self.left = np.array([bool(some) for some in spells], dtype=bool)  # which series have any labels that match

    def labels(self) -> dict[bytes, Labels]:
        """Return all label sets, each once, by a text that is the same for the same labels."""
        return {_encode(one.labels): one.labels for some in self._spells for one in some}

    def apply(self, block: Block) -> Block:
        """Give the series of a block, whose labels are among those of the join, the labels of their hosts.

        Labels are known by their identity. Raises KeyError for others.
        """
        if self._plain is not None:
            own, plain = block.labels, self._plain
            joined = memoised(own, self, lambda: alike(own, (plain[id(labels)] for labels in own)))
            return replace(block, labels=joined)
        places = {id(labels): spells for labels, spells in zip(self._own, self._spells, strict=True)}
        return _cut(block, [places[id(labels)] for labels in block.labels])


def _plain(own: Sequence[Labels], spells: Sequence[Sequence[Spell]], view: HostView) -> dict[int, Labels] | None:
    """Return the joined labels by the identity of the series' own; nothing unless that is all there is to a join.

    It is where each series has one label set throughout, and no two the same one. Different series become the same
    only where a series has a label that some host has too.
    """
    if any(len(some) > 1 or not all(map(view.covers, some)) for some in spells):
        return None
    if not all(view.keys.isdisjoint(labels) for labels in own):
        return None
    return {id(labels): some[0].labels for labels, some in zip(own, spells, strict=True) if some}


def _cut(block: Block, spells: Sequence[Sequence[Spell]]) -> Block:
    """Give each sample the labels of its time; several samples of one series and time become one.

    These were series of their own before. What was counted adds up; otherwise the sample of the one with more labels
    of its own counts. Labels that a series no longer has end where its next sample is, as those of a target do that
    is scraped under new ones: nobody is two at once.
    """
    sets: dict[bytes, int] = {}
    labels: list[Labels] = []
    parts: list[tuple[int, int, int, int]] = []  # label set, precedence, start and stop
    for row, precedence in enumerate(_precedences(block.labels)):
        start, stop = int(block.offsets[row]), int(block.offsets[row + 1])
        times = block.timestamps[start:stop]
        for spell in spells[row]:
            first, end = np.searchsorted(times, (spell.from_ms, spell.until_ms)).tolist()
            if first < end:
                place = sets.setdefault(_encode(spell.labels), len(sets))
                labels += [spell.labels] if place == len(labels) else []
                parts.append((place, precedence, start + first, start + end))
                parts += [(place, _ENDING, start + end, start + end + 1)] if end < len(times) else []
    return _gathered(block, labels, parts)


# The precedence of the markers with which series end: any sample's is higher.
_ENDING: Final = -1


def _precedences(labels: Sequence[Labels]) -> list[int]:
    order = sorted(range(len(labels)), key=lambda row: (len(labels[row]), _encode(labels[row])))
    ranks = np.empty(len(order), dtype=np.int64)
    ranks[order] = np.arange(len(order))
    found: list[int] = ranks.tolist()
    return found


def _gathered(block: Block, labels: list[Labels], parts: Sequence[tuple[int, int, int, int]]) -> Block:
    table = np.array(parts, dtype=np.int64).reshape(-1, 4)
    lengths = table[:, 3] - table[:, 2]
    index = runs(table[:, 2], lengths)
    rows, times = np.repeat(table[:, 0], lengths), block.timestamps[index]
    precedences = np.repeat(table[:, 1], lengths)
    order = np.lexsort((precedences, times, rows))
    rows, times, index, ending = rows[order], times[order], index[order], precedences[order] == _ENDING
    # A sample counts more than an end.
    left = ~ending
    left[run_bounds(rows, times)[1:] - 1] = True
    rows, times, index, ending = rows[left], times[left], index[left], ending[left]
    values, histograms = block.values[index], None if block.histograms is None else block.histograms[index]
    values[ending] = STALE
    if histograms is not None:
        histograms[ending] = None
    of_samples = run_bounds(rows, times)
    last = of_samples[1:] - 1
    return Block(
        labels=labels,
        offsets=np.searchsorted(rows[last], np.arange(len(labels) + 1)),
        times_ms=times[last],
        values=unions.values_of(values, of_samples, rows[last], labels),
        histograms=None if histograms is None else unions.histograms_of(histograms, of_samples),
        start_times=None if block.start_times is None else block.start_times[index[last]],
    )
