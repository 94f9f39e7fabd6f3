"""Whole numbers in what is asked: decimal digits alone, and within bounds."""

from typing import Final

_DIGITS: Final = 20  # leading zeros included; more is slow to read


def whole_number(text: str, least: int, most: int) -> int | None:
    """Return the number that a text is; None where it is none, or out of bounds."""
    if not (text.isascii() and text.isdecimal() and len(text) <= _DIGITS):
        return None
    number = int(text)
    return number if least <= number <= most else None
