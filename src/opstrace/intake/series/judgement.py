"""What becomes of each point and each series of a commit: stored, or refused for a reason."""

import secrets
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa

from opstrace.intake.payload import STORED, Body
from opstrace.intake.series.sent_series import SentSeries, occurring
from opstrace.intake.series.sent_sketches import SentSketches

if TYPE_CHECKING:
    from numpy.typing import NDArray

# The fates of a point, and of a series; the lowest ones are those of `refusal_of` in staging.sql.
_TOO_MANY_SERIES, _TOO_MANY_NEW_SERIES, _NO_TIMESTAMP, _BAD_SKETCH, _NO_VALUE, _NOT_FINITE, _FUTURE, _ANCIENT = range(
    5, 13
)
_NO_POINTS: Final = 13
_STORED, _STORED_LATE, _STORED_UNTIMED = 14, 15, 16
_FATES: Final = 17
REASONS: Final = {
    1: "no_name",
    2: "name_too_long",
    3: "too_many_tags",
    4: "tag_too_long",
    _TOO_MANY_SERIES: "too_many_series",
    _TOO_MANY_NEW_SERIES: "too_many_new_series",
    _NO_TIMESTAMP: "no_timestamp",
    _BAD_SKETCH: "bad_sketch",
    _NO_VALUE: "no_value",
    _NOT_FINITE: "not_finite",
    _FUTURE: "future",
    _ANCIENT: "ancient",
    _NO_POINTS: "no_points",
    _STORED: STORED,
    _STORED_LATE: STORED,
    _STORED_UNTIMED: STORED,
}
CODES: Final = {reason: code for code, reason in REASONS.items()}
_ROWS_OF_SKETCHES: Final = 6  # translate.sql: the histogram, and five series of numbers beside it
_LATE_S: Final = 60
_DAY_S: Final = 86_400


@dataclass(frozen=True, slots=True)
class Moments:
    """The times that decide: from `oldest_s` to `newest_s` a point is stored; `now_s` is when it came."""

    oldest_s: float
    newest_s: float
    now_s: float


@dataclass(slots=True)
class Judged:
    """What became of one body."""

    points: Counter[str] = field(default_factory=Counter)
    series: Counter[str] = field(default_factory=Counter)
    late: int = 0  # stored points whose time is more than a minute past
    repeatable: bool = True  # sent again it would be the same: nothing got the server's time or lacks a host
    host: str = ""  # that most of it speaks of


