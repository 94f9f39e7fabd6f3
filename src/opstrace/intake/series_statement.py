"""The SELECT that decodes a family of series, as the two statements around it."""

from dataclasses import dataclass
from typing import Final

from opstrace.store.engine import statement

_PACKAGE: Final = "opstrace.intake"
STAGED: Final = "staged"
# Ends a line of a SELECT that only staging needs.
_STAGED_ONLY: Final = "-- staged only"


@dataclass(frozen=True, slots=True)
class SeriesStatement:
    """What reads the series of bodies: `look`, for judging, and `stage`, into `staged` with all that was said.

    Both take the parameters of the SELECT; `look` those of the times that are stored too, `oldest` and `newest`.
    """

    look: str
    stage: str

    @classmethod
    def of(cls, select: str, *, settings: str = "") -> "SeriesStatement":
        """Build it around a SELECT of the columns body, tenant, sent_name … points, or around `staged`."""
        needed = "\n".join(line for line in select.splitlines() if not line.endswith(_STAGED_ONLY))
        more = f", {settings}" if settings else ""
        look, stage = (
            statement(_PACKAGE, name)
            .replace("{sent}", sent if sent == STAGED else f"(\n{sent}\n)")
            .replace("{settings}", more)
            for name, sent in (("sent_series", needed), ("stage_series", select))
        )
        return cls(look, stage)
