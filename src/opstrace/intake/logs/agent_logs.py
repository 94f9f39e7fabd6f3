"""Logs as Agents send them: arrays of objects that have Datadog's own fields and no others.

One pass over a body finds all that they say. The engine, for which a log is a text to look for fields in, takes
much longer; it reads every form there is, says the same of this one, and has what differs in anything left to it.
(Of a key that is there twice the last counts here, the first there. No Agent writes such a log.)
"""

from itertools import chain
from operator import attrgetter
from typing import Annotated, Final

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from opstrace.intake.payload import Body, Numbered
from opstrace.ragged import owners, places
from opstrace.store.engine import Connection, statement

_PACKAGE: Final = "opstrace.intake.logs"
# Agents send 5 MB at most. While one text is read, or the tags in it are brought in order, no other thread runs.
MAX_READ_AT_ONCE_BYTES: Final = 8 << 20
MAX_TAGS_TEXT: Final = 16 * 1024
# From 1973 to 5138. Other numbers may count something else than milliseconds.
_Milliseconds = Annotated[int, msgspec.Meta(ge=10**11, lt=10**14)]


class _Log(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    message: str
    timestamp: _Milliseconds
    status: str = ""
    hostname: str = ""
    service: str = ""
    ddsource: str = ""
    ddtags: str = ""


_decode: Final = msgspec.json.Decoder(list[_Log]).decode
_TEXTS: Final = ("message", "status", "hostname", "service", "ddsource")


class AgentLogs:
    """Stages logs in this form."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._insert = statement(_PACKAGE, "agent_logs")

    def stage(self, bodies: Numbered, now_ms: int) -> tuple[frozenset[int], bool]:
        """Stage the bodies that have this form; return which these are, and whether a message looks like JSON."""
        read = {i: logs for i, body in bodies.items() if (logs := _read(body))}
        if not read:
            return frozenset(), False
        rows = self._rows({i: bodies[i] for i in read}, list(read.values()), now_ms)
        self._connection.execute(self._insert, rows=rows)
        of_program = pc.any(pc.starts_with(rows["message"], "{")).as_py()
        return frozenset(read), of_program

    def _rows(self, bodies: Numbered, read: list[list[_Log]], now_ms: int) -> pa.Table:
        """Return the rows of agent_logs.sql."""
        lengths = np.array([len(logs) for logs in read])
        of_logs = pa.array(owners(lengths))
        logs = list(chain.from_iterable(read))
        of_bodies = {
            "body": pa.array(list(bodies), pa.uint32()),
            "tenant": pa.array([body.tenant for body in bodies.values()]),
            "payload": pa.array([body.checksum for body in bodies.values()], pa.uint64()),
            "came_ms": pa.array([body.came_ms or now_ms for body in bodies.values()]),
        }
        return pa.table(
            {
                **{name: column.take(of_logs) for name, column in of_bodies.items()},
                "place": np.arange(1, len(logs) + 1) - np.repeat(places(lengths)[:-1], lengths),
                "timestamp": pa.array(list(map(attrgetter("timestamp"), logs)), pa.int64()),
                "tags": _tags(list(map(attrgetter("ddtags"), logs))),
                **{name: pa.array(list(map(attrgetter(name), logs)), pa.string()) for name in _TEXTS},
            }
        )


def _read(body: Body) -> list[_Log]:
    """Return the logs of a body, none of one that has another form or is larger than theirs."""
    if len(body.content) > MAX_READ_AT_ONCE_BYTES:
        return []
    try:
        logs = _decode(body.content)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return []
    texts = {log.ddtags for log in logs}
    # Tags may be a list in JSON.
    return [] if any(len(text) > MAX_TAGS_TEXT or text.startswith("[") for text in texts) else logs


def _tags(texts: list[str]) -> pa.ListArray:
    """Return what `log_tags_of` in staging.sql does; few texts differ."""
    found = pa.array(texts, pa.string()).dictionary_encode()
    lists = [sorted({tag.strip(" ") for tag in text.split(",")} - {""}) for text in found.dictionary.to_pylist()]
    return pa.array(lists, pa.list_(pa.string())).take(found.indices)
