"""From the ledger to the books on disk and to our own metrics."""

import asyncio
import logging
import time
from collections import defaultdict
from collections.abc import Iterable
from typing import Final

from opstrace.errors import StoreError
from opstrace.intake.commit import Commit
from opstrace.intake.ledger import Ledger, Line, Sender
from opstrace.store.books import Books, Entry
from opstrace.store.kept import KeptRequests
from opstrace.telemetry import Telemetry

logger = logging.getLogger(__name__)

# Versions of a tenant that get a label of their own; the books have all of them.
MAX_VERSIONS: Final = 32
_OTHER: Final = "other"


class Bookkeeper:
    """Writes what was booked, now and then."""

    def __init__(
        self, ledger: Ledger, books: Books, kept: KeptRequests, commit: Commit, telemetry: Telemetry
    ) -> None:
        self.ledger = ledger
        self._books = books
        self._kept = kept
        self._commit = commit
        self._telemetry = telemetry
        self._lock = asyncio.Lock()
        self._versions: defaultdict[str, set[str]] = defaultdict(set)  # by tenant

    async def write(self) -> None:
        """Write what was booked since the last time; raises StoreError, and keeps it for the next time then.

        To cancel this does not end it: what was taken from the ledger would be lost. The next one waits for it.
        """
        await asyncio.shield(self._written())

    async def _written(self) -> None:
        async with self._lock:
            await self._write()

    async def _write(self) -> None:
        for dropped in await self._commit.between(self._kept.take_dropped):
            self.ledger.drop(dropped.tenant, dropped.records, dropped.body_bytes, dropped.reason)
        taken = self.ledger.take()
        try:
            await self._commit.between(lambda: self._books.append(_entries(taken.items()), time.time()))
        except StoreError:
            self.ledger.give_back(taken)
            raise
        for line, total in taken.items():
            self._telemetry.booked.labels(
                line.sender.tenant, self._version(line.sender), line.unit.value, line.outcome.value
            ).inc(total)

    def forget(self, tenant: str) -> None:
        """Forget which versions a tenant's senders have."""
        self._versions.pop(tenant, None)

    def _version(self, sender: Sender) -> str:
        known = self._versions[sender.tenant]
        if sender.version not in known and len(known) >= MAX_VERSIONS:
            return _OTHER
        known.add(sender.version)
        return sender.version


def _entries(lines: Iterable[tuple[Line, int]]) -> Iterable[Entry]:
    for line, total in lines:
        yield Entry(
            line.sender.tenant,
            line.sender.host,
            line.sender.version,
            line.unit.value,
            line.outcome.value,
            line.reason,
            total,
        )
