"""A metrics v3 payload: parallel columns and dictionaries become rows of series.

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
from opstrace.intake.columns import (
    MAX_COLUMN_VALUES,
    fields,
    fixed,
    legible,
    places,
    running,
    runs,
    signed,
    strings,
    varints,
)

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
_KINDS: Final = ("gauge", "count", "rate", "gauge")
_SKETCH: Final = 4
_ZERO, _IN_INTEGERS, _IN_SINGLES, _IN_DOUBLES = range(4)
_HAS_UNIT: Final = 0x200


@dataclass(frozen=True, slots=True)
class ColumnarRows:
    """The series of one payload: a table of those with numbers, a table of those with sketches."""

    series: pa.Table
    sketches: pa.Table


@dataclass(frozen=True, slots=True)
class _Ragged:
    """Lists one after the other: list i is `offsets[i]:offsets[i + 1]` of the entries."""

    entries: "Ints"
    offsets: "Ints"

    @classmethod
    def of(cls, lists: "Sequence[Sequence[object]]", first: int) -> "_Ragged":
        """Number what is in lists, from the first number on."""
        offsets = places(np.array([len(one) for one in lists], dtype=np.int64))
        return cls(np.arange(first, first + offsets[-1]), offsets)

    @property
    def lengths(self) -> "Ints":
        return np.diff(self.offsets)

    def taken(self, which: "Ints") -> "_Ragged":
        """Return some of the lists, in this order."""
        lengths = self.lengths[which]
        return _Ragged(self.entries[runs(self.offsets[which], lengths)], places(lengths))

    def followed_by(self, others: "_Ragged") -> "_Ragged":
        """Put to the end of each list what another one holds."""
        if not len(others.entries):
            return self
        lengths = self.lengths + others.lengths
        offsets = places(lengths)
        entries = np.empty(offsets[-1], dtype=np.int64)
        entries[runs(offsets[:-1], self.lengths)] = self.entries
        entries[runs(offsets[:-1] + self.lengths, others.lengths)] = others.entries
        return _Ragged(entries, offsets)


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
                into[number].append(bytes(part).decode("utf-8", "replace"))

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


def rows_of_payload(content: bytes, body: int, tenant: str) -> ColumnarRows:
    """Decode one payload; raise Undecodable, saying which column is wrong."""
    data = _MetricData(content)
    types = data.unsigned(_TYPES)
    series = _Series.of(data, types, body, tenant)
    points = _Points.of(data, types)
    sketches = (types & 0x0F) == _SKETCH
    return ColumnarRows(
        series.rows(~sketches, points.number_columns(~sketches)),
        series.rows(sketches, points.sketch_columns(sketches)),
    )


# ---------------------------------------------------------------------------------------------------------------
# What a series is


@dataclass(frozen=True, slots=True)
class _Series:
    """The columns that have one value a series, dictionaries and references to them."""

    columns: dict[str, pa.Array]

    @classmethod
    def of(cls, data: _MetricData, types: "Ints", body: int, tenant: str) -> "_Series":
        count, names = len(types), data.strings(_NAMES)
        tags = data.strings(_TAGS)
        tag_sets = _tag_sets(data, len(tags))
        resource_sets = _ResourceSets.of(data)
        units = np.zeros(count, dtype=np.int64)
        flagged = (types & _HAS_UNIT) != 0
        dictionaries = {name: data.strings(column) for name, column in _DICTIONARIES.items()}
        units[flagged] = data.references(
            _UNIT_REFS, int(np.count_nonzero(flagged)), len(dictionaries["unit"]), optional=True
        )
        data.references(_ORIGIN_REFS, count, 1 + len(data.unsigned(_ORIGINS)) // 3, optional=True)
        tag_refs = data.references(_TAG_SET_REFS, count, len(tag_sets.lengths))
        resources = data.references(_RESOURCES_REFS, count, len(resource_sets.hosts))
        columns = {
            "sent_name": (names, data.references(_NAME_REFS, count, len(names))),
            "host": (pa.array(resource_sets.hosts), resources),
            "type": (pa.array(_KINDS), np.where((types & 0x0F) < len(_KINDS), types & 0x0F, 0)),
            "unit": (dictionaries["unit"], units),
            "source_type": (
                dictionaries["source_type"],
                data.references(_SOURCE_TYPE_REFS, count, len(dictionaries["source_type"]), optional=True),
            ),
        }
        more = _Ragged.of(resource_sets.tags, len(tags))
        words = pa.concat_arrays([tags, pa.array(list(chain(*resource_sets.tags)), pa.string())])
        _check_size(columns.values(), words, [(tag_sets, tag_refs), (more, resources)])
        return cls(
            {
                "body": pa.array(np.full(count, body, dtype=np.uint32)),
                "tenant": pa.array([tenant]).take(pa.array(np.zeros(count, dtype=np.int64))),
                "place": pa.array(np.arange(count, dtype=np.uint32)),
                "interval": pa.array(data.unsigned(_INTERVALS, count).astype(np.float64)),
                "sent_tags": _lists(words, tag_sets.taken(tag_refs).followed_by(more.taken(resources))),
                **{name: entries.take(pa.array(refs)) for name, (entries, refs) in columns.items()},
            }
        )

    def rows(self, wanted: "NDArray[np.bool_]", points: dict[str, pa.Array]) -> pa.Table:
        """Return some of the series with what is known of their points."""
        columns = self.columns
        if not wanted.any():
            columns = {name: column[:0] for name, column in columns.items()}
        elif not wanted.all():
            mask = pa.array(wanted)
            columns = {name: column.filter(mask) for name, column in columns.items()}
        return pa.table({**columns, **points})


_DICTIONARIES: Final = {"unit": _UNITS, "source_type": _SOURCE_TYPES}


def _check_size(
    columns: "Collection[tuple[pa.Array, Ints]]", words: pa.Array, lists: "Collection[tuple[_Ragged, Ints]]"
) -> None:
    """Refuse what would take too much memory once each series has its strings."""
    of_words = _sizes(words)
    most = sum(int(_sizes(entries).max(initial=0)) * len(refs) for entries, refs in columns)
    most += sum(int(of_words.max(initial=0)) * (int(ragged.lengths.max()) + 1) * len(refs) for ragged, refs in lists)
    if most <= MAX_EXPANDED_BYTES:
        return
    total = sum(int(_sizes(entries)[refs].sum()) for entries, refs in columns)
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


def _lists(words: pa.Array, ragged: _Ragged) -> pa.ListArray:
    return pa.ListArray.from_arrays(pa.array(ragged.offsets, pa.int32()), words.take(pa.array(ragged.entries)))


def _tag_sets(data: _MetricData, tags: int) -> _Ragged:
    """Return the tags of each set; the first one is the empty set that reference 0 means."""
    sets = _split(data.signed(_TAG_SETS))
    entries = running(sets.entries, sets.lengths)
    if int(entries.max(initial=-1)) >= tags:
        raise Undecodable(f"column {_TAG_SETS} refers to a tag that is not there")
    sets = _Ragged(entries, sets.offsets)
    if int(entries.min(initial=0)) < 0:
        # -j stands for all tags of set j, an earlier one.
        numbers = np.repeat(np.arange(1, len(sets.lengths) + 1), sets.lengths)
        if np.any(entries <= -numbers):
            raise Undecodable(f"column {_TAG_SETS} refers to a set that is not there")
        sets = _expanded(sets)
    return _Ragged(sets.entries, np.append(0, sets.offsets))


def _split(values: "Ints") -> _Ragged:
    """Take lists apart that follow each other, each behind its length; a loop over what a dictionary holds."""
    total = len(values)
    first = int(values[0]) if total else 0
    if 0 <= first < total and total % (first + 1) == 0 and (values[:: first + 1] == first).all():
        # All are of one length, as those of series with the same keys are.
        rows = values.reshape(-1, first + 1)
        return _Ragged(rows[:, 1:].ravel(), np.arange(len(rows) + 1) * first)
    # Lengths that cannot be are held within the column here, so that the loop ends, and found below.
    steps, starts, place = (np.clip(values, 0, total) + 1).tolist(), [], 0
    while place < total:
        starts.append(place)
        place += steps[place]
    heads = np.array(starts, dtype=np.int64)
    lengths = values[heads]
    if place != total or np.any(lengths < 0):
        raise Undecodable(f"column {_TAG_SETS} has a set that is longer than the column")
    return _Ragged(np.delete(values, heads), places(lengths))


def _expanded(sets: _Ragged) -> _Ragged:
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
        sets = _Ragged(sets.entries[runs(starts, lengths)], places(lengths)[sets.offsets])
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

    def sketch_columns(self, series: "NDArray[np.bool_]") -> dict[str, pa.Array]:
        """Return times, numbers and bins of these series' sketches, a list a series."""
        offsets, bins = _offsets(self.numbers[series]), _offsets(self.bin_numbers)
        wanted = self.are_sketches
        # The engine's numbers would wrap around; a key out of bounds stays out of bounds.
        keys = np.clip(self.keys, -(1 << 15), 1 << 15).astype(np.int32)
        columns = {
            "times": pa.array(self.times[wanted]),
            "cnts": pa.array(self.cnts),
            "sums": pa.array(self.values[wanted]),
            "minima": pa.array(self.minima[wanted]),
            "maxima": pa.array(self.maxima[wanted]),
            "keys": pa.ListArray.from_arrays(bins, pa.array(keys)),
            "counts": pa.ListArray.from_arrays(bins, pa.array(self.counts)),
        }
        return {name: pa.ListArray.from_arrays(offsets, column) for name, column in columns.items()}


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
