"""Exports of OpenTelemetry with text that is not UTF-8, made legible; pure.

Not every SDK looks at what attributes hold, names of processes and paths for example, and a parser refuses the whole
export for one of them.
"""

import re
from typing import Final

from opstrace.errors import Undecodable
from opstrace.intake.otlp.kinds import REQUEST, Kinds
from opstrace.intake.repair import MAX_REPAIR_BYTES
from opstrace.protobuf_wire import BYTES, field, fields

# Half of a pair of surrogates, as JSON spells it.
_HALF: Final = re.compile(
    r"(?<!\\)((?:\\\\)*)(?:\\u[dD][89abAB][0-9a-fA-F]{2}(?!\\u[dD][c-fC-F])"
    r"|(?<!\\u[dD][89abAB][0-9a-fA-F]{2})\\u[dD][c-fC-F][0-9a-fA-F]{2})"
)


def legible_json(content: bytes) -> bytes:
    """Return an export in JSON with U+FFFD for what is no character; raise Undecodable where it is too large."""
    _check_size(content)
    return _HALF.sub("\\1\ufffd", content.decode("utf-8", "replace")).encode()


def legible_protobuf(content: bytes) -> bytes:
    """Return an export in protobuf with U+FFFD for what is no character; raise Undecodable where it is too large."""
    _check_size(content)
    return _legible(memoryview(content), REQUEST)


def _check_size(content: bytes) -> None:
    if len(content) > MAX_REPAIR_BYTES:
        raise Undecodable(
            f"the body cannot be read, nor mended if it is not UTF-8: {MAX_REPAIR_BYTES} bytes are the most"
        )


def _legible(message: memoryview, kinds: Kinds) -> bytes:
    written = []
    begin = 0
    for number, kind, place, end in fields(message):
        content = message[place:end]
        if kind == BYTES and number in kinds.texts:
            written.append(field(number, str(content, "utf-8", "replace").encode()))
        elif kind == BYTES and number in kinds.messages:
            written.append(field(number, _legible(content, kinds.messages[number])))
        else:
            written.append(bytes(message[begin:end]))
        begin = end
    return b"".join(written)