class Judgement:
    """The fates of one commit's series, one a point; series without room are refused once they are known."""

    def __init__(self, sent: SentSeries, moments: Moments) -> None:
        self._sent = sent
        self._owners = sent.owners
        self._fates = _fates(sent, self._owners, moments)

    def take_out(self, max_bytes: int) -> tuple[set[int], set[int]]:
        """Refuse all of the bodies whose new rows of series are too much; the smaller ones stay.

        Return those that are too much by themselves, and those that are so beside others. Tags are in every row, and
        there is one for each day on which a series has points.
        """
        owners, days = self._lacking
        rows_of = np.where(self._sent.are_sketches, _ROWS_OF_SKETCHES, 1)
        weights = self._sent.tag_bytes.astype(np.float64) * rows_of
        if weights[owners].sum() <= max_bytes:
            return set(), set()
        owners = np.unique(np.stack([owners, days.astype(np.int64)]), axis=1)[0]
        of_bodies = np.bincount(self._sent.bodies[owners], weights[owners])
        order = np.argsort(of_bodies, kind="stable")
        excess = order[np.cumsum(of_bodies[order]) > max_bytes]
        self._give(np.isin(self._sent.bodies, excess)[self._owners], "too_many_tags")
        alone = of_bodies[excess] > max_bytes
        return set(excess[alone].tolist()), set(excess[~alone].tolist())

    def untranslated(self) -> set[int]:
        """Return the bodies with series that are stored, and may lack their row of a day."""
        return set(np.unique(self._sent.bodies[self._lacking[0]]).tolist())

    @cached_property
    def _lacking(self) -> "tuple[NDArray[np.int64], NDArray[np.float64]]":
        """Series and day of the points that are stored, and whose series may lack its row of that day."""
        sent, stored = self._sent, self._are_stored()
        owners, days = self._owners[stored], _days(sent.times[stored])
        # The day of the first point alone was looked up.
        first_days = np.full(len(sent.lengths), np.nan)
        first_days[sent.lengths > 0] = _days(sent.times[self._first_points()])
        lacking = ~sent.known[owners] | (days != first_days[owners])
        return owners[lacking], days[lacking]

    def refuse(self, tenant_bodies: Sequence[int], day: int, series: Sequence[int], reason: str) -> None:
        """Refuse what else were stored of series on a day (since 1970) of a tenant, which these bodies are of."""
        sent = self._sent
        of_tenant = np.isin(sent.bodies, np.array(tenant_bodies, dtype=np.uint32))
        refused = of_tenant & np.isin(sent.series, np.array(series, dtype=np.uint64))
        self._give(refused[self._owners] & self._are_stored() & (_days(sent.times) == day), reason)

    def _give(self, points: "NDArray[np.bool_]", reason: str) -> None:
        """Give points another fate; what lacks rows is found out anew."""
        self._fates[points] = CODES[reason]
        self.__dict__.pop("_lacking", None)

    def judged(self) -> defaultdict[int, Judged]:
        """Return what became of each body."""
        sent = self._sent
        bodies: defaultdict[int, Judged] = defaultdict(Judged)
        for body, host in self._hosts.items():
            bodies[body].host = host
        for body in self._anonymous:
            bodies[body].repeatable = False
        for body, fate, total in _counted(sent.bodies[self._owners], self._fates):
            of_body = bodies[body]
            of_body.points[REASONS[fate]] += total
            of_body.late += total if fate == _STORED_LATE else 0
            of_body.repeatable = of_body.repeatable and fate != _STORED_UNTIMED
        for body, fate, total in _counted(sent.bodies, self._fates_of_series()):
            bodies[body].series[REASONS[fate]] += total
        return bodies

    def samples(self, tenants: Sequence[str]) -> pa.Table:
        """Return the numbers that are stored as rows of `samples`, as they came; `tenants` are the bodies'."""
        numbers = np.flatnonzero(self._are_stored() & ~self._sent.are_sketches[self._owners])
        bodies = self._sent.bodies
        if (bodies[1:] < bodies[:-1]).any():
            # They were read kind by kind; of two points of one time the last one counts, and that is to be the later.
            numbers = numbers[np.argsort(bodies[self._owners[numbers]], kind="stable")]
        return pa.table({**self._keys(numbers, tenants), "value": self._sent.values[numbers]})

    def sketches(self, sketches: SentSketches, bodies: Sequence[Body]) -> pa.Table:
        """Return the sketches that are stored as rows of `sketches`; these are all of the commit, in their order."""
        ours = np.flatnonzero(self._sent.are_sketches[self._owners])
        stored = self._are_stored()[ours]
        points = ours[stored]
        numbers = self._sent.bodies[self._owners[points]]
        holding = set(np.unique(numbers).tolist())
        payloads = [self._payload(i, body) if i in holding else 0 for i, body in enumerate(bodies)]
        keys = {
            **self._keys(points, [body.tenant for body in bodies]),
            "payload": pa.array(payloads, pa.uint64()).take(pa.array(numbers)),
        }
        rows = sketches.rows(stored)
        return pa.table({**keys, **{name: rows[name] for name in rows.column_names}})

    @cached_property
    def _hosts(self) -> dict[int, str]:
        return self._sent.main_hosts()

    @cached_property
    def _anonymous(self) -> set[int]:
        """The bodies of sketches that name no host: functions that run side by side send the very same."""
        of_sketches = np.unique(self._sent.bodies[self._sent.are_sketches])
        return set(of_sketches.tolist()) - self._hosts.keys()

    def _payload(self, number: int, body: Body) -> int:
        """Return what a payload that is sent again has in common with the first one.

        Only payloads with sketches of one series and time are told apart by it. A cryptographic hash is a tenth of
        their commit.
        """
        return secrets.randbits(64) if number in self._anonymous else body.checksum

    def _keys(self, points: "NDArray[np.int64]", tenants: Sequence[str]) -> dict[str, Any]:
        """Return the columns of points that every table of points begins with."""
        sent, owners = self._sent, self._owners[points]
        return {
            "tenant": pa.array(tenants).take(pa.array(sent.bodies[owners])),
            "metric": sent.metrics[owners],
            "series": sent.series[owners],
            "timestamp": np.rint(sent.times[points] * 1000).astype(np.int64),
        }

    def _are_stored(self) -> "NDArray[np.bool_]":
        stored: NDArray[np.bool_] = self._fates >= _STORED
        return stored

    def _fates_of_series(self) -> "NDArray[np.uint8]":
        """Return the fate of each series: stored if a point of it is, else that of its first point."""
        sent = self._sent
        fates = np.where(sent.refusals != 0, sent.refusals, _NO_POINTS).astype(np.uint8)
        fates[sent.lengths > 0] = self._fates[self._first_points()]
        fates[self._owners[self._are_stored()]] = _STORED
        return fates

    def _first_points(self) -> "NDArray[np.int64]":
        """Return where the first point of each series that has some is."""
        lengths = self._sent.lengths
        starts: NDArray[np.int64] = (np.cumsum(lengths) - lengths)[lengths > 0]
        return starts


def _days(times: "NDArray[np.float64]") -> "NDArray[np.float64]":
    days: NDArray[np.float64] = np.floor(times / _DAY_S)
    return days


def _fates(sent: SentSeries, owners: "NDArray[np.int64]", moments: Moments) -> "NDArray[np.uint8]":
    times, values = sent.times, sent.values
    fates = np.full(len(times), _STORED, dtype=np.uint8)
    fates[times < moments.now_s - _LATE_S] = _STORED_LATE
    fates[times == moments.now_s] = _STORED_UNTIMED
    sound = (times >= moments.oldest_s) & (times <= moments.newest_s) & np.isfinite(values)
    if not sound.all():
        # From the weakest reason to the strongest.
        fates[times < moments.oldest_s] = _ANCIENT
        fates[times > moments.newest_s] = _FUTURE
        fates[~np.isfinite(times) | ~np.isfinite(values)] = _NOT_FINITE
        fates[sent.without_value] = np.where(sent.are_sketches[owners[sent.without_value]], _BAD_SKETCH, _NO_VALUE)
        fates[sent.without_time] = _NO_TIMESTAMP
    if sent.refusals.any():
        refusals = sent.refusals[owners]
        fates = np.where(refusals != 0, refusals, fates)
    return fates


def _counted(bodies: "NDArray[np.uint32]", fates: "NDArray[np.uint8]") -> list[tuple[int, int, int]]:
    """Return body, fate and how often, of those that occur."""
    places, totals = occurring(bodies.astype(np.int64) * _FATES + fates)
    return [(*divmod(place, _FATES), total) for place, total in zip(places.tolist(), totals.tolist(), strict=True)]
