"""What queries read lately, kept in memory: the panels of a dashboard ask for the same again and again.

Only what was written since is read anew. Samples are kept up to a time: what comes later, and all that a late write
may have changed, is read from the store and put behind it.
"""

import math
import sys
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass, replace
from threading import Lock
from typing import Protocol, TypeVar, cast

from opstrace.store.changes import Changes
from opstrace.store.samples import Samples


class _Sized(Protocol):
    @property
    def nbytes(self) -> int: ...


S = TypeVar("S", bound=_Sized)


# What an entry takes beside its value and the texts of its key: objects that hold them.
_ENTRY_BYTES = 1000


@dataclass(frozen=True, slots=True)
class _Known:
    """What was read at a moment in the order of changes, and what it takes with its key."""

    value: _Sized
    position: int
    nbytes: int

    @classmethod
    def under(cls, key: Hashable, value: _Sized, position: int) -> "_Known":
        parts = key if isinstance(key, tuple) else (key,)
        texts = sum(sys.getsizeof(part) for part in parts if isinstance(part, (str, bytes)))
        return cls(value, position, value.nbytes + texts + _ENTRY_BYTES)


@dataclass(frozen=True, slots=True)
class _Derived:
    """What was made from other objects, which it keeps alive."""

    value: _Sized
    basis: tuple[object, ...]

    @property
    def nbytes(self) -> int:
        return self.value.nbytes

    def is_of(self, basis: tuple[object, ...]) -> bool:
        return all(one is other for one, other in zip(self.basis, basis, strict=True))


@dataclass(frozen=True, slots=True)
class _Stretch:
    """All samples of some series in a range of time, both ends included."""

    samples: Samples
    start_ms: int
    end_ms: int
    longest_ms: int  # of the ranges that were asked for

    @property
    def nbytes(self) -> int:
        return self.samples.nbytes

    def part(self, start_ms: int, end_ms: int, *, loosely: bool) -> Samples:
        """Return the samples of a shorter range; loosely all of them, where half of them is asked for."""
        if loosely and self.end_ms - self.start_ms <= 2 * (end_ms - start_ms):
            return self.samples
        return self.samples.within(start_ms, end_ms)

    def extended(self, last_ms: int, end_ms: int, read: Callable[[int, int], Samples]) -> "_Stretch":
        """Return one that goes on to a later end; this one is good up to `last_ms`."""
        settled = self.samples.within(self.start_ms, last_ms)
        return replace(self, samples=settled.followed_by(read(last_ms + 1, end_ms)), end_ms=end_ms)

    def trimmed(self, asked_ms: int) -> "_Stretch":
        """Return one without what nobody asks for any more: not at each step, that would be half of the work."""
        longest_ms = max(self.longest_ms, asked_ms)
        if self.end_ms - self.start_ms <= 2 * longest_ms:
            return replace(self, longest_ms=longest_ms)
        start_ms = self.end_ms - longest_ms
        return _Stretch(self.samples.within(start_ms, self.end_ms), start_ms, self.end_ms, asked_ms)


class RecentReads:
    """Series and samples as they were read, up to a number of bytes; what was asked for least lately goes first."""

    def __init__(self, changes: Changes, max_bytes: int) -> None:
        self._changes = changes
        self._max_bytes = max_bytes
        self._lock = Lock()
        self._known: OrderedDict[Hashable, _Known] = OrderedDict()
        self.nbytes = 0

    def series(self, tenant: str, key: Hashable, name: str | None, read: Callable[[], S]) -> S:
        """Return what `read` finds of the series of a tenant; of those of one metric, if there is a name."""
        position = self._changes.position
        known = self._get(key)
        if known is not None and not self._changes.new_series_since(tenant, name, known.position):
            return cast("S", known.value)
        found = read()
        self._keep(key, _Known.under(key, found, position))
        return found

    def derived(self, key: Hashable, basis: tuple[object, ...], make: Callable[[], S]) -> S:
        """Return what was made before of the very objects of the basis, or what `make` makes of them now."""
        known = self._get(key)
        if known is not None and isinstance(known.value, _Derived) and known.value.is_of(basis):
            return cast("S", known.value.value)
        made = make()
        self._keep(key, _Known.under(key, _Derived(made, basis), 0))
        return made

    def samples(
        self,
        tenant: str,
        key: Hashable,
        start_ms: int,
        end_ms: int,
        read: Callable[[int, int], Samples],
        *,
        loosely: bool = False,
    ) -> Samples:
        """Return the samples of some series from start to end; `read` yields those of a shorter range.

        Loosely, there may be more of them around the range, and of more series.
        """
        position = self._changes.position
        known = self._get(key)
        if known is not None:
            stretch = cast("_Stretch", known.value)
            last_ms = min(stretch.end_ms, self._changes.oldest_since(tenant, known.position) - 1)
            if end_ms <= last_ms and stretch.start_ms <= start_ms:
                return stretch.part(start_ms, end_ms, loosely=loosely)
            if stretch.start_ms <= start_ms <= last_ms < math.inf:
                stretch = stretch.extended(int(last_ms), end_ms, read).trimmed(end_ms - start_ms)
                self._keep(key, _Known.under(key, stretch, position))
                return stretch.part(start_ms, end_ms, loosely=loosely)
        found = read(start_ms, end_ms)
        self._keep(key, _Known.under(key, _Stretch(found, start_ms, end_ms, end_ms - start_ms), position))
        return found

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._known.clear()
            self.nbytes = 0

    def _get(self, key: Hashable) -> _Known | None:
        with self._lock:
            known = self._known.get(key)
            if known is not None:
                self._known.move_to_end(key)
            return known

    def _keep(self, key: Hashable, known: _Known) -> None:
        with self._lock:
            before = self._known.pop(key, None)
            self.nbytes -= before.nbytes if before else 0
            if known.nbytes > self._max_bytes:
                return
            self._known[key] = known
            self.nbytes += known.nbytes
            while self.nbytes > self._max_bytes:
                _, gone = self._known.popitem(last=False)
                self.nbytes -= gone.nbytes
