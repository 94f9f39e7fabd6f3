"""Regular expressions of queries: RE2's syntax and linear time, anchored at both ends, by Arrow's build of RE2."""

from functools import lru_cache

import pyarrow as pa
import pyarrow.compute as pc


def anchored(pattern: str) -> str:
    """Return the pattern that matches whole values; `.` matches line ends, as Prometheus has it."""
    return f"^(?s:{pattern})$"


@lru_cache(maxsize=1024)
def fault(pattern: str) -> str:
    """Return why a pattern is invalid, or nothing."""
    try:
        pc.match_substring_regex(pa.array([""]), anchored(pattern))
    except (pa.ArrowInvalid, UnicodeEncodeError) as error:
        return str(error).removeprefix("Invalid regular expression: ")
    return ""


@lru_cache(maxsize=1024)
def matches(pattern: str, value: str) -> bool:
    """Whether a whole value matches; the pattern is valid."""
    return bool(pc.match_substring_regex(pa.array([value]), anchored(pattern))[0].as_py())
