"""How many series a tenant may have on one day, and new in one minute; the excess is refused by series and day."""

import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from opstrace.config import LimitsOf
from opstrace.store.engine import Connection, statement
from opstrace.store.writer import GROWING_DAYS

_PACKAGE: Final = "opstrace.intake.series"
_MINUTE_S: Final = 60.0
_EXCESS: Final = """
SELECT tenant, toInt32(day) AS on_day, toString(refusal) AS reason, groupArray(series) AS numbers
FROM excess
GROUP BY tenant, day, refusal
"""
_TAKE_OUT: Final = "ALTER TABLE unseen DELETE WHERE seen_key(tenant, day, series) IN (SELECT key FROM excess)"
# What is staged for more than its series has one point, whose time may be any number or none.
_TAKE_OUT_STAGED: Final = """
ALTER TABLE staged
DELETE WHERE seen_key(tenant, toInt32(if(isFinite(points[1].1), points[1].1, 0) / 86400), series)
    IN (SELECT key FROM excess)
"""


@dataclass(frozen=True, slots=True)
class Added:
    """Series that one commit would add to a tenant's day; of those that are new to the tenant it is the first one."""

    tenant: str
    day: str
    added: int
    unheard_of: int


class Room:
    """What is left for each tenant and day; pure."""

    def __init__(self, limits_of: LimitsOf) -> None:
        self._limits_of = limits_of
        self._on_day: defaultdict[str, Counter[str]] = defaultdict(Counter)  # tenant → day → series
        self._new: dict[str, tuple[float, int]] = {}

    def on_day(self, tenant: str, day: str) -> int:
        """Return how many series may still be added to a tenant's day."""
        return max(self._limits_of(tenant).max_series - self._on_day[tenant][day], 0)

    def for_new(self, tenant: str, now_s: float) -> int:
        """Return how many series that are new to it a tenant may still add this minute."""
        began, used = self._new.get(tenant, (now_s, 0))
        most = self._limits_of(tenant).max_new_series_per_minute
        return most if now_s >= began + _MINUTE_S else max(most - used, 0)

    def surely_has(self, tenant: str, rows: int, now_s: float) -> bool:
        """Say whether this many rows fit in any case, whichever days they are of and however many series are new."""
        fullest = max(self._on_day[tenant].values(), default=0)
        return fullest + rows <= self._limits_of(tenant).max_series and rows <= self.for_new(tenant, now_s)

    def forget(self, tenant: str) -> None:
        """Count nothing of a tenant any more."""
        self._on_day.pop(tenant, None)
        self._new.pop(tenant, None)

    def begin_anew(self) -> None:
        """Count no day any more."""
        self._on_day.clear()

    def take(self, added: Added, now_s: float) -> None:
        """Count what was added."""
        self._on_day[added.tenant][added.day] += added.added
        began, used = self._new.get(added.tenant, (now_s, 0))
        began, used = (now_s, 0) if now_s >= began + _MINUTE_S else (began, used)
        self._new[added.tenant] = (began, used + added.unheard_of)

    def exceeded(self, commit: Iterable[Added], now_s: float) -> bool:
        """Say whether a commit would add more than there is room for."""
        new: defaultdict[str, int] = defaultdict(int)
        for added in commit:
            new[added.tenant] += added.unheard_of
            if added.added > self.on_day(added.tenant, added.day) or new[added.tenant] > self.for_new(
                added.tenant, now_s
            ):
                return True
        return False


