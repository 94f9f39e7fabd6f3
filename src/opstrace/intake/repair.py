"""JSON that the engine's parser refuses, read by a slower and more patient one.

Python senders write NaN and Infinity, which are not JSON; Agents leave such a value out, as in `[1700000000,]`
(DataDog/datadog-agent: pkg/serializer/internal/metrics/iterable_series.go, version 0.77.0); some senders write text
that is not UTF-8. Whatever no parser can read is broken for ever.
"""

import json
import math
import re
from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Any, Final

import msgspec

from opstrace.errors import Undecodable
from opstrace.intake.payload import Body, Family, Findings, Numbered

# A document costs some ten times its size while Python holds it.
MAX_REPAIR_BYTES: Final = 8 * 1024 * 1024
_DOCUMENTS: Final = frozenset({Family.INTAKE, Family.INVENTORY, Family.EVENT_V1, Family.EVENT_V2})
_TOO_DEEP: Final = "the body is not valid JSON: nested too deeply"
# A string, whose end may be missing, or the beginning of a point without its value.
_STRING_OR_TIME: Final = re.compile(r'"(?:[^"\\]|\\.?)*(?:"|\Z)|\[-?[0-9.]+,(?=\])', re.DOTALL)
_NAMES: Final = {
    dict: "an object",
    list: "an array",
    str: "a string",
    bool: "a boolean",
    int: "a number",
    float: "a number",
}


def repair(family: Family, content: bytes) -> bytes | None:
    """Return a body in which the engine found no series as JSON that it can read; None when there are none in it.

    Numbers that are not finite are spelled out in points, where the engine reads and judges them, and are null
    elsewhere. Raises Undecodable, saying what is wrong where.
    """
    content = content.strip()
    if len(content) > MAX_REPAIR_BYTES:
        _check_is_large_json(family, content)
        return None
    text = content.decode("utf-8", "replace").strip()
    if not text:
        return None
    document = _parse(text)
    return _legible(document) if _elements(family, document) else None


def repair_lines(content: bytes, places: Sequence[int], *, as_text: bool) -> bytes | None:
    """Return a body with its lines at `places`, counted from 1, as the engine reads them; None if none is a log.

    `as_text`: what is no JSON is a log of that text.
    """
    lines = content.split(b"\n")
    repaired = {}
    if sum(len(lines[place - 1]) for place in places) <= MAX_REPAIR_BYTES:
        repaired = {place - 1: line for place in places if (line := _repaired_line(lines[place - 1], as_text))}
    return b"\n".join(repaired.get(i, line) for i, line in enumerate(lines)) if repaired else None


def _repaired_line(line: bytes, as_text: bool) -> bytes | None:
    text = line.decode("utf-8", "replace")
    try:
        document = _parse(text)
        return _legible(document) if isinstance(document, dict | str) else None
    except Undecodable:
        return _legible(text.strip("\r")) if as_text else None


def _legible(document: Any) -> bytes:
    """Return a document as the engine reads it: half of a surrogate pair, which JSON can spell, is no character."""
    try:
        text = json.dumps(document, ensure_ascii=False)
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace").encode()
    except RecursionError as error:
        raise Undecodable(_TOO_DEEP) from error


def _check_is_large_json(family: Family, content: bytes) -> None:
    """Raise Undecodable for what holds nothing but faults, without holding it as a document.

    A document of other things than lists may be well, and hold nothing that the engine looks for.
    """
    try:
        content.decode()
        msgspec.json.decode(content, type=msgspec.Raw)
    except (UnicodeDecodeError, msgspec.DecodeError, RecursionError) as error:
        raise Undecodable(f"the body is not valid JSON, and too large to be mended: {error}") from error
    if family not in _DOCUMENTS:
        raise Undecodable(f"there is nothing of {family.value} in the body, and it is too large to be mended")


def _spelled(value: Any, within: str = "") -> Any:
    """Return a document without numbers that JSON lacks; `within` is `points` inside such, else the last key."""
    match value:
        case dict():
            return {key: _spelled(inner, within if within == "points" else key) for key, inner in value.items()}
        case list():
            return [_spelled(inner, within) for inner in value]
        case float() if not math.isfinite(value):
            return str(value) if within == "points" else None
    return value


def _parse(text: str) -> Any:
    try:
        return _spelled(_loaded(text))
    except json.JSONDecodeError as error:
        raise Undecodable(f"the body is not valid JSON: {error.msg} at character {error.pos}") from error
    except ValueError as error:
        raise Undecodable("the body is not valid JSON: a number has too many digits") from error
    except RecursionError as error:
        raise Undecodable(_TOO_DEEP) from error


def _loaded(text: str) -> Any:
    try:
        return json.loads(text, object_pairs_hook=_object)
    except json.JSONDecodeError:
        if (whole := _STRING_OR_TIME.sub(_with_value, text)) == text:
            raise
        return json.loads(whole, object_pairs_hook=_object)


def _object(members: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return an object; of lists with one key, as Agents write groups of events, it has all that they hold.

    Elsewhere the last one counts (DataDog/datadog-agent: pkg/serializer/internal/metrics/events.go).
    """
    found = dict(members)
    if len(found) == len(members):
        return found
    found = {}
    for key, value in members:
        if isinstance(before := found.get(key), list) and isinstance(value, list):
            before.extend(value)
        else:
            found[key] = value
    return found


def _with_value(found: re.Match[str]) -> str:
    return f"{found[0]}null" if found[0].startswith("[") else found[0]


def _elements(family: Family, document: Any) -> list[Any]:
    """Return the series or checks of a document, or the keys of one that is more than a list."""
    if family in _DOCUMENTS:
        return _keys(document)
    if family is Family.LOGS:
        if not isinstance(document, dict | list):
            raise Undecodable(f"expected an array of logs, got {_name(document)}")
        return document if isinstance(document, list) else [document] if document else []
    if family is Family.CHECK_RUN:
        if not isinstance(document, dict | list):
            raise Undecodable(f"expected an array of service checks, got {_name(document)}")
        return document if isinstance(document, list) else [document] if document else []
    if document is None or document == []:
        return []
    if not isinstance(document, dict):
        raise Undecodable(f"expected an object with series, got {_name(document)}")
    if document and "series" not in document:
        raise Undecodable("expected an object with series, got one of other keys")
    series = document.get("series")
    if series is not None and not isinstance(series, list):
        raise Undecodable(f"series: expected an array, got {_name(series)}")
    return series or []


def _keys(document: Any) -> list[str]:
    if document is None or document == []:
        return []
    if not isinstance(document, dict):
        raise Undecodable(f"expected an object, got {_name(document)}")
    return list(document)


def _name(document: Any) -> str:
    return _NAMES.get(type(document), "null")


def repaired_bodies(bodies: Numbered, with_rows: Collection[int], findings: Findings) -> Numbered:
    """Return those without rows as bodies that the engine can read, but for empty ones and those with a fault."""
    repaired = {i: _repaired(body, i, findings) for i, body in bodies.items() if i not in with_rows}
    return {i: body for i, body in repaired.items() if body}


def _repaired(body: Body, i: int, findings: Findings) -> Body | None:
    try:
        repaired = repair(body.family, body.content)
    except Undecodable as error:
        findings.faults[i] = str(error)
        return None
    return replace(body, content=repaired) if repaired else None
