"""Prometheus durations as text: `1h30m`, `90s`, `250ms`, `0`."""

import re

from opstrace.errors import BadQuery

# Units from the largest to the smallest, each at most once, and their milliseconds; a year is 365 days
# (prometheus/common: model/time.go).
_UNITS_MS = {
    "y": 365 * 24 * 3_600_000,
    "w": 7 * 24 * 3_600_000,
    "d": 24 * 3_600_000,
    "h": 3_600_000,
    "m": 60_000,
    "s": 1_000,
    "ms": 1,
}
_DURATION = re.compile("".join(rf"(?:(?P<{unit}>[0-9]{{1,20}}){unit}(?![a-z]))?" for unit in _UNITS_MS))
# What Prometheus's 64-bit nanoseconds can hold.
_LONGEST_MS = (2**63 - 1) // 1_000_000


def parse_duration(text: str) -> int:
    """Return a duration in milliseconds; raise BadQuery when the text is none."""
    if text == "0":
        return 0
    match = _DURATION.fullmatch(text)
    if not text or match is None:
        raise BadQuery(f'not a valid duration string: "{text}"')
    duration_ms = sum(int(count) * _UNITS_MS[unit] for unit, count in match.groupdict("0").items())
    if duration_ms > _LONGEST_MS:
        raise BadQuery(f'duration out of range: "{text}"')
    return duration_ms
