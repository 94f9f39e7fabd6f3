"""What was written since a moment: tells readers which of what they remember may be out of date.

A moment is a position in the order of changes. A writer tells of a change once it can be read and before it is
acknowledged, so that whoever asks after an acknowledgement knows of it. For many threads at once.
"""

import math
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable
from operator import itemgetter
from threading import Lock

# Of a tenant; beyond it neighbours become one, and some of what is remembered is read again without need.
MAX_REMEMBERED_WRITES = 1024
# Beyond it all that is remembered of series is read again.
MAX_REMEMBERED_NAMES = 100_000


class Changes:
    """Per tenant the oldest sample of each write, and when a metric last had a new series."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._position = 0
        # Each write since which the oldest sample written is not older; ascending in both.
        self._writes: defaultdict[str, list[tuple[int, float]]] = defaultdict(list)
        # By tenant and metric; under None by tenant alone.
        self._registered: dict[tuple[str, str | None], int] = {}
        self._registered_any: dict[str, int] = {}
        self._removed = 0

    @property
    def position(self) -> int:
        """The moment of now."""
        with self._lock:
            return self._position

    def wrote(self, tenant: str, oldest_ms: float) -> None:
        """Samples of a tenant were written, the oldest of this time."""
        with self._lock:
            self._position += 1
            writes = self._writes[tenant]
            while writes and writes[-1][1] >= oldest_ms:
                writes.pop()
            writes.append((self._position, oldest_ms))
            if len(writes) > MAX_REMEMBERED_WRITES:
                # Of each two the time of the older: as if the younger had written it.
                positions, times = [at for at, _ in writes[1::2]], [oldest for _, oldest in writes[::2]]
                writes[: 2 * len(positions)] = zip(positions, times, strict=False)

    def registered(self, tenant: str, names: Iterable[str] | None) -> None:
        """Metrics of a tenant have new series; None stands for any of them."""
        with self._lock:
            self._position += 1
            self._registered |= {(tenant, name): self._position for name in (None, *(names or ()))}
            if names is None:
                self._registered_any[tenant] = self._position
            if len(self._registered) > MAX_REMEMBERED_NAMES:
                self._registered.clear()
                self._removed = self._position

    def removed(self) -> None:
        """Something is gone that was there; nobody knows what."""
        with self._lock:
            self._position += 1
            self._removed = self._position
            self._writes.clear()

    def oldest_since(self, tenant: str, position: int) -> float:
        """Return the time of the oldest sample written after a moment, ms: infinity if none was."""
        with self._lock:
            if self._removed > position:
                return -math.inf
            writes = self._writes.get(tenant, [])
            place = bisect_left(writes, position + 1, key=itemgetter(0))
            return writes[place][1] if place < len(writes) else math.inf

    def new_series_since(self, tenant: str, name: str | None, position: int) -> bool:
        """Say whether a metric, or with None any of the tenant's, may have other series than at a moment."""
        with self._lock:
            last = max(self._registered.get((tenant, name), 0), self._registered_any.get(tenant, 0))
            return max(self._removed, last) > position
