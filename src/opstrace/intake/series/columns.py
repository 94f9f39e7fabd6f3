"""Packed protobuf columns as arrays: varints, zig-zag, differences, string tables.

Nothing here loops over values: a column is a few array operations, whatever its length.
"""

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import numpy as np
import pyarrow as pa

from opstrace import protobuf_wire
from opstrace.errors import Undecodable
from opstrace.protobuf_wire import LONGEST_VARINT, number_at

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Bytes: TypeAlias = NDArray[np.uint8]
    Ints: TypeAlias = NDArray[np.int64]
    Unsigned: TypeAlias = NDArray[np.uint64]
    # Of the narrowest type that holds them: most columns are of small numbers, and there are many of them.
    Narrow: TypeAlias = NDArray[np.unsignedinteger[Any]]

# An Agent's payload has 10,000 points. A column takes eight bytes a value, ten times that while it is decoded.
MAX_COLUMN_VALUES: Final = 4_000_000
MAX_TABLE_STRINGS: Final = 1_000_000
# A message of ours has 27 fields; fields that are not known are skipped one by one.
MAX_MESSAGE_FIELDS: Final = 100_000
_NO_TEXT: Final = re.compile("[\udc80-\udcff]+")  # bytes that Python could not decode


def fields(message: memoryview) -> Iterator[tuple[int, memoryview]]:
    """Yield number and raw content of each field of a message: of one with a length what is behind the length.

    A column may come in several fields and its values one by one: their contents joined are the column. Raises
    Undecodable for what is no message.
    """
    try:
        for count, (number, _, start, end) in enumerate(protobuf_wire.fields(message)):
            if count == MAX_MESSAGE_FIELDS:
                raise Undecodable(f"a message has more than {MAX_MESSAGE_FIELDS} fields")
            yield number, message[start:end]
    except ValueError as error:
        raise Undecodable(str(error)) from None


def varint(message: bytes | memoryview, place: int) -> tuple[int, int]:
    """Return the number at a place and where it ends; raise Undecodable where it does not."""
    try:
        return number_at(message, place)
    except ValueError as error:
        raise Undecodable(str(error)) from None


def varints(column: "Bytes") -> "Narrow":
    """Return the numbers of a packed column; raise Undecodable where the last one does not end."""
    ends = np.flatnonzero(column < 0x80)
    if len(ends) > MAX_COLUMN_VALUES:
        raise Undecodable(f"a column has more than {MAX_COLUMN_VALUES} values")
    return _numbers(column, ends)


def packed(content: "Bytes", bounds: "Ints") -> "tuple[Narrow, Ints]":
    """Return the numbers of many packed columns one behind the other, and how many each has.

    Column i is `content[bounds[i]:bounds[i + 1]]`. Raises Undecodable where the last number of one does not end.
    """
    if not len(content) or int(content.max()) < 0x80:
        return content, np.diff(bounds)
    if (pairs := _of_pairs(content, bounds)) is not None:
        return pairs, np.diff(bounds) >> 1
    filled = bounds[1:] > bounds[:-1]
    if (content[bounds[1:][filled] - 1] >= 0x80).any():
        raise Undecodable("the last number of a column does not end")
    ends = np.flatnonzero(content < 0x80)
    return _numbers(content, ends), np.diff(np.searchsorted(ends, bounds))


def _of_pairs(content: "Bytes", bounds: "Ints") -> "NDArray[np.uint16] | None":
    """Return numbers that all have two bytes, as keys of most bins do; nothing where one has not."""
    if (bounds & 1).any():
        return None
    pairs = content.view("<u2")
    if ((pairs & np.uint16(0x8080)) != 0x0080).any():
        return None
    return (pairs & np.uint16(0x7F)) | ((pairs & np.uint16(0x7F00)) >> np.uint16(1))


def _numbers(column: "Bytes", ends: "Ints") -> "Narrow":
    """Return the numbers that end at these places, one behind the other."""
    if not len(column):
        return np.zeros(0, dtype=np.uint8)
    if not len(ends) or ends[-1] != len(column) - 1:
        raise Undecodable("the last number of a column does not end")
    if len(ends) == len(column):
        return column
    if (short := _of_two(column, ends)) is not None:
        return short
    starts = np.append(0, ends[:-1] + 1)
    lengths = ends - starts + 1
    if lengths.max() > LONGEST_VARINT:
        raise Undecodable("a number of a column is longer than ten bytes")
    return _assembled(column, starts, lengths)


