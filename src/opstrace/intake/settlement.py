"""What follows a commit for each payload: its sender hears of faults, its points are spent, the books have it."""

from opstrace.errors import Overloaded, Undecodable
from opstrace.intake.ledger import Ledger, Sender
from opstrace.intake.payload import Body, Verdict
from opstrace.intake.rates import Rates
from opstrace.intake.repeats import Repeats


class Settlement:
    """Settles payloads of one server, whatever their protocol; use it on one event loop."""

    def __init__(self, ledger: Ledger, rates: Rates) -> None:
        self._ledger = ledger
        self._rates = rates
        self._repeats = Repeats()

    def settle(self, body: Body, raw: bytes, sender: Sender, verdict: Verdict, *, booked: bool = False) -> bool:
        """Book what became of a payload, `raw` as it came, and say whether all that is stored of it had come before.

        `booked` says that it was booked when it came, and only what is in it is news. Raises Undecodable for what is
        broken, and Overloaded for what has to wait.
        """
        if verdict.fault:
            raise Undecodable(verdict.fault)
        if verdict.put_off:
            raise Overloaded("the tags of what came together are too much for one commit; try again")
        self._rates.spend(body.tenant, sum(verdict.points.values()))
        repeated = verdict.repeatable and verdict.stored > 0 and self._repeats.note(body, raw, verdict.stored)
        self._ledger.settle(sender, None if booked else len(raw), verdict, repeated=repeated)
        return repeated

    def forget(self, tenant: str) -> None:
        """Know nothing of what came of a tenant any more: it was removed."""
        self._repeats.forget(tenant)
