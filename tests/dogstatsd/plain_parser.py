"""The grammar of lines written down once more, as plainly as can be: a character at a time, slowly.

It judges the parser: where the two differ one is wrong. The reference is dogstatsd-and-sketches.md, sections 3, 6, 7.
"""

import math
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

DIGITS = b"0123456789"


class Refused(Exception):
    """The line is none; the argument says why."""


@dataclass
class Said:
    """What a line says: `what` it is, and its parts by name."""

    what: str
    parts: dict[str, Any] = field(default_factory=dict)


def parse(line: bytes) -> Said:
    if line[:3] == b"_e{":
        return event(line)
    if line[:3] == b"_sc":
        return service_check(line)
    return metric(line)


def fields_of(line: bytes) -> list[bytes]:
    """Return what stands between pipes."""
    found, current = [], b""
    for byte in line:
        if byte == ord("|"):
            found.append(current)
            current = b""
        else:
            current += bytes([byte])
    return [*found, current]


def metric(line: bytes) -> Said:
    fields = fields_of(line)
    if len(fields) < 2:
        raise Refused("no_type")
    name = value = b""
    seen = False
    for byte in fields[0]:
        if byte == ord(":") and not seen:
            seen = True
        elif seen:
            value += bytes([byte])
        else:
            name += bytes([byte])
    if not name:
        raise Refused("no_name")
    if not value:
        raise Refused("no_value")
    word = fields[1]
    if word not in (b"c", b"g", b"h", b"ms", b"d", b"s"):
        raise Refused("unknown_type")
    said = Said("metric", {"name": text(name), "kind": word.decode(), "rate": 1.0, "tags": (), "timestamp": None})
    if word == b"s":
        said.parts |= {"member": value, "values": ()}
    else:
        items = [item for item in value.split(b":") if item != b""]
        if not items:
            raise Refused("bad_value")
        said.parts |= {"member": b"", "values": tuple(number(item, "bad_value") for item in items)}
    for one in fields[2:]:
        if one[:1] == b"#":
            said.parts["tags"] = tags(one)
        if one[:1] == b"@":
            said.parts["rate"] = number(one[1:], "bad_rate")
        if one[:1] == b"T":
            time = integer(one[1:])
            if time is None or time < 1:
                raise Refused("bad_timestamp")
            said.parts["timestamp"] = time
    return said


def event(line: bytes) -> Said:
    place = line.find(b":")
    if place < 7:
        raise Refused("bad_event")
    lengths = line[3 : place - 1].split(b",", 1)
    if len(lengths) < 2:
        raise Refused("bad_event")
    of_title, of_text = integer(lengths[0]), integer(lengths[1])
    body = line[place + 1 :]
    if of_title is None or of_text is None or of_title < 1 or of_text < 0 or len(body) < of_title + 1 + of_text:
        raise Refused("bad_event")
    said = Said("event", {"time_s": 0, "host": "", "aggregation_key": "", "priority": "normal", "source_type": ""})
    said.parts |= {
        "title": text(body[:of_title].replace(b"\\n", b"\n")),
        "text": text(body[of_title + 1 : of_title + 1 + of_text].replace(b"\\n", b"\n")),
        "alert_type": "info",
        "tags": (),
    }
    names = {b"h:": "host", b"k:": "aggregation_key", b"s:": "source_type"}
    allowed = {
        b"p:": ("priority", (b"normal", b"low")),
        b"t:": ("alert_type", (b"error", b"warning", b"info", b"success")),
    }
    for one in fields_of(body[of_title + 1 + of_text + 1 :]):
        head, rest = one[:2], one[2:]
        if one[:1] == b"#":
            said.parts["tags"] = tags(one)
        elif head in names:
            said.parts[names[head]] = text(rest)
        elif head in allowed and rest in allowed[head][1]:
            said.parts[allowed[head][0]] = rest.decode()
        elif head == b"d:" and integer(rest) is not None:
            said.parts["time_s"] = max(integer(rest) or 0, 0)
    return said


