"""The SELECT that decodes a family of series, and the two statements around it."""

from dataclasses import dataclass
from typing import Final

from opstrace.store.engine import statement

_PACKAGE: Final = "opstrace.intake"
STAGED: Final = "staged"
# Ends a line of a SELECT that only translation needs.
_TRANSLATED_ONLY: Final = "-- translated only"


@dataclass(frozen=True, slots=True)
class SeriesStatement:
    """What reads the series of bodies: `look`, for judging, and `translate`, for the rows of those that are new.

    Both take the parameters of the SELECT and those of the times that are stored, `oldest` and `newest`; `translate`
    those of the alphabets too.
    """

    look: str
    translate: str

    @classmethod
    def of(cls, select: str, *, settings: str = "") -> "SeriesStatement":
        """Build it around a SELECT of the columns body, tenant, sent_name … points, or around `staged`."""
        needed = "\n".join(line for line in select.splitlines() if not line.endswith(_TRANSLATED_ONLY))
        more = f", {settings}" if settings else ""
        look, translate = (
            statement(_PACKAGE, name)
            .replace("{sent}", sent if sent == STAGED else f"(\n{sent}\n)")
            .replace("{settings}", more)
            for name, sent in (("sent_series", needed), ("translate", select))
        )
        return cls(look, translate)
