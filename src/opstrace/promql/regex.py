"""Regular expressions of queries: RE2's syntax and linear time, anchored at both ends, by Arrow's build of RE2."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from opstrace.golang import is_letter_or_digit
from opstrace.promql.utf8 import is_text, sayable


def anchored(pattern: str) -> str:
    """Return the pattern that matches whole values; `.` matches line ends, as Prometheus has it."""
    return f"^(?s:{pattern})$"


# What RE2 complains of, and how Go says it.
_COMPLAINTS = {
    "bad repetition operator": "invalid nested repetition operator",
    "invalid UTF-8": "invalid UTF-8",
    "invalid character class": "invalid character class",
    "invalid character class range": "invalid character class range",
    "invalid escape sequence": "invalid escape sequence",
    "invalid named capture group": "invalid named capture",
    "invalid perl operator": "invalid or unsupported Perl syntax",
    "invalid repetition size": "invalid repeat count",
    "missing )": "missing closing )",
    "missing ]": "missing closing ]",
    "no argument for repetition operator": "missing argument to repetition operator",
    "trailing \\": "trailing backslash at end of expression",
    "unexpected )": "unexpected )",
}
_COMPLAINT = re.compile(
    rf"(?P<what>{'|'.join(map(re.escape, sorted(_COMPLAINTS, reverse=True)))})(?:: (?P<part>.*))?", re.DOTALL
)
# `\C`, a single byte, is RE2's alone.
_ESCAPED = re.compile(r"\\Q.*?(?:\\E|\Z)|\\(?P<what>.)", re.DOTALL)


# What `{n,m}` stand for, written out: RE2 takes time by the square of that before it looks at any text, and cannot be
# interrupted.
MAX_REPEATED: Final = 10_000
_COUNTS = re.compile(r"\{(\d+)(?:,(\d*))?\}")
# What begins a group: its name or its flags are no parts of it.
_GROUP_HEAD = re.compile(r"\((?:\?P?<(?P<name>\w*)>|\?[A-Za-z-]*:?)?")
# An escape is one part, whatever it is made of.
_ESCAPE = re.compile(r"\\(?:[xpP]\{[^{}]*\}|.?)", re.DOTALL)
_QUOTED = re.compile(r"\\Q(?P<text>.*?)(?:\\E|\Z)", re.DOTALL)


def _repeated(pattern: str) -> int:
    """Return how many parts repetitions add to a pattern when they are written out, those in groups included.

    It looks at each character once. For an invalid pattern the result means nothing.
    """
    if "{" not in pattern:
        return 0
    begun: list[int] = []
    size = added = last = 0
    for part in _parts(pattern):
        if counts := _COUNTS.fullmatch(part):
            # RE2 refuses what has more than four digits.
            times = max(int(counts[1][:5]), int((counts[2] or "0")[:5]), 1)
            added += last * (times - 1)
            size += last * (times - 1)
            last *= times
            if added > MAX_REPEATED:
                break
        elif part.startswith("("):
            begun.append(size)
            last = 0
        elif part == ")":
            last = size - (begun.pop() if begun else 0)
        elif part not in ("*", "+", "?", "|"):
            quoted = _QUOTED.fullmatch(part)
            size += len(quoted["text"]) if quoted else 1
            last = 1
    return added


def _group_names(pattern: str) -> list[str]:
    """Return the names of a pattern's groups, those without one empty."""
    heads = (match for part in _parts(pattern) if (match := _GROUP_HEAD.fullmatch(part)))
    return [head["name"] or "" for head in heads if head["name"] or head[0] == "("]


def _parts(pattern: str) -> Iterator[str]:
    """Yield what a pattern is made of: classes, escapes, quoted texts, counts, heads of groups, else characters."""
    place = 0
    while place < len(pattern):
        end = _class_end(pattern, place) if pattern[place] == "[" else _form_end(pattern, place)
        yield pattern[place:end]
        place = end


# What begins with a character, if it has one of these forms.
_FORMS = {"\\": (_QUOTED, _ESCAPE), "(": (_GROUP_HEAD,), "{": (_COUNTS,)}


def _form_end(pattern: str, place: int) -> int:
    """Return where what has a form here ends; what has none is one character."""
    found = (form.match(pattern, place) for form in _FORMS.get(pattern[place], ()))
    return next((match.end() for match in found if match), place + 1)