def service_check(line: bytes) -> Said:
    fields = fields_of(line)
    if fields[0] != b"_sc" or len(fields) < 3 or fields[1] == b"" or fields[2] not in (b"0", b"1", b"2", b"3"):
        raise Refused("bad_service_check")
    said = Said("check", {"name": text(fields[1]), "status": int(fields[2]), "time_s": 0, "host": "", "message": ""})
    said.parts["tags"] = ()
    for one in fields[3:]:
        head, rest = one[:2], one[2:]
        if one[:1] == b"#":
            said.parts["tags"] = tags(one)
        elif head == b"h:":
            said.parts["host"] = text(rest)
        elif head == b"m:":
            said.parts["message"] = text(rest)
        elif head == b"d:" and integer(rest) is not None:
            said.parts["time_s"] = max(integer(rest) or 0, 0)
    return said


def tags(one: bytes) -> tuple[str, ...]:
    return tuple(text(part) for part in one[1:].split(b",")) if len(one) > 1 else ()


def text(raw: bytes) -> str:
    return raw.decode("utf-8", "replace")


def integer(raw: bytes) -> int | None:
    """Return a decimal integer that 64 bits hold."""
    unsigned = raw[1:] if raw[:1] in (b"+", b"-") else raw
    if not unsigned or any(byte not in DIGITS for byte in unsigned):
        return None
    found = 0
    for byte in unsigned:
        found = found * 10 + byte - ord("0")
        if found > 2**64:
            return None
    found = -found if raw[:1] == b"-" else found
    return found if -(2**63) <= found < 2**63 else None


def number(raw: bytes, reason: str) -> float:
    """Return a number by the grammar of Go's floats, read digit by digit and rounded once."""
    try:
        lowered = raw.decode("ascii").lower()
    except UnicodeDecodeError:
        raise Refused(reason) from None
    sign = -1 if lowered[:1] == "-" else 1
    unsigned = lowered[1:] if lowered[:1] in ("+", "-") else lowered
    if unsigned in ("inf", "infinity"):
        return sign * math.inf
    if lowered == "nan":
        return math.nan
    hexadecimal = unsigned[:2] == "0x"
    mantissa, exponent = _mantissa(unsigned[2:] if hexadecimal else unsigned, 16 if hexadecimal else 10, reason)
    scaled = mantissa * Fraction(2 if hexadecimal else 10) ** max(min(exponent, 5000), -5000)
    try:
        found = float(scaled)
    except OverflowError:
        raise Refused(reason) from None
    if math.isinf(found):
        raise Refused(reason)
    return sign * found if found or sign > 0 else -0.0


def _mantissa(unsigned: str, base: int, reason: str) -> tuple[Fraction, int]:
    mark = "p" if base == 16 else "e"
    digits, found, rest = unsigned.partition(mark)
    if base == 16 and not found:  # Go wants it there
        raise Refused(reason)
    whole, _, part = digits.partition(".")
    allowed = "0123456789abcdef"[:base]
    if not _well_formed(digits, allowed, after_prefix=base == 16) or not (whole + part).replace("_", ""):
        raise Refused(reason)
    exponent = integer(rest.replace("_", "").encode()) if found else 0
    if found and not rest.lstrip("+-"):
        raise Refused(reason)
    if found and not _well_formed(rest.lstrip("+-") if len(rest) - len(rest.lstrip("+-")) < 2 else "?", "0123456789"):
        raise Refused(reason)
    if exponent is None:
        exponent = -5000 if rest.startswith("-") else 5000
    value = Fraction(0)
    for digit in (whole + part).replace("_", ""):
        value = value * base + allowed.index(digit)
    return value / base ** len(part.replace("_", "")), exponent


def _well_formed(digits: str, allowed: str, *, after_prefix: bool = False) -> bool:
    """Say whether there are only digits and one dot at most, each underscore between two digits."""
    if digits.count(".") > 1 or any(c not in allowed + "._" for c in digits):
        return False
    for place, c in enumerate(digits):
        before = digits[place - 1] if place else ("0" if after_prefix else "")
        after = digits[place + 1] if place + 1 < len(digits) else ""
        if c == "_" and not (before and before in allowed and after and after in allowed):
            return False
    return True
