"""A metrics v3 payload: parallel columns and dictionaries, as arrays.

Columns, references and checks: datadog-intake.md, section 7 (DataDog/agent-payload: proto/metrics/intake_v3.proto).
"""

from collections import defaultdict
from dataclasses import dataclass
from itertools import chain, pairwise
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from opstrace.errors import Undecodable
from opstrace.intake.series.columns import (
    MAX_COLUMN_VALUES,
    fields,
    fixed,
    legible,
    running,
    signed,
    strings,
    text_of,
    varints,
)
from opstrace.intake.series.sent_sketches import numbered
from opstrace.ragged import places, runs

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]

# What dictionaries and references may stand for, written out: a body cannot make more of itself than that.
MAX_EXPANDED_BYTES: Final = 256 * 1024 * 1024
_ENTRY_BYTES: Final = 8
_TEXT_BYTES: Final = 64

_METADATA, _METRIC_DATA = 2, 3
_METADATA_TAGS, _METADATA_RESOURCES = 1, 2
# Fields of MetricData.
_NAMES, _TAGS, _TAG_SETS, _RESOURCES, _RESOURCE_LENGTHS, _RESOURCE_TYPES, _RESOURCE_NAMES = 1, 2, 3, 4, 5, 6, 7
_SOURCE_TYPES, _ORIGINS, _TYPES, _NAME_REFS, _TAG_SET_REFS, _RESOURCES_REFS = 8, 9, 10, 11, 12, 13
_INTERVALS, _POINTS, _TIMES, _INTEGERS, _SINGLES, _DOUBLES = 14, 15, 16, 17, 18, 19
_BIN_NUMBERS, _BIN_KEYS, _BIN_COUNTS, _SOURCE_TYPE_REFS, _ORIGIN_REFS = 20, 21, 22, 23, 24
_UNITS, _UNIT_REFS = 25, 26

# The lowest bits of a type, and where its values are by the next four.
_KINDS: Final = ("gauge", "count", "rate", "gauge", "distribution")
_SKETCH: Final = 4
_ZERO, _IN_INTEGERS, _IN_SINGLES, _IN_DOUBLES = range(4)
_HAS_UNIT: Final = 0x200
# A tag of a sketch that names a resource, `resources_named` in staging.sql; Agents make resources of those of series.
_NAMES_RESOURCE: Final = r"^dd\.internal\.resource:([^:]+:)"


@dataclass(frozen=True, slots=True)
class Ragged:
    """N lists of numbers, one after the other: list i is `offsets[i]:offsets[i + 1]` of the entries."""

    entries: "Ints"
    offsets: "Ints"

    @classmethod
    def of(cls, lists: "Sequence[Sequence[object]]", first: int) -> "Ragged":
        """Return lists of the same lengths, whose entries are numbered from `first` on."""
        offsets = places(np.array([len(one) for one in lists], dtype=np.int64))
        return cls(np.arange(first, first + offsets[-1]), offsets)

    @property
    def lengths(self) -> "Ints":
        """N."""
        return np.diff(self.offsets)

    def taken(self, which: "Ints") -> "Ragged":
        """Return some of the lists, in this order."""
        lengths = self.lengths[which]
        return Ragged(self.entries[runs(self.offsets[which], lengths)], places(lengths))

    def followed_by(self, others: "Ragged") -> "Ragged":
        """Put to the end of each list what another one holds."""
        if not len(others.entries):
            return self
        lengths = self.lengths + others.lengths
        offsets = places(lengths)
        entries = np.empty(offsets[-1], dtype=np.int64)
        entries[runs(offsets[:-1], self.lengths)] = self.entries
        entries[runs(offsets[:-1] + self.lengths, others.lengths)] = others.entries
        return Ragged(entries, offsets)


