"""A thread that looks after what the engine writes unasked.

It ends merges before the disk is full, and has those undone that the disk did not take whole.
"""

import logging
import shutil
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final, Protocol

from opstrace.errors import StoreError
from opstrace.log_lines import Outage
from opstrace.store.free_space import check_free, merging_bound
from opstrace.store.merged_parts import MergedParts, Statements

logger = logging.getLogger(__name__)

# Between two looks: what fills a disk writes less meanwhile than merges leave free, or hardly more.
LOOK_S: Final = 1.0
# Merges go on once so much more is free than the bound at which they end.
_MORE_THAN_BOUND: Final = 1.25
# After a merge that the disk did not take, or that cannot be looked at: a disk that has room, but a quota, takes the
# next one no better.
_PAUSE_S: Final = 120.0


class OwnConnection(Statements, Protocol):
    """A connection that nobody else uses."""

    def close(self) -> None:
        """Give it back."""


class DiskWatch:
    """Looks at a data directory and its disk every second, once it was started."""

    def __init__(self, connection: OwnConnection, directory: Path, tables: Mapping[str, Path]) -> None:
        """`connection` is the watch's own; `tables` are the directories of the tables on disk."""
        self._connection = connection
        self._directory = directory
        self._parts = MergedParts(connection, tables)
        self._lock = threading.Lock()
        self._stopped = False
        self._paused_until_s = 0.0
        self._ended = threading.Event()
        self._failing = Outage("looking after merges")
        self._thread = threading.Thread(target=self._run, name="disk-watch", daemon=True)

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def close(self) -> None:
        """End it, and give its connection back."""
        self._ended.set()
        if self._thread.ident is not None:
            self._thread.join()
        self._connection.close()

    @property
    def merges_stopped(self) -> bool:
        """Whether nothing is merged or deleted now."""
        return self._stopped

    def check_merging(self) -> None:
        """Raise StoreError unless there is room for a deletion, which the engine does as it merges."""
        check_free(self._directory)
        if self._stopped:
            raise StoreError("nothing is merged or deleted now, for want of free disk")

    def look(self) -> None:
        """Look once; raises StoreError while something waits to be mended, and cannot be."""
        with self._lock:
            is_doubtful = True
            try:
                is_doubtful = self._parts.look()
            finally:
                if is_doubtful:
                    self._paused_until_s = time.monotonic() + _PAUSE_S
                self._govern()
            self._parts.mend()

    def _run(self) -> None:
        while not self._ended.is_set():
            try:
                self.look()
            except Exception as error:  # noqa: BLE001 (whatever it is, the next look may go well)
                if self._failing.failed():
                    logger.error("looking after merges failed: %s", error)
            else:
                self._failing.worked()
            self._ended.wait(LOOK_S)

    def _govern(self) -> None:
        """Have the engine merge, or not."""
        disk = shutil.disk_usage(self._directory)
        bound = merging_bound(disk.total) * (_MORE_THAN_BOUND if self._stopped else 1)
        is_short, is_paused = disk.free < bound, time.monotonic() < self._paused_until_s
        if is_short or is_paused:
            self._stop(
                f"only {disk.free >> 20} MiB of disk are free"
                if is_short
                else "one is not whole, or cannot be looked at"
            )
        elif self._stopped:
            self._connection.execute("SYSTEM START MERGES")
            self._stopped = False
            logger.info("merges and deletions go on")

    def _stop(self, why: str) -> None:
        """End merges and deletions that are under way, and let none begin.

        Whoever waits for a deletion hears that it failed, and asks for it again. One may have been asked for since
        the last look.
        """
        if not self._stopped:
            logger.warning("merges and deletions stop: %s; data is taken in as long as there is room", why)
            self._stopped = True
            self._connection.execute("SYSTEM STOP MERGES")
        self._connection.execute("KILL MUTATION WHERE database = currentDatabase()")
