"""How much disk must be free, and for what: the engine takes little notice of a disk that takes no more."""

import shutil
from pathlib import Path
from typing import Final

from opstrace.errors import StoreError

# Below this nothing is taken in, kept or removed: what is written would be cut short. The engine is told so, too
# (table_settings.sql).
MIN_FREE_BYTES: Final = 256 << 20
# Below this no data directory is opened. What that writes anew is far less; what the engine cannot write of it, it
# leaves empty.
OPENING_FREE_BYTES: Final = 16 << 20
# Below this, or this part of the disk if that is less, nothing is merged: merges write without being asked, and much.
MERGING_FREE_BYTES: Final = 1 << 30
_MERGING_FREE_PART: Final = 0.1


def check_free(directory: Path, least_bytes: int = MIN_FREE_BYTES) -> None:
    """Raise StoreError if less than so much is free on a directory's disk."""
    free = shutil.disk_usage(directory).free
    if free < least_bytes:
        raise StoreError(
            f"only {free >> 20} MiB of disk are free for {directory}, and {least_bytes >> 20} MiB have to be"
        )


def merging_bound(total_bytes: int) -> int:
    """Return how much of a disk of this size must be free for merges; never less than what inserts need."""
    return max(MIN_FREE_BYTES, min(MERGING_FREE_BYTES, int(total_bytes * _MERGING_FREE_PART)))
