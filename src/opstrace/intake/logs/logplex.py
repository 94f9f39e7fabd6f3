"""Heroku's log drains: syslog records, each after the number of its bytes (RFC 6587, section 3.4.1)."""

import re
from collections.abc import Iterator
from typing import Final

# Between records, as the engine gets them; inside one it is no character of a text.
SEPARATOR: Final = b"\0"
_NO_CHARACTER: Final = "\N{REPLACEMENT CHARACTER}".encode()
_HEAD: Final = re.compile(rb"\s*(\d{1,9}) (?=<\d{1,3}>\d+ )")
_END: Final = re.compile(rb"\s*\Z")


def separated(content: bytes) -> bytes:
    """Return a body with a separator after each record.

    A record whose number is wrong, and what is no record, ends with its line.
    """
    return SEPARATOR.join(record.replace(SEPARATOR, _NO_CHARACTER).strip(b"\r\n") for record in _records(content))


def _records(content: bytes) -> Iterator[bytes]:
    at = 0
    while at < len(content):
        head = _HEAD.match(content, at)
        end = head.end() + int(head[1]) if head else 0
        if not head or end > len(content) or not (_HEAD.match(content, end) or _END.match(content, end)):
            end = content.find(b"\n", head.end() if head else at) + 1 or len(content)
        yield content[at:end]
        at = end
