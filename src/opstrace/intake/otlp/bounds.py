"""How much there is in an export of OpenTelemetry, found before it is decoded; pure.

Decoding makes an object of what may be two bytes on the wire, and a thousand times that once it is inflated.
"""

from typing import Final

from opstrace.errors import PayloadTooLarge, Undecodable
from opstrace.intake.density import count_of
from opstrace.intake.otlp.kinds import REQUEST
from opstrace.intake.series.columns import varint
from opstrace.protobuf_wire import BYTES, FIXED32, FIXED64, VARINT

# Fields of an export in protobuf, those of messages in it included; a point with eight attributes has forty.
MAX_FIELDS: Final = 1_000_000
# What is more than the values of one in JSON, which takes several times as long: its commas and opening brackets.
MAX_JSON_VALUES: Final = 500_000

_SMALLEST_FIELD: Final = 2  # bytes
_SIZES: Final = {FIXED64: 8, FIXED32: 4, 3: 0, 4: 0}  # the last two begin and end a group


def check_json(content: bytes) -> None:
    """Raise PayloadTooLarge where there may be more values than are decoded, Undecodable where there is no object."""
    if not content.lstrip().startswith(b"{"):
        raise Undecodable("the body is no ExportMetricsServiceRequest in JSON: it is no object")
    if count_of(content, b",{[") > MAX_JSON_VALUES:
        raise PayloadTooLarge(f"payload too large: more than {MAX_JSON_VALUES} values; send it in parts")


def check_protobuf(content: bytes) -> None:
    """Raise PayloadTooLarge where there are more fields than are decoded, Undecodable where they cannot be told."""
    if len(content) <= MAX_FIELDS * _SMALLEST_FIELD:
        return
    try:
        fields = _fields_in(content)
    except Undecodable:
        raise Undecodable("the body is no ExportMetricsServiceRequest in protobuf: a field is cut short") from None
    if fields > MAX_FIELDS:
        raise PayloadTooLarge(f"payload too large: more than {MAX_FIELDS} fields; send it in parts")


def _fields_in(content: bytes) -> int:
    """Return how many fields a request has, not many more than are allowed; raise Undecodable for what is none."""
    fields, waiting = 0, [(0, len(content), REQUEST)]
    while waiting and fields <= MAX_FIELDS:
        place, end, kinds = waiting.pop()
        while place < end and fields <= MAX_FIELDS:
            fields += 1
            key, place = varint(content, place)
            kind = key & 7
            if kind == VARINT:
                _, place = varint(content, place)
                continue
            if kind != BYTES:
                place += _size(kind)
                continue
            size, place = varint(content, place)
            if size and (inner := kinds.messages.get(key >> 3)) is not None:
                waiting.append((place, place + size, inner))
            place += size
        if place > end:
            raise Undecodable("a field is cut short")
    return fields


def _size(kind: int) -> int:
    if kind not in _SIZES:
        raise Undecodable(f"{kind} is no kind of field")
    return _SIZES[kind]
