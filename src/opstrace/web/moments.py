"""Moments as clients write them: numbers, dates, and `now-15m`."""

import math
import re
from datetime import UTC, datetime
from typing import Final

from opstrace.errors import BadQuery

_LATEST_S: Final = 4e9
# From here on a number is of milliseconds.
_MILLISECONDS: Final = 1e11
_RELATIVE: Final = re.compile(r"now(?:\s*([-+])\s*([0-9]{1,9})\s*(s|m|h|d|w|mo|y))?")
_DECIMAL: Final = re.compile(r"[0-9]+(?:\.[0-9]*)?")
_SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800, "mo": 2_592_000, "y": 31_536_000}


def parse_s(text: str, name: str) -> float:
    """Return a time in seconds since 1970, given as that or as an RFC 3339 date; raise BadQuery for anything else."""
    try:
        moment = float(text)
    except ValueError:
        moment = _date(text, name)
    if not math.isfinite(moment) or not 0 <= moment < _LATEST_S:
        raise _invalid(text, name)
    return moment


def parse_ms(text: str, name: str, now_ms: int) -> int:
    """Return a time in milliseconds, given as that, in seconds, as a date, or as `now-15m`; raise BadQuery."""
    text = text.strip()
    if found := _RELATIVE.fullmatch(text):
        distance_ms = 1000 * int(found[2] or 0) * _SECONDS[found[3] or "s"]
        return max(now_ms + distance_ms if found[1] == "+" else now_ms - distance_ms, 0)
    if _DECIMAL.fullmatch(text) and float(text) >= _MILLISECONDS:
        return round(parse_s(f"{float(text) / 1000:.3f}", name) * 1000)
    return round(parse_s(text, name) * 1000)


def _date(text: str, name: str) -> float:
    try:
        moment = datetime.fromisoformat(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError) as error:
        raise _invalid(text, name) from error


def _invalid(text: str, name: str) -> BadQuery:
    return BadQuery(f"{name}: {text[:40]!r} is not a time in seconds since 1970 or an RFC 3339 date")