class _MetricData:
    """The columns of a payload, each decoded when it is asked for."""

    def __init__(self, content: bytes) -> None:
        parts: defaultdict[int, list[memoryview]] = defaultdict(list)
        self.tags: list[str] = []
        self.resources: list[str] = []
        for number, part in fields(memoryview(content)):
            if number == _METADATA:
                self._read_metadata(part)
            elif number == _METRIC_DATA:
                for column, values in fields(part):
                    parts[column].append(values)
        self._columns = {column: b"".join(values) for column, values in parts.items()}

    def _read_metadata(self, metadata: memoryview) -> None:
        into = {_METADATA_TAGS: self.tags, _METADATA_RESOURCES: self.resources}
        for number, part in fields(metadata):
            if number in into:
                into[number].append(text_of(bytes(part)))

    def has(self, column: int) -> bool:
        return column in self._columns

    def bytes_of(self, column: int) -> "NDArray[np.uint8]":
        return np.frombuffer(self._columns.get(column, b""), dtype=np.uint8)

    def unsigned(self, column: int, length: int | None = None) -> "Ints":
        """Return a column of numbers below 2**63, of this length."""
        return _of_length(column, varints(self.bytes_of(column)).astype(np.int64), length)

    def signed(self, column: int, length: int | None = None) -> "Ints":
        return _of_length(column, signed(varints(self.bytes_of(column))).astype(np.int64, copy=False), length)

    def strings(self, column: int) -> pa.StringArray:
        """Return a dictionary; the first entry is the empty string that reference 0 means."""
        return legible(strings(self._columns.get(column, b"")))

    def references(self, column: int, series: int, entries: int, *, optional: bool = False) -> "Ints":
        """Return, one a series, which entry of a dictionary it refers to."""
        if optional and not self.has(column):
            return np.zeros(series, dtype=np.int64)
        return _within(column, running(self.signed(column, series)), entries)


def _of_length(column: int, values: "NDArray[Any]", length: int | None) -> "NDArray[Any]":
    if length is not None and len(values) != length:
        raise Undecodable(f"column {column} has {len(values)} values, {length} are expected")
    return values


def _within(column: int, references: "Ints", entries: int) -> "Ints":
    if len(references) and (references.min() < 0 or references.max() >= entries):
        raise Undecodable(f"column {column} refers to an entry that its dictionary does not have")
    return references


@dataclass(frozen=True, slots=True)
class Texts:
    """N texts, one a series: which entries of a dictionary they are."""

    entries: pa.StringArray
    which: "Ints"  # N

    def taken(self, series: "Ints") -> pa.StringArray:
        """Return those of some series."""
        return self.entries.take(pa.array(self.which[series]))


