"""Clean-up every hour: what is older than the retention, beyond a bound, or left behind by a crash."""

import asyncio
import time
from pathlib import Path
from typing import Final

from opstrace import atomic_file
from opstrace.intake.commit import Commit
from opstrace.intake.flares import Flares
from opstrace.recurring import every
from opstrace.store.kept import KeptRequests
from opstrace.store.retention import Retention

RETENTION_INTERVAL_S: Final = 3600.0
# Nothing is dropped so soon after a start: a clock may be wrong then, or a config that somebody wants back.
RETENTION_GRACE_S: Final = 600.0
# Where files are replaced while the server runs, beside the home itself.
_WRITTEN_IN: Final = ("tls", "dashboards/*", "kept/*/*")


class Upkeep:
    """Keeps an instance's disk in order. Use it on one event loop."""

    def __init__(self, home: Path, commit: Commit, retention: Retention, kept: KeptRequests, flares: Flares) -> None:
        self._home = home
        self._commit = commit
        self._retention = retention
        self._kept = kept
        self._flares = flares

    async def run(self) -> None:
        """Clean up every hour, until cancelled."""
        await asyncio.sleep(RETENTION_GRACE_S)
        await every(RETENTION_INTERVAL_S, "dropping what is past the retention", self._retain)

    async def _retain(self) -> None:
        await self._commit.between(self._retention.enforce)
        await self._commit.between(lambda: self._kept.drop_old(time.time()))
        await self._commit.between(self._kept.make_room)
        await asyncio.to_thread(self._tidy)

    def _tidy(self) -> None:
        """Remove what a crash left behind while files were written."""
        home = self._home
        for directory in (home, *(found for pattern in _WRITTEN_IN for found in home.glob(pattern))):
            atomic_file.remove_left_behind(directory)
        self._flares.remove_left_behind()
