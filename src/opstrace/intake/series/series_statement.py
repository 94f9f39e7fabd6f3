"""The SELECT that decodes a family of series, and the two statements around it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from opstrace.store.engine import statement
from opstrace.store.statements import filled

_PACKAGE: Final = "opstrace.intake.series"
STAGED: Final = "staged"
# What ends a line of a SELECT that only one of the two needs.
_TRANSLATED_ONLY: Final = "-- translated only"
_LOOKED_AT_ONLY: Final = "-- looked at only"


@dataclass(frozen=True, slots=True)
class SeriesStatement:
    """What reads the series of bodies: `look`, for judging, and `translate`, for the rows of those that are new.

    Both take the parameters of the SELECT and those of the times that are stored, `oldest` and `newest`; `translate`
    those of the alphabets too.
    """

    look: str
    translate: str

    @classmethod
    def of(cls, select: str, *, settings: str = "", more: Sequence[str] = (), threads: int = 1) -> "SeriesStatement":
        """Build it around a SELECT of the columns body, tenant, sent_name … points, or around `staged`.

        `more` are columns of the SELECT that a look yields as they are. More than one of the `threads` translate
        where the SELECT is a UNION ALL.
        """
        look, translate = (
            filled(
                statement(_PACKAGE, name),
                sent=STAGED if select == STAGED else f"(\n{_without(select, unneeded)}\n)",
                settings=f", {settings}" if settings else "",
                threads=threads,
                more="".join(f", {column}" for column in more),
            )
            for name, unneeded in (("sent_series", _TRANSLATED_ONLY), ("translate", _LOOKED_AT_ONLY))
        )
        return cls(look, translate)


def _without(select: str, unneeded: str) -> str:
    return "\n".join(line for line in select.splitlines() if not line.endswith(unneeded))
