"""Kept requests, once more through today's decoders."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from opstrace.errors import IntakeError, Overloaded
from opstrace.intake.acceptance import Acceptance, Parcel
from opstrace.intake.commit import Commit
from opstrace.intake.ledger import Ledger
from opstrace.intake.payload import STORED, Family
from opstrace.store.kept import KeptRequests, Record, Segment, read_records

NOT_UNDERSTOOD = "not_understood"
# Families of a route, none where it is not understood.
FamiliesOf = Callable[[str], Sequence[Family]]


@dataclass(frozen=True, slots=True)
class Replayed:
    """How many kept requests of a route had one fate: STORED, NOT_UNDERSTOOD or the reason of a refusal."""

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

    async def run(self, tenant: str) -> list[Replayed]:
        """Replay everything kept of a tenant and return what became of it; stops early where there is no room now."""
        fates: Counter[tuple[str, str]] = Counter()
        for segment in await self._commit.between(lambda: self._kept.segments(tenant)):
            left = []
            for record in read_records(segment):
                fate = await self._fate(segment, record)
                fates[record.request.path, fate] += 1
                if fate != STORED:
                    left.append(record)
            if len(left) < segment.records:
                await self._commit.between(lambda segment=segment, left=left: self._kept.replace(segment, left))  # type: ignore[misc]
        return [Replayed(tenant, path, fate, n) for (path, fate), n in sorted(fates.items())]

    async def _fate(self, segment: Segment, record: Record) -> str:
        request = record.request
        families = self._families_of(request.path)
        if not families:
            return NOT_UNDERSTOOD
        query = dict(pair.partition("=")[::2] for pair in request.query.split("&") if pair)
        parcel = Parcel(
            segment.tenant, request.method, request.path, segment.route, query, request.headers, record.body
        )
        try:
            await self._acceptance.store(parcel, families, replayed=True)
        except Overloaded:
            raise
        except IntakeError as error:
            fate = error.reason
        else:
            fate = STORED
        self._ledger.replay(parcel.sender, fate)
        return fate
