"""Texts of queries: a literal holds any bytes, and those that are no UTF-8 stand in it as surrogates."""

import re
from typing import Final

_SURROGATE: Final = re.compile("[\ud800-\udfff]")


def is_text(value: str) -> bool:
    """Whether a string can be written in UTF-8."""
    return _SURROGATE.search(value) is None


def sayable(text: str) -> str:
    """Return a text with U+FFFD for each byte that is no UTF-8."""
    return _SURROGATE.sub("\N{REPLACEMENT CHARACTER}", text)