def _of_two(column: "Bytes", ends: "Ints") -> "Narrow | None":
    """Return numbers of a byte or two, as most are; nothing where one is longer."""
    before = column[ends - 1]
    before[0] = column[0] if ends[0] else 0
    is_two = before >= 0x80
    if len(column) != len(ends) + np.count_nonzero(is_two):
        return None
    last = column[ends].astype(np.uint16)
    numbers: NDArray[np.uint16] = last << np.uint16(7) | (before & np.uint8(0x7F))
    return numbers if is_two.all() else np.where(is_two, numbers, last)


def _assembled(column: "Bytes", starts: "Ints", lengths: "Ints") -> "Unsigned":
    """Put numbers together from their bytes, seven bits each, the lowest first."""
    numbers = (column[starts] & 0x7F).astype(np.uint64)
    longer = np.arange(len(starts))
    for place in range(1, int(lengths.max())):
        longer = longer[lengths[longer] > place]
        septets = (column[starts[longer] + place] & 0x7F).astype(np.uint64)
        numbers[longer] |= septets << np.uint64(7 * place)
    return numbers


def signed(numbers: "Narrow") -> "NDArray[np.signedinteger[Any]]":
    """Undo zig-zag: 0, 1, 2, 3 stand for 0, -1, 1, -2."""
    # Half of a number always has room in the signed type of its width.
    narrow = f"i{numbers.itemsize}"
    halves, odd = (numbers >> np.uint8(1)).view(narrow), (numbers & np.uint8(1)).view(narrow)
    found: NDArray[np.signedinteger[Any]] = halves ^ -odd
    return found


def fixed(column: "Bytes", dtype: str) -> "NDArray[np.float64]":
    """Return a packed column of floating point numbers."""
    if len(column) % np.dtype(dtype).itemsize:
        raise Undecodable("the last number of a column is cut short")
    return column.view(dtype).astype(np.float64)


def strings(table: bytes) -> pa.BinaryArray:
    """Return the entries of a string table, each behind its length there; entry 0 is the empty one.

    The one loop here, over what a dictionary holds: an entry begins where the one before it ends.
    """
    view, size, place = memoryview(table), len(table), 0
    heads: list[int] = []
    for _ in range(MAX_TABLE_STRINGS):
        if place >= size:
            break
        heads.append(place)
        length = table[place]
        if length < 0x80:
            place += 1 + length
        else:
            length, place = varint(view, place)
            place += length
    if place > size:
        raise Undecodable("the last string of a dictionary is cut short")
    if place < size:
        raise Undecodable(f"a dictionary has more than {MAX_TABLE_STRINGS} strings")
    return _without_lengths(np.frombuffer(table, dtype=np.uint8), np.array([*heads, size], dtype=np.int64))


def _without_lengths(table: "Bytes", bounds: "Ints") -> pa.BinaryArray:
    """Return the strings between bounds, without the lengths they begin with, after an empty one."""
    is_text = np.ones(len(table), dtype=bool)
    lengths, more = np.zeros(len(bounds), dtype=np.int64), bounds[:-1]
    which = np.arange(len(more))
    while len(more):
        is_text[more] = False
        lengths[which + 1] += 1
        goes_on = table[more] >= 0x80
        which, more = which[goes_on], more[goes_on] + 1
    offsets = np.append(0, bounds - np.cumsum(lengths)).astype(np.int32)
    buffers = [None, pa.py_buffer(offsets), pa.py_buffer(table[is_text])]
    return pa.Array.from_buffers(pa.binary(), len(bounds), buffers)


def legible(entries: pa.BinaryArray) -> pa.StringArray:
    """Return entries as text; what is not UTF-8 becomes a character that says so."""
    found = pa.Array.from_buffers(pa.string(), len(entries), entries.buffers())
    try:
        found.validate(full=True)
    except pa.ArrowInvalid:
        return pa.array([text_of(entry) for entry in entries.to_pylist()], pa.string())
    return found


def text_of(content: bytes) -> str:
    """Return bytes as text; a run of what is not UTF-8 becomes one character, as toValidUTF8 of the engine has it."""
    return _NO_TEXT.sub("\ufffd", content.decode("utf-8", "surrogateescape"))


def running(differences: "Ints", lengths: "Ints | None" = None) -> "Ints":
    """Undo differences: over the whole column, or starting again at each run of these lengths."""
    totals: Ints = np.append(0, np.cumsum(differences))
    if lengths is None:
        return totals[1:]
    starts = np.cumsum(lengths) - lengths
    bases: Ints = np.repeat(totals[starts], lengths)
    return totals[1:] - bases
