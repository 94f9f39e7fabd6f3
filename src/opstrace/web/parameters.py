"""The parameters of a Prometheus API request: their text to typed values.

Forms and limits are Prometheus's (prometheus/prometheus: web/api/v1/api.go); everything raises BadQuery with the
parameter's name.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import parse_qsl

from opstrace.errors import BadQuery
from opstrace.promql.duration import parse_duration

# A form or query string with more fields than this is refused.
MAX_FIELDS = 10_000
# What Prometheus's 64-bit nanoseconds can hold, in ms: from 1677 to 2262. Times beyond are moved to it.
EARLIEST_MS = -(2**63) // 1_000_000 + 1
LATEST_MS = 2**63 // 1_000_000

_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_RFC3339 = re.compile(
    r"(?P<date>[0-9]{4}-[0-9]{2}-[0-9]{2})[Tt](?P<time>[0-9]{2}:[0-9]{2}:[0-9]{2})(?:\.(?P<fraction>[0-9]+))?"
    r"(?:[Zz]|(?P<offset>[+-][0-9]{2}:[0-9]{2}))"
)
_COUNT = re.compile(r"[+-]?[0-9]{1,18}")


def invalid(name: str, why: str) -> BadQuery:
    """Return the refusal of a parameter."""
    return BadQuery(f'invalid parameter "{name}": {why}')


@dataclass(frozen=True, slots=True)
class Parameters:
    """Pairs of name and value; those of a form come before those of the address and win."""

    pairs: Sequence[tuple[str, str]]

    @classmethod
    def read(cls, query_string: str, form: str = "") -> "Parameters":
        """Split an address's query string and a posted form."""
        try:
            pairs = [
                pair
                for text in filter(None, (form, query_string))
                for pair in parse_qsl(text, keep_blank_values=True, max_num_fields=MAX_FIELDS)
            ]
        except ValueError as error:
            raise BadQuery(f"error parsing form values: {error}") from None
        return cls(pairs)

    def every(self, name: str) -> list[str]:
        """Return all values of a parameter that may be repeated."""
        return [value for key, value in self.pairs if key == name]

    def text(self, name: str) -> str:
        """Return the first value, or nothing."""
        return next((value for key, value in self.pairs if key == name), "")

    def time_ms(self, name: str, otherwise: int) -> int:
        """Return a time, RFC 3339 or seconds since the epoch, in ms."""
        text = self.text(name)
        if not text:
            return otherwise
        time_ms = _time_ms(text)
        if time_ms is None:
            raise invalid(name, f'cannot parse "{text}" to a valid timestamp')
        return min(max(time_ms, EARLIEST_MS), LATEST_MS)

    def duration_ms(self, name: str, otherwise: int) -> int:
        """Return a duration, as `1m30s` or seconds, in ms; negative ones are let through."""
        text = self.text(name)
        return _duration_ms(name, text) if text else otherwise

    def count(self, name: str) -> int:
        """Return a limit; 0 stands for none."""
        text = self.text(name)
        if not text:
            return 0
        if not _COUNT.fullmatch(text):
            raise invalid(name, f'cannot parse "{text}" to a whole number')
        if int(text) < 0:
            raise invalid(name, "limit must be non-negative")
        return int(text)


# What client libraries of Go send for the earliest and the latest time there are.
_BOUNDARIES = {
    "-292273086-05-16T16:47:06Z": EARLIEST_MS,
    "292277025-08-18T07:12:54.999999999Z": LATEST_MS,
}


def _time_ms(text: str) -> int | None:
    if (boundary := _BOUNDARIES.get(text)) is not None:
        return boundary
    if _NUMBER.fullmatch(text):
        return _milliseconds(float(text))
    match = _RFC3339.fullmatch(text)
    if match is None:
        return None
    try:
        moment = datetime.fromisoformat(f"{match['date']}T{match['time']}{match['offset'] or '+00:00'}")
    except ValueError:
        return None
    return int(moment.timestamp()) * 1000 + int((match["fraction"] or "0")[:3].ljust(3, "0"))


def _milliseconds(seconds: float) -> int:
    """Round to ms; what no clock can show becomes the latest or earliest there is."""
    return round(min(max(seconds * 1000, EARLIEST_MS), LATEST_MS))


def _duration_ms(name: str, text: str) -> int:
    if _NUMBER.fullmatch(text):
        seconds = float(text)
        if abs(seconds) * 1000 > LATEST_MS:
            raise invalid(name, f'cannot parse "{text}" to a valid duration. It overflows int64')
        # Cut off as Go does it: to nanoseconds, then to milliseconds.
        milliseconds = int(abs(seconds) * 1e9) // 1_000_000
        return milliseconds if seconds >= 0 else -milliseconds
    try:
        return parse_duration(text)
    except BadQuery:
        raise invalid(name, f'cannot parse "{text}" to a valid duration') from None