def _class_end(pattern: str, place: int) -> int:
    """Return where a class of characters ends that begins here; the end of the pattern where it does not."""
    place += 2 if pattern.startswith("[^", place) else 1
    place += pattern.startswith("]", place)
    while place < len(pattern) and pattern[place] != "]":
        if pattern.startswith("[:", place) and (end := pattern.find(":]", place, place + 20)) > 0:
            place = end + 2
        else:
            place += 2 if pattern[place] == "\\" else 1
    return place + 1


@lru_cache(maxsize=1024)
def fault(pattern: str) -> str:
    """Return why a pattern is invalid, as Go says it, or nothing."""
    if not is_text(pattern):
        return f"error parsing regexp: invalid UTF-8: `{sayable(pattern)}`"
    if _repeated(pattern) > MAX_REPEATED:
        return f"error parsing regexp: expression too large: its repetitions stand for more than {MAX_REPEATED} parts"
    try:
        for form in (pattern, anchored(pattern)):
            pc.match_substring_regex(pa.array([""]), form)
    except pa.ArrowInvalid as error:
        return _in_go(str(error).removeprefix("Invalid regular expression: "))
    byte_wanted = any(match["what"] == "C" for match in _ESCAPED.finditer(pattern))
    return r"error parsing regexp: invalid escape sequence: `\C`" if byte_wanted else ""


def _in_go(complaint: str) -> str:
    match = _COMPLAINT.fullmatch(complaint)
    if match is None:
        return f"error parsing regexp: {complaint}"
    part = "" if match["what"].startswith("trailing") else match["part"] or ""
    return f"error parsing regexp: {_COMPLAINTS[match['what']]}: `{part}`"


def quoted(text: str) -> str:
    """Return the pattern that matches this text only."""
    return re.sub(r"([!-/:-@\[-^`{-~])", r"\\\1", text)


@lru_cache(maxsize=1024)
def matches(pattern: str, value: str) -> bool:
    """Whether a whole value matches; the pattern is valid."""
    return bool(pc.match_substring_regex(pa.array([value]), anchored(pattern))[0].as_py())


@dataclass(frozen=True, slots=True)
class Replacement:
    """What stands for a value that matches a pattern as a whole."""

    pattern: str  # anchored
    rewrite: str  # as RE2 spells it
    references: int

    def most_characters(self, values: Sequence[str]) -> int:
        """Return how many characters `of` makes of these values at most: no group is longer than its value."""
        return len(self.rewrite) * len(values) + (self.references + 1) * sum(map(len, values))

    def of(self, values: Sequence[str]) -> list[str | None]:
        """Return the template filled in for each value that matches, None for the others."""
        found = pa.array(values, type=pa.large_string())
        matched = pc.match_substring_regex(found, self.pattern)
        filled = pc.replace_substring_regex(found, self.pattern, self.rewrite)
        return [text if hit else None for text, hit in zip(filled.to_pylist(), matched.to_pylist(), strict=True)]


def replacement(pattern: str, template: str) -> Replacement:
    """Return a template for what matches a pattern.

    The template is Go's (`$1`, `${1}`, `${name}`, `$$`); a group that does not exist is empty.
    """
    pieces = list(_pieces(template))
    names = _group_names(pattern)
    rewrite = "".join(text.replace("\\", "\\\\") + _reference(name, names) for text, name in pieces)
    return Replacement(anchored(pattern), rewrite, len(pieces) - 1)


_NUMBER = re.compile("0|[1-9][0-9]{0,8}")


def _pieces(template: str) -> Iterator[tuple[str, str]]:
    """Yield each reference of a template with the text before it, and the text after the last with no name.

    Source: golang/go, src/regexp/regexp.go (expand, extract).
    """
    text, place = "", 0
    while (sign := template.find("$", place)) >= 0:
        text += template[place:sign]
        is_braced = template.startswith("{", sign + 1)
        start = end = sign + 1 + is_braced
        while end < len(template) and (template[end] == "_" or is_letter_or_digit(template[end])):
            end += 1
        if end > start and (not is_braced or template.startswith("}", end)):
            yield text, template[start:end]
            text, place = "", end + is_braced
        else:
            text, place = text + "$", sign + (2 if template.startswith("$$", sign) else 1)
    yield text + template[place:], ""


def _reference(name: str, names: Sequence[str]) -> str:
    """Return a reference as RE2 spells it, `\\1`; nothing for a group that is not there."""
    if not name:
        return ""
    group = int(name) if _NUMBER.fullmatch(name) else names.index(name) + 1 if name in names else -1
    return f"\\{group}" if 0 <= group <= min(len(names), 9) else ""
