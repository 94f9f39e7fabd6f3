"""A bound on how deep JSON is nested, so that no document is stored that its readers might fail to parse."""

import re
from typing import Final

MAX_DEPTH: Final = 100
_STRING: Final = re.compile(rb'"(?:[^"\\]++|\\.)*+"?', re.DOTALL)  # to the end if it has none
_ALIKE: Final = bytes.maketrans(b"{}", b"[]")
_NO_BRACKETS: Final = bytes(byte for byte in range(256) if byte not in b"{}[]")


def is_too_deep(document: bytes) -> bool:
    """Say whether JSON has more than MAX_DEPTH levels."""
    if document.count(b"{") + document.count(b"[") <= MAX_DEPTH:
        return False
    brackets = _STRING.sub(b"", document).translate(_ALIKE, _NO_BRACKETS)
    for _ in range(MAX_DEPTH):
        brackets = brackets.replace(b"[]", b"")
    return bool(brackets)
