"""Which payloads came before: for the books only.

That a payload which is sent again counts once is the store's doing, for ever and across crashes: its rows are the
same rows. Here it is recognised for a while, so that the books can call it a duplicate: by a hash of the bytes that
came and of what was said beside them, 64 bits and keyed anew at each start. Senders keep what they compressed until
it is acknowledged, and send that again; hashing what is inside would cost a twentieth of a commit of known series.

A payload that took the server's time for one that was not sent is never a repeat: each of its kind is of another
moment. Nor is one of sketches that names no host, each of which counts, nor one of which more is stored than the
first time, when some of it came too early or found no room.
"""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic
from typing import Final

from opstrace.intake.payload import Body

# Senders retry for minutes; a payload that comes later counts as stored again, which changes nothing in the store.
WINDOW_S: Final = 900.0
MAX_PAYLOADS: Final = 100_000


class Repeats:
    """The payloads stored in the last while. Use it on one event loop."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._seen: OrderedDict[int, _Seen] = OrderedDict()

    def note(self, body: Body, raw: bytes, stored: int) -> bool:
        """Remember a payload of which some was stored, `raw` as it came, and say whether all that had been before."""
        now_s = self._clock()
        self._forget_old(now_s)
        fingerprint = hash((body.tenant, body.family, raw, tuple(sorted(body.facts.items()))))
        before = self._seen.pop(fingerprint, None)
        self._seen[fingerprint] = _Seen(now_s, body.tenant, max(stored, before.stored if before else 0))
        return before is not None and stored <= before.stored

    def forget(self, tenant: str) -> None:
        """Know nothing of a tenant any more: what it had was removed."""
        for fingerprint in [one for one, seen in self._seen.items() if seen.tenant == tenant]:
            del self._seen[fingerprint]

    def _forget_old(self, now_s: float) -> None:
        while self._seen and (len(self._seen) >= MAX_PAYLOADS or self._oldest().at < now_s - WINDOW_S):
            self._seen.popitem(last=False)

    def _oldest(self) -> "_Seen":
        return next(iter(self._seen.values()))


@dataclass(frozen=True, slots=True)
class _Seen:
    """A payload that came."""

    at: float
    tenant: str
    stored: int  # points, logs and events of it