@dataclass(frozen=True, slots=True)
class ColumnarPayload:
    """N series of a payload, in references to its dictionaries, and their points.

    Series are asked for by their numbers, in ascending order.
    """

    names: Texts
    hosts: Texts
    types: Texts  # that of all sketches is `distribution`
    units: Texts
    source_types: Texts
    words: pa.StringArray  # tags; the first one is empty
    tags: Ragged  # N lists of words: resources included
    intervals: "Floats"  # N: s; of sketches 0
    are_sketches: "NDArray[np.bool_]"  # N
    points: "_Points"

    @classmethod
    def of(cls, content: bytes) -> "ColumnarPayload":
        """Decode a payload; raise Undecodable, saying which column is wrong."""
        data = _MetricData(content)
        types = data.unsigned(_TYPES)
        kinds, count = types & 0x0F, len(types)
        names, tags = data.strings(_NAMES), data.strings(_TAGS)
        units, source_types = data.strings(_UNITS), data.strings(_SOURCE_TYPES)
        tag_sets, resource_sets = _tag_sets(data, len(tags)), _ResourceSets.of(data)
        data.references(_ORIGIN_REFS, count, 1 + len(data.unsigned(_ORIGINS)) // 3, optional=True)
        of_units = np.zeros(count, dtype=np.int64)
        flagged = (types & _HAS_UNIT) != 0
        of_units[flagged] = data.references(_UNIT_REFS, int(np.count_nonzero(flagged)), len(units), optional=True)
        of_tags = data.references(_TAG_SET_REFS, count, len(tag_sets.lengths))
        of_resources = data.references(_RESOURCES_REFS, count, len(resource_sets.hosts))
        texts = {
            "names": Texts(names, data.references(_NAME_REFS, count, len(names))),
            "hosts": Texts(pa.array(resource_sets.hosts), of_resources),
            "types": Texts(pa.array(_KINDS), np.where(kinds < len(_KINDS), kinds, 0)),
            "units": Texts(units, of_units),
            "source_types": Texts(
                source_types, data.references(_SOURCE_TYPE_REFS, count, len(source_types), optional=True)
            ),
        }
        more = Ragged.of(resource_sets.tags, len(tags))
        words = pa.concat_arrays([tags, pa.array(list(chain(*resource_sets.tags)), pa.string())])
        _check_size(texts.values(), words, [(tag_sets, of_tags), (more, of_resources)])
        of_series = tag_sets.taken(of_tags).followed_by(more.taken(of_resources))
        words, of_series = _with_resources(words, of_series, kinds == _SKETCH)
        intervals = data.unsigned(_INTERVALS, count).astype(np.float64)
        return cls(
            **texts,
            words=words,
            tags=of_series,
            intervals=np.where(kinds == _SKETCH, 0.0, intervals),
            are_sketches=kinds == _SKETCH,
            points=_Points.of(data, types),
        )

    @property
    def count(self) -> int:
        """N."""
        return len(self.intervals)

    def rows(self, series: "Ints") -> dict[str, pa.Array]:
        """Return what some series are, written out."""
        tags = self.tags if len(series) == self.count else self.tags.taken(series)
        lists = pa.ListArray.from_arrays(pa.array(tags.offsets, pa.int32()), self.words.take(pa.array(tags.entries)))
        return {
            "sent_name": self.names.taken(series),
            "host": self.hosts.taken(series),
            "type": self.types.taken(series),
            "interval": pa.array(self.intervals[series]),
            "unit": self.units.taken(series),
            "source_type": self.source_types.taken(series),
            "sent_tags": lists,
        }

    def numbers(self) -> dict[str, pa.Array]:
        """Return times and values of the points that are no sketches, a list for each of their series."""
        return self.points.number_columns(~self.are_sketches)

    def sums(self) -> dict[str, pa.Array]:
        """Return times and sums of the sketches, a list for each of their series."""
        return self.points.sum_columns(self.are_sketches)

    def sketches(self) -> dict[str, pa.Array]:
        """Return the columns of sent_sketches.py, times and values: a list for each series of sketches."""
        sums = self.sums()
        return {
            "times": sums["times"],
            "values": sums["sums"],
            "sums": sums["sums"],
            "places": numbered(np.flatnonzero(self.are_sketches), self.points.numbers[self.are_sketches]),
            **self.points.bin_columns(self.are_sketches),
        }


def _with_resources(
    words: pa.StringArray, tags: Ragged, are_sketches: "NDArray[np.bool_]"
) -> tuple[pa.StringArray, Ragged]:
    """Return words and lists of them in which tags of sketches that name resources are those resources."""
    if not are_sketches.any():
        return words, tags
    named = pc.replace_substring_regex(words, _NAMES_RESOURCE, r"\1")
    marked = np.flatnonzero(pc.not_equal(named, words).to_numpy(zero_copy_only=False))
    if not len(marked):
        return words, tags
    places_of = np.arange(len(words))
    places_of[marked] = len(words) + np.arange(len(marked))
    entries = np.where(np.repeat(are_sketches, tags.lengths), places_of[tags.entries], tags.entries)
    return pa.concat_arrays([words, named.take(pa.array(marked))]), Ragged(entries, tags.offsets)


def _check_size(texts: "Collection[Texts]", words: pa.Array, lists: "Collection[tuple[Ragged, Ints]]") -> None:
    """Refuse what would take too much memory once each series has its strings."""
    of_words = _sizes(words)
    most = sum(int(_sizes(one.entries).max(initial=0)) * len(one.which) for one in texts)
    most += sum(int(of_words.max(initial=0)) * (int(ragged.lengths.max()) + 1) * len(refs) for ragged, refs in lists)
    if most <= MAX_EXPANDED_BYTES:
        return
    total = sum(int(_sizes(one.entries)[one.which].sum()) for one in texts)
    for ragged, refs in lists:
        total += int(np.diff(places(of_words[ragged.entries])[ragged.offsets])[refs].sum()) + _ENTRY_BYTES * len(refs)
    if total > MAX_EXPANDED_BYTES:
        raise _too_large()


def _too_large() -> Undecodable:
    return Undecodable(f"the body stands for more than {MAX_EXPANDED_BYTES} bytes of names and tags")


def _sizes(entries: pa.Array) -> "Ints":
    """Return the bytes that each entry of a dictionary takes."""
    lengths: Ints = pc.binary_length(entries).to_numpy().astype(np.int64)
    return lengths + _ENTRY_BYTES


def _tag_sets(data: _MetricData, tags: int) -> Ragged:
    """Return the tags of each set; the first one is the empty set that reference 0 means."""
    sets = _split(data.signed(_TAG_SETS))
    entries = running(sets.entries, sets.lengths)
    if int(entries.max(initial=-1)) >= tags:
        raise Undecodable(f"column {_TAG_SETS} refers to a tag that is not there")
    sets = Ragged(entries, sets.offsets)
    if int(entries.min(initial=0)) < 0:
        # -j stands for all tags of set j, an earlier one.
        numbers = np.repeat(np.arange(1, len(sets.lengths) + 1), sets.lengths)
        if np.any(entries <= -numbers):
            raise Undecodable(f"column {_TAG_SETS} refers to a set that is not there")
        sets = _expanded(sets)
    return Ragged(sets.entries, np.append(0, sets.offsets))


def _split(values: "Ints") -> Ragged:
    """Take lists apart that follow each other, each behind its length; a loop over what a dictionary holds."""
    total = len(values)
    first = int(values[0]) if total else 0
    if 0 <= first < total and total % (first + 1) == 0 and (values[:: first + 1] == first).all():
        # All are of one length, as those of series with the same keys are.
        rows = values.reshape(-1, first + 1)
        return Ragged(rows[:, 1:].ravel(), np.arange(len(rows) + 1) * first)
    # Lengths that cannot be are held within the column here, so that the loop ends, and found below.
    steps, starts, place = (np.clip(values, 0, total) + 1).tolist(), [], 0
    while place < total:
        starts.append(place)
        place += steps[place]
    heads = np.array(starts, dtype=np.int64)
    lengths = values[heads]
    if place != total or np.any(lengths < 0):
        raise Undecodable(f"column {_TAG_SETS} has a set that is longer than the column")
    return Ragged(np.delete(values, heads), places(lengths))


def _expanded(sets: Ragged) -> Ragged:
    """Put in the place of each reference to a set what that set holds by now, until there are only tags.

    Sets refer to earlier ones, so that a chain of n references is gone after about log2(n) rounds.
    """
    while np.any(sets.entries < 0):
        others = sets.entries < 0
        named = np.where(others, -sets.entries - 1, 0)
        lengths = np.where(others, sets.lengths[named], 1)
        if lengths.sum() > MAX_COLUMN_VALUES:
            raise Undecodable(f"column {_TAG_SETS} stands for more than {MAX_COLUMN_VALUES} tags")
        starts = np.where(others, sets.offsets[named], np.arange(len(lengths)))
        sets = Ragged(sets.entries[runs(starts, lengths)], places(lengths)[sets.offsets])
    return sets


@dataclass(frozen=True, slots=True)
class _ResourceSets:
    """The host of each set of resources, and what else is in it as tags; the first one is the set of reference 0."""

    hosts: list[str]
    tags: list[list[str]]  # those of the payload's metadata too, which are everybody's

    @classmethod
    def of(cls, data: _MetricData) -> "_ResourceSets":
        lengths = data.unsigned(_RESOURCE_LENGTHS)
        dictionary = data.strings(_RESOURCES)
        kinds = data.signed(_RESOURCE_TYPES)
        _check_lengths(_RESOURCE_LENGTHS, lengths, len(kinds))
        names = running(data.signed(_RESOURCE_NAMES, len(kinds)), lengths)
        names = _within(_RESOURCE_NAMES, names, len(dictionary))
        kinds = _within(_RESOURCE_TYPES, running(kinds, lengths), len(dictionary))
        everywhere = [*data.resources, *data.tags]
        size = int(_sizes(dictionary)[kinds].sum() + _sizes(dictionary)[names].sum()) + _TEXT_BYTES * len(kinds)
        size += len(lengths) * sum(len(text) + _TEXT_BYTES for text in everywhere)
        if size > MAX_EXPANDED_BYTES:
            raise _too_large()
        texts = dictionary.to_pylist()
        pairs = [(texts[kind], texts[name]) for kind, name in zip(kinds.tolist(), names.tolist(), strict=True)]
        everybodys = list(zip(data.resources[::2], data.resources[1::2], strict=False))
        ends = places(lengths).tolist()
        # What has no resources has none of the payload's (DataDog/datadog-agent: test/fakeintake, apiv3/reader.go).
        sets = [[], *(pairs[start:end] + everybodys for start, end in pairwise(ends))]
        return cls(
            [next((name for kind, name in one if kind == "host" and name), "") for one in sets],
            [
                [f"{kind}:{name}" for kind, name in one if kind not in ("", "host") and name] + data.tags
                for one in sets
            ],
        )


def _check_lengths(column: int, lengths: "Ints", total: int) -> None:
    """Refuse lengths that do not add up to what there is."""
    possible = not len(lengths) or (lengths.min() >= 0 and lengths.max() <= total)
    if not possible or lengths.sum() != total:
        raise Undecodable(f"the lengths in column {column} do not add up to the {total} values there are")


# ---------------------------------------------------------------------------------------------------------------
# What its points are


@dataclass(frozen=True, slots=True)
class _Points:
    """The points of a payload, one after the other."""

    numbers: "Ints"  # how many each series has
    are_sketches: "NDArray[np.bool_]"  # one a point
    times: "Floats"  # s
    values: "Floats"  # of sketches their sums
    minima: "Floats"  # of sketches
    maxima: "Floats"  # of sketches
    cnts: "Ints"  # one a sketch
    bin_numbers: "Ints"  # one a sketch
    keys: "Ints"
    counts: "NDArray[np.unsignedinteger[Any]]"

    @classmethod
    def of(cls, data: _MetricData, types: "Ints") -> "_Points":
        numbers, times = data.unsigned(_POINTS, len(types)), running(data.signed(_TIMES)).astype(np.float64)
        _check_lengths(_POINTS, numbers, len(times))
        are_sketches = np.repeat((types & 0x0F) == _SKETCH, numbers)
        (values, minima, maxima), cnts = _values(data, np.repeat(types >> 4 & 0x0F, numbers), are_sketches)
        bin_numbers = data.unsigned(_BIN_NUMBERS, len(cnts))
        keys, counts = data.signed(_BIN_KEYS), varints(data.bytes_of(_BIN_COUNTS))
        _check_lengths(_BIN_NUMBERS, bin_numbers, len(keys))
        _of_length(_BIN_COUNTS, counts, len(keys))
        return cls(
            numbers,
            are_sketches,
            times,
            values,
            minima,
            maxima,
            cnts,
            bin_numbers,
            running(keys, bin_numbers),
            counts,
        )

    def number_columns(self, series: "NDArray[np.bool_]") -> dict[str, pa.Array]:
        """Return times and values of these series' points, a list a series."""
        offsets = _offsets(self.numbers[series])
        wanted = ~self.are_sketches
        columns = {"times": self.times[wanted], "values": self.values[wanted]}
        return {name: pa.ListArray.from_arrays(offsets, pa.array(column)) for name, column in columns.items()}

    def sum_columns(self, series: "NDArray[np.bool_]") -> dict[str, pa.Array]:
        """Return times and sums of these series' sketches, a list a series."""
        offsets = _offsets(self.numbers[series])
        columns = {"times": self.times[self.are_sketches], "sums": self.values[self.are_sketches]}
        return {name: pa.ListArray.from_arrays(offsets, pa.array(column)) for name, column in columns.items()}

    def bin_columns(self, series: "NDArray[np.bool_]") -> dict[str, pa.Array]:
        """Return the other numbers of these series' sketches, and their bins, a list a series."""
        offsets, bins = _offsets(self.numbers[series]), _offsets(self.bin_numbers)
        # The engine's numbers would wrap around; a key out of bounds stays out of bounds.
        keys = np.clip(self.keys, -(1 << 15), 1 << 15).astype(np.int32)
        columns = {
            "cnts": pa.array(self.cnts),
            "minima": pa.array(self.minima[self.are_sketches]),
            "maxima": pa.array(self.maxima[self.are_sketches]),
            "keys": pa.ListArray.from_arrays(bins, pa.array(keys)),
            "counts": pa.ListArray.from_arrays(bins, pa.array(self.counts)),
        }
        return {name: pa.ListArray.from_arrays(offsets, column) for name, column in columns.items()}

    def firsts(self) -> "Floats":
        """Return the time of each series' first point, 0 where it has none."""
        firsts = np.zeros(len(self.numbers))
        filled = self.numbers > 0
        firsts[filled] = self.times[(np.cumsum(self.numbers) - self.numbers)[filled]]
        return firsts


def _offsets(lengths: "Ints") -> pa.Array:
    return pa.array(places(lengths), pa.int32())


def _values(
    data: _MetricData, sources: "Ints", are_sketches: "NDArray[np.bool_]"
) -> "tuple[tuple[Floats, Floats, Floats], Ints]":
    """Return value, minimum and maximum of each point, and the number of values of each sketch.

    A point takes one value from the column its type names; a sketch takes sum, minimum and maximum from it, and then
    its number of values from the column of integers.
    """
    if np.any(sources > _IN_DOUBLES):
        raise Undecodable(f"column {_TYPES} has a type whose values are in no column that is known")
    integers = data.signed(_INTEGERS)
    columns = {
        _IN_INTEGERS: (_INTEGERS, integers.astype(np.float64)),
        _IN_SINGLES: (_SINGLES, fixed(data.bytes_of(_SINGLES), "<f4")),
        _IN_DOUBLES: (_DOUBLES, fixed(data.bytes_of(_DOUBLES), "<f8")),
    }
    found = (np.zeros(len(sources)), np.zeros(len(sources)), np.zeros(len(sources)))
    cnts = np.zeros(0, dtype=np.int64)
    for source, (number, column) in columns.items():
        own = sources == source
        taken = np.where(own, np.where(are_sketches, 3, 1), 0)
        if source == _IN_INTEGERS:
            taken += are_sketches
        _of_length(number, column, int(taken.sum()))
        starts = np.cumsum(taken) - taken
        for index, values in enumerate(found):
            chosen = own & are_sketches if index else own
            values[chosen] = column[starts[chosen] + index]
        if source == _IN_INTEGERS:
            cnts = integers[starts[are_sketches] + np.where(own[are_sketches], 3, 0)]
    return found, cnts
