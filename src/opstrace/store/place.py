"""Where a row stands among others that are read page by page."""

import re
from dataclasses import dataclass
from typing import Final

from opstrace.errors import BadQuery

_CURSOR: Final = re.compile("([0-9]{1,15})-([0-9]{1,20})")


@dataclass(frozen=True, slots=True)
class Place:
    """A time, and an id among what is of it; what comes after a place is the same, whatever is sent meanwhile."""

    time_ms: int
    id: int

    @classmethod
    def of(cls, cursor: str, id_bits: int = 64) -> "Place":
        """Read what an answer called its cursor; raise BadQuery."""
        found = _CURSOR.fullmatch(cursor)
        if not found or int(found[2]) >> id_bits:
            raise BadQuery(f"cursor: {cursor[:60]!r} is none that an answer had")
        return cls(int(found[1]), int(found[2]))

    def __str__(self) -> str:
        return f"{self.time_ms}-{self.id}"


# Before all rows, and after all.
FIRST: Final = Place(-1, 0)
LAST: Final = Place(1 << 62, 1 << 63)
