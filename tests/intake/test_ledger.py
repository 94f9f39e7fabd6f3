"""How much the books hold while they cannot be written."""

from opstrace.intake.ledger import MAX_SENDERS, Ledger
from opstrace.intake.senders import Sender


def test_senders_are_bounded_however_often_the_books_cannot_be_written() -> None:
    ledger = Ledger()
    for turn in range(3):
        for number in range(MAX_SENDERS):
            ledger.keep(Sender("t", f"host-{turn}-{number}", "7"), 1)
        ledger.give_back(ledger.take())
    lines = ledger.take()
    assert len({line.sender for line in lines}) <= MAX_SENDERS + 1
    payloads = [n for line, n in lines.items() if (line.unit, line.outcome) == ("payloads", "received")]
    assert sum(payloads) == 3 * MAX_SENDERS