class SeriesRoom:
    """Holds the unseen series of each commit against the room; on the writer's thread."""

    def __init__(
        self,
        connection: Connection,
        limits_of: LimitsOf,
        reloads: Callable[[], int],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`reloads` tells how often `seen` was read anew: after that, series of days it does not hold are unseen."""
        self._connection = connection
        self._clock = clock
        self._room = Room(limits_of)
        self._count = statement(_PACKAGE, "new_series")
        self._count_of_a_day = statement(_PACKAGE, "new_series_of_a_day")
        self._excess = statement(_PACKAGE, "excess")
        self._of_days = statement(_PACKAGE, "series_of_days")
        self._reloads, self._counted_at = reloads, -1
        self._admitted: tuple[list[Added], float] = [], 0.0
        self._uncounted: bool | None = None  # what is admitted is not counted yet; whether each series is there once
        self._count_days()

    def _count_days(self) -> None:
        """Count what there is, unless that was done since it was read anew."""
        if (reloads := self._reloads()) == self._counted_at:
            return
        self._room.begin_anew()
        for row in self._connection.read(self._of_days, days=GROWING_DAYS).to_pylist():
            self._room.take(Added(row["tenant"], str(row["day"]), row["added"], 0), self._clock())
        self._counted_at = reloads

    def forget(self, tenant: str) -> None:
        """Count nothing of a tenant any more."""
        self._room.forget(tenant)

    def admit(self, *, each_once: bool = False) -> bool:
        """Take what goes beyond the room out of `unseen` and into `excess`; say whether there was such.

        What is left in `unseen` counts once `take` says that it is durable: a commit that fails is sent again.
        `each_once` says that no series of a day was translated twice, and none of remote writes is there.
        """
        now_s = self._clock()
        self._count_days()
        commit = self._added(each_once=each_once)
        exceeded = self._room.exceeded(commit, now_s)
        if exceeded:
            self._connection.execute("TRUNCATE TABLE excess")  # of a commit that failed
            self._connection.execute(self._excess, **self._rooms(commit, now_s))
            self._connection.execute(_TAKE_OUT)
            commit = self._added(each_once=each_once)
        self._admitted = commit, now_s
        return exceeded

    def admit_uncounted(self, tenants: Iterable[str], rows: int, *, each_once: bool) -> bool:
        """Admit all of `unseen` uncounted, if this many rows would fit for each of the tenants; say whether.

        If so, call `count` before `take`, while the rows are still in `unseen` and not yet in `seen`.
        """
        now_s = self._clock()
        self._count_days()
        surely = all(self._room.surely_has(tenant, rows, now_s) for tenant in tenants)
        self._uncounted = each_once if surely else None
        return surely

    def count(self) -> None:
        """Count what was admitted uncounted, if there is such."""
        if self._uncounted is not None:
            self._admitted = self._added(each_once=self._uncounted), self._clock()
            self._uncounted = None

    def take(self) -> None:
        """Count what was admitted last as used."""
        commit, now_s = self._admitted
        for added in commit:
            self._room.take(added, now_s)
        self._admitted = [], 0.0

    def excess(self) -> Iterator[tuple[str, int, list[int], str]]:
        """Yield tenant, day (since 1970), series and reason of what was taken out."""
        for row in self._connection.read(_EXCESS).to_pylist():
            yield row["tenant"], row["on_day"], row["numbers"], row["reason"]

    def clear(self) -> None:
        """Take what is in `excess` out of `staged`, and empty it."""
        self._connection.execute(_TAKE_OUT_STAGED)
        self._connection.execute("TRUNCATE TABLE excess")

    def _added(self, *, each_once: bool) -> list[Added]:
        rows = self._connection.read(self._count_of_a_day).to_pylist() if each_once else []
        if not each_once or len({row["tenant"] for row in rows}) < len(rows):
            rows = self._connection.read(self._count).to_pylist()
        return [Added(row["tenant"], str(row["day"]), row["added"], row["unheard_of"]) for row in rows]

    def _rooms(self, commit: Iterable[Added], now_s: float) -> Mapping[str, Any]:
        days = list(commit)
        return {
            "keys": [f"{added.tenant} {added.day}" for added in days],
            "rooms": [self._room.on_day(added.tenant, added.day) for added in days],
            "new_rooms": [self._room.for_new(added.tenant, now_s) for added in days],
        }
