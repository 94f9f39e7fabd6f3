import asyncio
from typing import Any

from opstrace.config import Limits
from opstrace.intake.acceptance import Acceptance, Parcel
from opstrace.intake.ledger import Ledger
from opstrace.intake.payload import STORED, Family, Verdict
from opstrace.intake.rates import Rates
from opstrace.intake.settlement import Settlement
from opstrace.telemetry import Telemetry

KINDS = ("points", "logs", "events", "facts")


class Commit:
    """Finds something of everything in each body."""

    async def submit(self, *_: Any, **__: Any) -> Verdict:
        found: Any = {kind: {STORED: 3, "future": 1} for kind in KINDS}
        return Verdict(**found)


def test_a_repeat_counts_as_stored_nowhere() -> None:
    """Neither in the metrics nor in the books, whatever is in it; what is refused is refused each time."""
    telemetry, ledger, commit = Telemetry(), Ledger(), Commit()
    settlement = Settlement(ledger, Rates(lambda _tenant: Limits()))
    acceptance = Acceptance(commit, telemetry, Limits(), ledger, settlement)  # type: ignore[arg-type]
    parcel = Parcel("one", "POST", "/intake/", "/intake/", {}, {}, b'{"a": 1}')
    for times in (1, 2):
        asyncio.run(acceptance.store(parcel, (Family.INTAKE,)))
        for kind in KINDS:
            fates = telemetry.fates[kind]
            assert fates.stored.labels("one")._value.get() == 3, kind
            assert fates.refused.labels("one", "future")._value.get() == times, kind
    booked = ledger.take()
    for kind in KINDS:
        lines = {line.outcome: number for line, number in booked.items() if line.unit == kind}
        assert lines == {"received": 8, "stored": 3, "duplicate": 3, "refused": 2}, kind
