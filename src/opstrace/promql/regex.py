"""Regular expressions of queries: RE2's syntax and linear time, anchored at both ends, by Arrow's build of RE2."""

import re
from collections.abc import Sequence
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


def quoted(text: str) -> str:
    """Return the pattern that matches this text only."""
    return re.sub(r"([!-/:-@\[-^`{-~])", r"\\\1", text)


@lru_cache(maxsize=1024)
def matches(pattern: str, value: str) -> bool:
    """Whether a whole value matches; the pattern is valid."""
    return bool(pc.match_substring_regex(pa.array([value]), anchored(pattern))[0].as_py())


def expanded(pattern: str, template: str, values: Sequence[str]) -> list[str | None]:
    """Return the template filled in for each value that matches as a whole, None for the others.

    The template is Go's (`$1`, `${1}`, `${name}`, `$$`); a group that does not exist is empty.
    """
    found = pa.array(values, type=pa.string())
    matched = pc.match_substring_regex(found, anchored(pattern))
    filled = pc.replace_substring_regex(found, anchored(pattern), _rewrite(pattern, template))
    return [text if hit else None for text, hit in zip(filled.to_pylist(), matched.to_pylist(), strict=True)]


_REFERENCE = re.compile(r"\$(?:\$|(\w+)|\{(\w+)\})|(.)", re.DOTALL)
_GROUP = re.compile(r"\\.|\[(?:\\.|\[:\w+:\]|[^\\\]])*\]|\((?!\?)|\(\?P?<(\w+)>", re.DOTALL)


def _rewrite(pattern: str, template: str) -> str:
    """Return a Go template as RE2 spells it, `\\1`."""
    names = [match[1] or "" for match in _GROUP.finditer(pattern) if match[0].startswith("(")]
    return "".join(_reference(match, names) for match in _REFERENCE.finditer(template))


def _reference(match: re.Match[str], names: Sequence[str]) -> str:
    if match[3] is not None:
        return "\\\\" if match[3] == "\\" else match[3]
    name = match[1] or match[2]
    if name is None:
        return "$"
    group = int(name) if name.isdigit() else names.index(name) + 1 if name in names else -1
    return f"\\{group}" if 0 <= group <= min(len(names), 9) else ""
