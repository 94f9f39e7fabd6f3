"""Series in remote write's messages, on their way into the store and the books, whoever wrote the message."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from opstrace.intake.commit import Commit
from opstrace.intake.ledger import Ledger, Sender
from opstrace.intake.payload import STORED, Body, Verdict
from opstrace.intake.rates import Rates
from opstrace.intake.settlement import Settlement
from opstrace.telemetry import Telemetry

# The fate of exemplars, and of a series that has nothing else.
NOT_KEPT: Final = "not_kept"
# What is no fault of a message: a series may have metadata or exemplars alone.
_NO_REFUSALS: Final = (STORED, "no_points", NOT_KEPT)
# What is counted of a message.
KINDS: Final = ("samples", "histograms", "exemplars")
_SHOWN_REASONS: Final = 5


class Writes:
    """Stores messages of one server and books what became of them; use it on one event loop."""

    def __init__(
        self, commit: Commit, telemetry: Telemetry, ledger: Ledger, rates: Rates, settlement: Settlement
    ) -> None:
        self._commit = commit
        self._telemetry = telemetry
        self._ledger = ledger
        self._rates = rates
        self._settlement = settlement

    def admit(self, tenant: str) -> None:
        """Count a payload; raise RateExceeded where the tenant has sent too much already."""
        self._rates.admit(tenant)

    async def store(
        self, body: Body, raw: bytes, sender: Sender, dropped: Mapping[str, int] | None = None
    ) -> Verdict:
        """Return what became of a message once that is on disk.

        `raw` is what came, `dropped` are points that came and are not in the message, by reason. Raises Undecodable
        for what is no message, Overloaded for what has to wait, and what the commit raises.
        """
        verdict = await self._commit.submit(body)
        if dropped:
            verdict = _with_dropped(verdict, dropped)
        repeated = self._settlement.settle(body, raw, sender, verdict)
        self._count(body.tenant, verdict, repeated=repeated)
        return verdict

    def refuse(self, sender: Sender, raw: bytes, reason: str) -> None:
        """Book a payload that is refused as a whole."""
        self._telemetry.refused_writes.labels(sender.tenant, reason).inc()
        self._ledger.refuse(sender, len(raw), reason)

    def _count(self, tenant: str, verdict: Verdict, *, repeated: bool) -> None:
        for kind in KINDS:
            for fate, number in verdict.written.get(kind, {}).items():
                if fate == STORED:
                    self._telemetry.written.labels(tenant, kind).inc(0 if repeated else number)
                else:
                    self._telemetry.unwritten.labels(tenant, kind, fate).inc(number)


def _with_dropped(verdict: Verdict, dropped: Mapping[str, int]) -> Verdict:
    written = {**verdict.written, "samples": Counter(verdict.written.get("samples", {})) + Counter(dropped)}
    return replace(verdict, written=written, points=Counter(verdict.points) + Counter(dropped))


def refused(verdict: Verdict) -> Counter[str]:
    """Return what was refused of a message, by reason: samples and histograms, or else whole series."""
    reasons: Counter[str] = Counter()
    for kind in ("samples", "histograms", "series"):
        fates = verdict.written.get(kind, {})
        if kind != "series" or not reasons:
            reasons.update({reason: n for reason, n in fates.items() if reason not in _NO_REFUSALS})
    return reasons


def shown(reasons: Counter[str]) -> str:
    """Return the most frequent reasons as a text, and how many there are of others."""
    most = reasons.most_common(_SHOWN_REASONS)
    texts = [f"{number} {reason}" for reason, number in most]
    if left := reasons.total() - sum(number for _, number in most):
        texts.append(f"{left} for other reasons")
    return ", ".join(texts)
