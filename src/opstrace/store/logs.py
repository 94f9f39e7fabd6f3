"""Logs, read: by time, by a plain substring of the message, by tags."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from opstrace.errors import BadQuery
from opstrace.store.engine import Engine, Parameter, statement
from opstrace.store.place import LAST, Place
from opstrace.store.statements import filled

# A key with a value, either of which may be quoted, a quoted phrase, or a word.
_TERM: Final = re.compile(
    r'(?P<key>[A-Za-z_@][\w./-]*):(?!//)(?:"(?P<quoted>[^"]+)"(?!\S)|(?P<value>\S+))|"(?P<phrase>[^"]*)"|(?P<word>\S+)'
)
_COLUMNS: Final = ("host", "service", "source", "status")
MAX_TERMS: Final = 100
MAX_READ_BYTES: Final = 16 * 1024 * 1024
# What is asked for of logs.
_SIZE: Final = "length(message) + length(attributes) + arraySum(tag -> length(tag), tags) AS size_bytes"
_ALL: Final = (
    "id, toUnixTimestamp64Milli(timestamp) AS timestamp_ms, host, service, source, status, "
    "arrayMap(tag -> toString(tag), tags) AS tags, message, attributes"
)


@dataclass(frozen=True, slots=True)
class Log:
    """One log as it is shown."""

    id: int
    timestamp_ms: int
    host: str
    service: str
    source: str
    status: str
    tags: list[str]
    message: str
    attributes: str  # JSON, or empty


@dataclass(frozen=True, slots=True)
class Filter:
    """What logs are looked for: all substrings in the message, all tags, and these values of columns."""

    substrings: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    columns: tuple[tuple[str, str], ...] = ()


def parse_filter(query: str) -> Filter:
    """Read a query: `host:`, `service:`, `source:`, `status:` and tags by `key:value`, the rest is in the message.

    An address (`http://…`) is no tag. What is quoted is one substring, whatever it holds; the value behind a key may
    be quoted, too. Raises BadQuery.
    """
    terms = list(_TERM.finditer(query))
    if len(terms) > MAX_TERMS:
        raise BadQuery(f"query: more than {MAX_TERMS} words")
    substrings, tags, columns = [], [], []
    for term in terms:
        key, value = term["key"], term["quoted"] or term["value"]
        if not key:
            substrings.append(term["phrase"] or term["word"])
        elif key in _COLUMNS:
            columns.append((key, value.lower() if key == "status" else value))
        else:
            tags.append(f"{key}:{value}")
    return Filter(tuple(text for text in substrings if text), tuple(tags), tuple(columns))


class Logs:
    """The table of logs."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._select = statement("opstrace.store", "select_logs")

    def select(
        self, tenant: str, wanted: Filter, start_ms: int, end_ms: int, limit: int, before: Place = LAST
    ) -> tuple[list[Log], bool]:
        """Return a tenant's youngest logs of a range of time, and whether there are more than they may be.

        They are those before a place, `limit` at most, and together MAX_READ_BYTES, but one at least. Raises
        StoreError and QueryTimeout.
        """
        conditions = list(_conditions(wanted))
        clause = " AND ".join(clause for clause, _, _ in conditions) or "1"
        parameters: dict[str, Parameter] = {name: value for _, name, value in conditions}
        parameters |= {"tenant": tenant, "start_ms": start_ms, "end_ms": min(end_ms, before.time_ms)}
        parameters |= {"before_ms": before.time_ms, "before_id": before.id}
        sizes, logs = (filled(self._select, conditions=clause, columns=columns) for columns in (_SIZE, _ALL))
        with self._engine.reader() as connection:
            found = connection.read(sizes, limit=limit + 1, **parameters)["size_bytes"].to_numpy()
            fitting = min(max(int((found.cumsum() <= MAX_READ_BYTES).sum()), 1), limit)
            table = connection.read(logs, limit=fitting, **parameters)
        return [Log(**row) for row in table.to_pylist()], len(found) > fitting


def _conditions(wanted: Filter) -> Iterator[tuple[str, str, str]]:
    """Yield clauses, each with its parameter's name and value."""
    for i, text in enumerate(wanted.substrings):
        yield f"positionCaseInsensitiveUTF8(message, {{text{i}:String}}) > 0", f"text{i}", text
    for i, tag in enumerate(wanted.tags):
        yield f"has(tags, {{tag{i}:String}})", f"tag{i}", tag
    for i, (column, value) in enumerate(wanted.columns):
        yield f"{column} = {{column{i}:String}}", f"column{i}", value
