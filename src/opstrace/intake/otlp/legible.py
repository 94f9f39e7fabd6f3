"""Exports of OpenTelemetry with text that is not UTF-8, made legible; pure.

Not every SDK looks at what attributes hold, names of processes and paths for example, and a parser refuses the whole
export for one of them.
"""

import re
from typing import Any, Final

from google.protobuf.descriptor import FieldDescriptor
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from opstrace.errors import Undecodable
from opstrace.intake.repair import MAX_REPAIR_BYTES
from opstrace.protobuf_wire import BYTES, field, fields

# Of a message: the numbers of fields that are texts, and of those that are messages, with theirs.
_Kinds = tuple[frozenset[int], dict[int, Any]]

# Half of a pair of surrogates, as JSON spells it.
_HALF: Final = re.compile(
    r"(?<!\\)((?:\\\\)*)(?:\\u[dD][89abAB][0-9a-fA-F]{2}(?!\\u[dD][c-fC-F])"
    r"|(?<!\\u[dD][89abAB][0-9a-fA-F]{2})\\u[dD][c-fC-F][0-9a-fA-F]{2})"
)


def legible_json(content: bytes) -> str:
    """Return an export in JSON with U+FFFD for what is no character."""
    return _HALF.sub("\\1\ufffd", content.decode("utf-8", "replace"))


def legible_protobuf(content: bytes) -> bytes:
    """Return an export in protobuf with U+FFFD for what is no character; raise Undecodable where it is too large."""
    if len(content) > MAX_REPAIR_BYTES:
        raise Undecodable(f"text in it is not UTF-8, and it has more than {MAX_REPAIR_BYTES} bytes")
    return _legible(memoryview(content), _REQUEST)


def _legible(message: memoryview, kinds: _Kinds) -> bytes:
    texts, messages = kinds
    written = []
    begin = 0
    for number, kind, place, end in fields(message):
        content = message[place:end]
        if kind == BYTES and number in texts:
            written.append(field(number, str(content, "utf-8", "replace").encode()))
        elif kind == BYTES and number in messages:
            written.append(field(number, _legible(content, messages[number])))
        else:
            written.append(bytes(message[begin:end]))
        begin = end
    return b"".join(written)


def _kinds(descriptor: Any, known: dict[str, _Kinds]) -> _Kinds:
    """Return the kinds of a message's fields; a value of an attribute may hold values."""
    if (found := known.get(descriptor.full_name)) is None:
        texts = frozenset(one.number for one in descriptor.fields if one.type == FieldDescriptor.TYPE_STRING)
        found = known[descriptor.full_name] = (texts, {})
        for one in descriptor.fields:
            if one.message_type is not None:
                found[1][one.number] = _kinds(one.message_type, known)
    return found


_REQUEST: Final = _kinds(ExportMetricsServiceRequest.DESCRIPTOR, {})
