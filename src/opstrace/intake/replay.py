"""Kept requests, once more through today's decoders."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Final
from urllib.parse import parse_qsl

from opstrace.errors import Forbidden, IntakeError, Overloaded
from opstrace.intake.acceptance import Acceptance, Parcel
from opstrace.intake.commit import Commit
from opstrace.intake.ledger import Ledger
from opstrace.intake.payload import STORED, Family, Verdict
from opstrace.store.kept import KeptRequests, Record, Segment, read_records

NOT_UNDERSTOOD: Final = "not_understood"
NOT_YET: Final = "not_yet"
# Records, and bytes of their bodies, that are read and fed together.
_PIECE_RECORDS: Final = 100
_PIECE_BYTES: Final = 1 << 20
# Families of a route, none where it is not understood.
FamiliesOf = Callable[[str, Mapping[str, str]], Sequence[Family]]


@dataclass(frozen=True, slots=True)
class Replayed:
    """How many kept requests of a route had one fate: STORED, NOT_UNDERSTOOD, NOT_YET or the reason of a refusal."""

    tenant: str
    route: str
    fate: str
    requests: int


class Replay:
    """Feeds what is kept to the decoders; what is stored by that is kept no longer, all else stays."""

    def __init__(
        self,
        acceptance: Acceptance,
        commit: Commit,
        kept: KeptRequests,
        ledger: Ledger,
        families_of: FamiliesOf,
    ) -> None:
        self._acceptance = acceptance
        self._commit = commit
        self._kept = kept
        self._ledger = ledger
        self._families_of = families_of
        # Two at once would feed the same requests, and each would leave what the other one read.
        self._alone = asyncio.Lock()

    async def run(self, tenant: str) -> list[Replayed]:
        """Replay everything kept of a tenant and return what became of it.

        Where there is no room now, what was not replayed by then stays and is NOT_YET. One that comes while another
        is under way waits for its end.
        """
        fates: Counter[tuple[str, str]] = Counter()
        async with self._alone:
            for segment in await self._commit.between(lambda: self._kept.segments(tenant)):
                with suppress(FileNotFoundError):  # it went by a bound since they were listed
                    await self._feed(segment, fates)
        return [Replayed(tenant, path, fate, n) for (path, fate), n in sorted(fates.items())]

    async def _feed(self, segment: Segment, fates: Counter[tuple[str, str]]) -> None:
        """Feed the records of a segment, count their fates, and leave those that were not stored."""
        left: list[Record] = []
        async for together in _records(segment):
            has_room = not any(fate == NOT_YET for _, fate in fates)
            found = [NOT_YET] * len(together)
            if has_room:
                found = await asyncio.gather(*(self._fate(segment, record) for record in together))
            fates.update((record.request.path, fate) for record, fate in zip(together, found, strict=True))
            left += [record for record, fate in zip(together, found, strict=True) if fate != STORED]
        if len(left) < segment.records:
            await self._commit.between(partial(self._kept.replace, segment, left))

    async def _fate(self, segment: Segment, record: Record) -> str:
        request = record.request
        families = self._families_of(request.path, request.headers)
        if not families:
            return NOT_UNDERSTOOD
        parcel = Parcel(
            tenant=segment.tenant,
            method=request.method,
            path=request.path,
            route=segment.route,
            query=dict(parse_qsl(request.query, keep_blank_values=True)),
            headers=request.headers,
            raw=record.body,
            came_ms=request.time_ms,
        )
        try:
            fate = _fate_of(await self._acceptance.store(parcel, families, replayed=True))
        except Overloaded:
            return NOT_YET
        except Forbidden as error:  # the tenant was removed meanwhile: its books are closed
            return error.reason
        except IntakeError as error:
            fate = error.reason
        self._ledger.replay(parcel.sender, fate)
        return fate


def _fate_of(verdict: Verdict) -> str:
    """Return what became of a request: stored, unless all that is in it was refused; then why most of it was."""
    if verdict.kept:
        return NOT_UNDERSTOOD
    refused: Counter[str] = Counter()
    for fates in (verdict.points, verdict.series, verdict.logs, verdict.events, verdict.facts):
        if fates.get(STORED):
            return STORED
        refused.update(fates)
    return refused.most_common(1)[0][0] if refused else STORED


async def _records(segment: Segment) -> AsyncIterator[list[Record]]:
    """Yield the records of a segment, some at a time; they are read elsewhere than on the event loop."""
    with closing(read_records(segment)) as records:
        while piece := await asyncio.to_thread(lambda: list(_piece(records))):
            yield piece


def _piece(records: Iterator[Record]) -> Iterator[Record]:
    """Yield what is fed together: as one commit it costs little more than one of them."""
    size = 0
    for record in islice(records, _PIECE_RECORDS):
        yield record
        size += len(record.body)
        if size >= _PIECE_BYTES:
            return
