"""The books: what every sender sent, and what became of it.

Payloads, their bytes, series, points, logs, events and facts of hosts are booked by tenant, host and version of the
sender. What is received is stored, refused for a reason, kept raw, or a duplicate; nothing else can happen to it. The
books lie in memory until they are written to the store, and begin anew then.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from opstrace.intake.payload import STORED, Verdict

# Senders booked by name between two writings; those beyond share one line a tenant.
MAX_SENDERS: Final = 10_000
OTHERS: Final = "(others)"


class Unit(StrEnum):
    """What is counted."""

    PAYLOADS = "payloads"
    BYTES = "bytes"  # of bodies, as they came
    SERIES = "series"
    POINTS = "points"
    LOGS = "logs"
    EVENTS = "events"
    FACTS = "facts"  # what is said of hosts: sets of tags, and documents


class Outcome(StrEnum):
    """What became of it; RECEIVED is the sum of the four after it, LATE a part of what was stored."""

    RECEIVED = "received"
    STORED = "stored"
    REFUSED = "refused"
    KEPT = "kept"
    DUPLICATE = "duplicate"
    LATE = "late"
    DROPPED = "dropped"  # kept once, then gone by a bound, or damaged
    REPLAYED = "replayed"  # kept once, then fed to a decoder


@dataclass(frozen=True, slots=True)
class Sender:
    """Who sent something: an Agent is known by the host it names and by its version."""

    tenant: str
    host: str = ""
    version: str = ""


@dataclass(frozen=True, slots=True)
class Line:
    """What one number of the books is about."""

    sender: Sender
    unit: Unit
    outcome: Outcome
    reason: str = ""


class Ledger:
    """The books since they were last written; use it on one event loop."""

    def __init__(self) -> None:
        self._totals: Counter[Line] = Counter()
        self._senders: set[Sender] = set()

    def refuse(self, sender: Sender, size_bytes: int, reason: str) -> None:
        """Book a payload that was refused as a whole; what was in it nobody knows."""
        self._payload(sender, size_bytes, Outcome.REFUSED, reason)

    def keep(self, sender: Sender, size_bytes: int) -> None:
        """Book a payload that is kept as it came."""
        self._payload(sender, size_bytes, Outcome.KEPT)

    def settle(self, sender: Sender, size_bytes: int | None, verdict: Verdict, *, repeated: bool) -> None:
        """Book a payload that was decoded, and all in it; what is stored of a repeated one was there before.

        Without a size the payload was booked before, and only what is in it is news.
        """
        stored = Outcome.DUPLICATE if repeated else Outcome.STORED
        if size_bytes is not None:
            self._payload(sender, size_bytes, stored)
        contents = {
            Unit.SERIES: verdict.series,
            Unit.POINTS: verdict.points,
            Unit.LOGS: verdict.logs,
            Unit.EVENTS: verdict.events,
            Unit.FACTS: verdict.facts,
        }
        for unit, fates in contents.items():
            self._contents(sender, unit, fates, stored)
        if verdict.late and not repeated:
            self._add(Line(self._named(sender), Unit.POINTS, Outcome.LATE), verdict.late)

    def drop(self, tenant: str, payloads: int, size_bytes: int, reason: str) -> None:
        """Book kept payloads that went by a bound, or were damaged."""
        self._add(Line(Sender(tenant), Unit.PAYLOADS, Outcome.DROPPED, reason), payloads)
        self._add(Line(Sender(tenant), Unit.BYTES, Outcome.DROPPED, reason), size_bytes)

    def replay(self, sender: Sender, fate: str) -> None:
        """Book a kept payload that was fed to today's decoders, and what became of it."""
        self._add(Line(self._named(sender), Unit.PAYLOADS, Outcome.REPLAYED, fate), 1)

    def take(self) -> dict[Line, int]:
        """Return everything booked, and begin anew."""
        taken, self._totals, self._senders = dict(self._totals), Counter(), set()
        return taken

    def give_back(self, totals: Mapping[Line, int]) -> None:
        """Book again what was taken and could not be written."""
        self._totals.update(totals)
        self._senders.update(line.sender for line in totals)

    def _payload(self, sender: Sender, size_bytes: int, outcome: Outcome, reason: str = "") -> None:
        sender = self._named(sender)
        for unit, number in ((Unit.PAYLOADS, 1), (Unit.BYTES, size_bytes)):
            self._add(Line(sender, unit, Outcome.RECEIVED), number)
            self._add(Line(sender, unit, outcome, reason), number)

    def _contents(self, sender: Sender, unit: Unit, fates: Mapping[str, int], stored: Outcome) -> None:
        sender = self._named(sender)
        for fate, number in fates.items():
            self._add(Line(sender, unit, Outcome.RECEIVED), number)
            kept_well = fate == STORED
            self._add(Line(sender, unit, stored if kept_well else Outcome.REFUSED, "" if kept_well else fate), number)

    def _add(self, line: Line, number: int) -> None:
        if number:
            self._totals[line] += number

    def _named(self, sender: Sender) -> Sender:
        if sender not in self._senders and len(self._senders) >= MAX_SENDERS:
            sender = Sender(sender.tenant, OTHERS, OTHERS)
        self._senders.add(sender)
        return sender
