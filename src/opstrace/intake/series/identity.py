"""What makes a series one, where its texts are references to dictionaries: `series_of` of staging.sql, in columns.

The engine hashes each entry of a dictionary once (words.sql). Its hash of several values is made of theirs, by
arithmetic that is done here (ClickHouse/ClickHouse: src/Functions/FunctionsHashing.h, IntHash64Impl and
combineHashes; google/cityhash: city.h, Hash128to64).
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow.compute as pc

from opstrace.config import Limits
from opstrace.intake.series.columnar_payload import ColumnarPayload, Ragged
from opstrace.intake.series.judgement import CODES
from opstrace.ragged import places, run_bounds

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

    Hashes = NDArray[np.uint64]
    Ints = NDArray[np.int64]

_EMPTY: Final = 1  # the rank of the text that is there first
_TAG_BYTES: Final = 8  # that each tag takes beside its text: as in sent_series.sql
_FACTOR: Final = np.uint64(0x9DDFEA08EB382D69)
_SEED: Final = np.uint64(0x4CF2D2BAAE6DA887)
_FACTORS: Final = (np.uint64(0xFF51AFD7ED558CCD), np.uint64(0xC4CEB9FE1A85EC53))


@dataclass(frozen=True, slots=True)
class Words:
    """What words.sql computes for each dictionary entry, in the order of `dictionaries`."""

    hashes: "Hashes"
    metrics: "Hashes"  # what a metric of this name is known by
    sizes: "Ints"  # bytes

    def slice(self, start: int, stop: int) -> "Words":
        """Return what is said of some entries."""
        return Words(self.hashes[start:stop], self.metrics[start:stop], self.sizes[start:stop])


@dataclass(frozen=True, slots=True)
class Identities:
    """What judgement needs to know of N series; for other formats sent_series.sql yields the same columns."""

    series: "Hashes"  # N: 0 of one with too many tags, of which nothing is stored
    metrics: "Hashes"  # N
    refusals: "NDArray[np.uint8]"  # N: `refusal_of` of staging.sql
    tag_bytes: "Ints"  # N: a little more than the text of its tags takes

    @classmethod
    def of(cls, payload: ColumnarPayload, words: Words, limits: Limits) -> "Identities":
        """Put together what is said of the dictionaries of a payload."""
        ends = places(np.array([len(entries) for entries in _entries(payload)])).tolist()
        names, hosts, types, tags = (words.slice(start, stop) for start, stop in pairwise(ends))
        lists = _normal(payload.tags, payload.words)
        found = names.hashes[payload.names.which]
        for texts, of_texts in ((payload.hosts, hosts), (payload.types, types)):
            found = combined(found, of_texts.hashes[texts.which])
        found = combined(found, of_numbers(payload.intervals.view(np.uint64)))
        sizes = tags.sizes[lists.entries]
        return cls(
            _followed_by_lists(found, tags.hashes[lists.entries], lists, limits.max_tags),
            names.metrics[payload.names.which],
            _refusals(names.sizes[payload.names.which], hosts.sizes[payload.hosts.which], sizes, lists, limits),
            np.diff(places(sizes + _TAG_BYTES)[lists.offsets]),
        )


def dictionaries(payload: ColumnarPayload) -> "list[pa.StringArray]":
    """Return the entries that make its series what they are; names are without what marks them (`true_name_of`)."""
    names, *others = _entries(payload)
    return [pc.replace_substring_regex(names, r"^n_o_i_n_d_e_x\.", ""), *others]


def _entries(payload: ColumnarPayload) -> "list[pa.StringArray]":
    return [payload.names.entries, payload.hosts.entries, payload.types.entries, payload.words]


def combined(first: "Hashes", second: "Hashes") -> "Hashes":
    """Return the hash of each pair of values, made of the hashes of the two."""
    mixed = (first ^ second) * _FACTOR
    mixed ^= mixed >> np.uint64(47)
    mixed ^= second
    mixed *= _FACTOR
    mixed ^= mixed >> np.uint64(47)
    mixed *= _FACTOR
    return mixed


def of_numbers(bits: "Hashes") -> "Hashes":
    """Return the hashes of numbers of eight bytes."""
    mixed = bits ^ _SEED
    for factor in _FACTORS:
        mixed ^= mixed >> np.uint64(33)
        mixed *= factor
    mixed ^= mixed >> np.uint64(33)
    return mixed


def _followed_by_lists(found: "Hashes", hashes: "Hashes", lists: Ragged, longest: int) -> "Hashes":
    """Extend each hash by a list, given the hashes of its elements; 0 where a list has more than `longest`."""
    lengths, starts = lists.lengths, lists.offsets[:-1]
    found = combined(found, of_numbers(lengths.astype(np.uint64)))
    found[lengths > longest] = 0
    hashed = np.flatnonzero(lengths <= longest)
    for place in range(int(lengths[hashed].max(initial=0))):
        hashed = hashed[lengths[hashed] > place]
        found[hashed] = combined(found[hashed], hashes[starts[hashed] + place])
    return found


def _refusals(names: "Ints", hosts: "Ints", tags: "Ints", lists: Ragged, limits: Limits) -> "NDArray[np.uint8]":
    """Return why nothing of a series is stored, of the bytes of its name, its host and its tags."""
    longest, filled = hosts.copy(), np.flatnonzero(lists.lengths)
    if len(filled):
        longest[filled] = np.maximum(longest[filled], np.maximum.reduceat(tags, lists.offsets[filled]))
    reasons = {
        "no_name": names == 0,
        "name_too_long": names > limits.max_name_bytes,
        "too_many_tags": lists.lengths > limits.max_tags,
        "tag_too_long": longest > limits.max_tag_bytes,
    }
    return np.select(list(reasons.values()), [np.uint8(CODES[reason]) for reason in reasons], np.uint8(0))


def _normal(lists: Ragged, words: "pa.StringArray") -> Ragged:
    """Bring the words of each list in order, each once, without the empty one: `tags_of` of staging.sql."""
    ranks = pc.rank(words, tiebreaker="dense").to_numpy().astype(np.int64)
    # Of entries with the same text any one will do. The first entry is the empty text, which has the lowest rank.
    entry_of = np.zeros(len(words) + 1, dtype=np.int64)
    entry_of[ranks] = np.arange(len(words))
    # A number of which the upper bits are those of the list, the lower ones those of the word.
    bits = len(words).bit_length()
    keys = np.repeat(np.arange(len(lists.lengths)) << bits, lists.lengths) + ranks[lists.entries]
    # The lists follow each other in order, of which this sort makes use.
    keys.sort(kind="stable")
    keys = keys[run_bounds(keys)[:-1]]
    of_keys = keys & ((1 << bits) - 1)
    if len(of_keys) and int(of_keys.min()) == _EMPTY:
        keys, of_keys = keys[of_keys > _EMPTY], of_keys[of_keys > _EMPTY]
    lengths = np.bincount(keys >> bits, minlength=len(lists.lengths))
    return Ragged(entry_of[of_keys], places(lengths))
