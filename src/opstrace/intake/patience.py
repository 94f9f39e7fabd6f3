"""Whose payloads wait for others to be committed with: small ones of Agents, unless these have many to send.

An Agent sends when its time has come, and does not mind to wait. One that works off what piled up while nobody
answered has its next payload ready whenever one is answered, and would be busy with waiting.
"""

from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from time import monotonic
from typing import Final

from opstrace.intake.senders import is_patient

# Of an Agent's bodies those up to here wait for others: a larger one is a commit's worth, and many may be behind it.
PATIENT_BYTES: Final = 128 * 1024
# A payload is the next of a row when it comes this soon after the answer to the one before, on the same connection.
NEXT_WITHIN_S: Final = 0.1
# What an Agent sends when its time has come; from there on it is working something off.
MOST_IN_A_ROW: Final = 16
MAX_CONNECTIONS: Final = 10_000


@dataclass(slots=True)
class _Row:
    """The payloads that came one after the other on a connection."""

    length: int = 0
    answered: float = 0.0


class Patience:
    """Knows the connections of senders that wait; use it on one event loop."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._rows: OrderedDict[str, _Row] = OrderedDict()

    def has(self, headers: Mapping[str, str], size_bytes: int, connection: str) -> bool:
        """Say whether a payload can wait for others; without a connection it is nobody's next."""
        if size_bytes > PATIENT_BYTES or not is_patient(headers):
            return False
        row = self._row(connection)
        row.length = row.length + 1 if self._clock() < row.answered + NEXT_WITHIN_S else 1
        return row.length <= MOST_IN_A_ROW

    def answered(self, connection: str) -> None:
        """Note that a payload that came on a connection is answered now."""
        if row := self._rows.get(connection):
            row.answered = self._clock()

    def _row(self, connection: str) -> _Row:
        if not connection:
            return _Row()
        row = self._rows.pop(connection, None) or _Row()
        self._rows[connection] = row
        if len(self._rows) > MAX_CONNECTIONS:
            self._rows.popitem(last=False)
        return row
