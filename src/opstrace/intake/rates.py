"""How fast a tenant may send: a token bucket, which a single payload may overdraw."""

from collections.abc import Callable
from time import monotonic
from typing import Final, Literal

from opstrace.config import LimitsOf
from opstrace.errors import RateExceeded

# What may come at once, as seconds of the rate: Agents flush every 10 to 15 s, and many at the same moment.
BURST_S: Final = 15.0
_LONGEST_WAIT_S: Final = 60

What = Literal["payloads", "points"]
_WHATS: Final[tuple[What, ...]] = ("payloads", "points")


class Bucket:
    """An allowance that grows by `rate` a second, up to `BURST_S` seconds of it."""

    def __init__(self, rate: float, now_s: float) -> None:
        self.rate = rate
        self._filled_at = now_s
        self._left = rate * BURST_S

    def wait_s(self, now_s: float) -> float:
        """Return the seconds until there is something left; 0 if there is."""
        self._fill(now_s)
        return max(0.0, (1.0 - self._left) / self.rate)

    def draw(self, amount: float, now_s: float) -> None:
        """Take an amount; what is not there is owed."""
        self._fill(now_s)
        self._left -= amount

    def _fill(self, now_s: float) -> None:
        self._left = min(self._left + (now_s - self._filled_at) * self.rate, self.rate * BURST_S)
        self._filled_at = now_s


class Rates:
    """The allowances of every tenant: of payloads, and of points, counted once they are decoded."""

    def __init__(self, limits_of: LimitsOf, clock: Callable[[], float] = monotonic) -> None:
        """`limits_of` is asked each time: a tenant whose rate has changed begins with a full bucket."""
        self._limits_of = limits_of
        self._clock = clock
        self._buckets: dict[tuple[str, str], Bucket] = {}

    def admit(self, tenant: str) -> None:
        """Count a payload; raise RateExceeded where the tenant has sent too much already."""
        now_s = self._clock()
        for what in _WHATS:
            bucket = self._bucket(tenant, what, now_s)
            if wait_s := bucket.wait_s(now_s):
                raise RateExceeded(
                    f"tenant {tenant} sends more than {bucket.rate:g} {what} per second; try again",
                    retry_after_s=min(int(wait_s) + 1, _LONGEST_WAIT_S),
                )
        self._bucket(tenant, "payloads", now_s).draw(1, now_s)

    def spend(self, tenant: str, points: int) -> None:
        """Count points that were decoded."""
        now_s = self._clock()
        self._bucket(tenant, "points", now_s).draw(points, now_s)

    def forget(self, tenant: str) -> None:
        """Let a tenant of this name begin with full buckets."""
        for what in _WHATS:
            self._buckets.pop((tenant, what), None)

    def _bucket(self, tenant: str, what: What, now_s: float) -> Bucket:
        limits = self._limits_of(tenant)
        rate = float(limits.max_payloads_per_s if what == "payloads" else limits.max_points_per_s)
        bucket = self._buckets.get((tenant, what))
        if bucket is None or bucket.rate != rate:
            bucket = self._buckets[tenant, what] = Bucket(rate, now_s)
        return bucket
