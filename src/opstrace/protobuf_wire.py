"""Protobuf's wire format by hand, where a message is made or looked at field by field (protobuf.dev: Encoding)."""

from collections.abc import Iterator
from typing import Final

# Wire types.
VARINT: Final = 0
FIXED64: Final = 1
BYTES: Final = 2
FIXED32: Final = 5

LONGEST_VARINT: Final = 10  # bytes


def varint(number: int) -> bytes:
    """Return a number in septets, the lowest first; a negative one as 64 bits."""
    if 0 <= number < len(_SHORT):
        return _SHORT[number]
    return _varint(number)


def _varint(number: int) -> bytes:
    number &= (1 << 64) - 1
    septets = [number & 0x7F]
    while number := number >> 7:
        septets.append(number & 0x7F)
    return bytes([septet | 0x80 for septet in septets[:-1]] + septets[-1:])


# Most numbers of a histogram are short; they are written by the million.
_SHORT: Final = tuple(map(_varint, range(1 << 12)))


def zigzag(number: int) -> int:
    """Return the number that stands for a signed one."""
    return number << 1 ^ number >> 63


def field(number: int, content: bytes) -> bytes:
    """Return a field of bytes, text or a message."""
    return varint(number << 3 | BYTES) + varint(len(content)) + content


def number_at(message: bytes | memoryview, place: int) -> tuple[int, int]:
    """Return the number at a place and where it ends; raise ValueError where it does not."""
    start = place
    try:
        if (byte := message[place]) < 0x80:
            return byte, place + 1
        number = byte & 0x7F
        for shift in range(7, 7 * LONGEST_VARINT, 7):
            place += 1
            byte = message[place]
            number |= (byte & 0x7F) << shift
            if byte < 0x80:
                return number, place + 1
    except IndexError:
        pass
    raise ValueError(f"the number at byte {start} of a message does not end")


def fields(message: bytes | memoryview) -> Iterator[tuple[int, int, int, int]]:
    """Yield number, wire type, begin and end of each field, which of bytes are those of what is behind their length.

    Raises ValueError for what is no message. Groups, which nobody writes any more, are none.
    """
    place = 0
    while place < len(message):
        key, start = number_at(message, place)
        number, kind = key >> 3, key & 7
        size = _SIZES.get(kind)
        if kind == VARINT:
            size = number_at(message, start)[1] - start
        elif kind == BYTES:
            size, start = number_at(message, start)
        if size is None:
            raise ValueError(f"byte {place} of a message begins no field: wire type {kind}")
        if number == 0 or start + size > len(message):
            raise ValueError(f"field {number} at byte {place} of a message is cut short or not a field")
        place = start + size
        yield number, kind, start, place


_SIZES: Final = {FIXED64: 8, FIXED32: 4}
