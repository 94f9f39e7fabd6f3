"""Numbers and letters as Go's standard library reads them, where we must agree with programs written in Go."""

import math
import re
from typing import Final

# Go's float parser takes these, Python's only by another name.
_HEXADECIMAL: Final = re.compile(
    r"[+-]?0x (?: (?:_?[0-9a-f])+ (?:\.(?:[0-9a-f](?:_?[0-9a-f])*)?)? | \.[0-9a-f](?:_?[0-9a-f])* )"
    r"p[+-]?[0-9](?:_?[0-9])*",
    re.IGNORECASE | re.VERBOSE | re.ASCII,
)
# It has no use for a NaN with a sign.
_NOT_FINITE: Final = re.compile(r"[+-]?inf(?:inity)?|nan", re.IGNORECASE | re.ASCII)


def parse_float(text: str) -> float | None:
    """Return a number as Go's parser reads it, which may be infinite or NaN; None for what it refuses.

    Source: golang/go, src/strconv/atof.go.
    """
    if not text.isascii():
        return None
    try:
        found = float(text)
    except ValueError:
        return _hexadecimal(text)
    # Python strips spaces, and reads a number beyond all doubles as infinite.
    is_sound = text.strip() == text and (math.isfinite(found) or _NOT_FINITE.fullmatch(text))
    return found if is_sound else None


def is_letter_or_digit(character: str) -> bool:
    """Say what unicode.IsLetter or unicode.IsDigit says: Python's `isalnum` takes fractions and the like, too."""
    return character.isalpha() or character.isdecimal()


def _hexadecimal(text: str) -> float | None:
    if not _HEXADECIMAL.fullmatch(text):
        return None
    try:
        return float.fromhex(text.replace("_", ""))
    except (ValueError, OverflowError):
        return None
