"""Which payloads came before: for the books only.

That a payload which is sent again counts once is the store's doing, for ever and across crashes: its rows are the
same rows. Here it is recognised for a while, so that the books can call it a duplicate: by a hash of the bytes that
came, 64 bits and keyed anew at each start. Senders keep what they compressed until it is acknowledged, and send that
again; hashing what is inside would cost a twentieth of a commit of known series. A payload that took the server's
time for one that was not sent is never a repeat: each of its kind is of another moment.
"""

from collections import OrderedDict
from collections.abc import Callable
from time import monotonic
from typing import Final

from opstrace.intake.payload import Family

# Senders retry for minutes; a payload that comes later counts as stored again, which changes nothing in the store.
WINDOW_S: Final = 900.0
MAX_PAYLOADS: Final = 100_000


class Repeats:
    """The payloads stored in the last while."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._seen: OrderedDict[int, float] = OrderedDict()

    def note(self, tenant: str, family: Family, raw: bytes) -> bool:
        """Remember a payload that was stored, and say whether it had been before."""
        now = self._clock()
        self._forget(now)
        fingerprint = hash((tenant, family, raw))
        known = fingerprint in self._seen
        self._seen[fingerprint] = now
        self._seen.move_to_end(fingerprint)
        return known

    def _forget(self, now: float) -> None:
        while self._seen and (len(self._seen) >= MAX_PAYLOADS or next(iter(self._seen.values())) < now - WINDOW_S):
            self._seen.popitem(last=False)
