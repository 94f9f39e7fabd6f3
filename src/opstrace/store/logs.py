"""Logs, read: by time, by a plain substring of the message, by tags."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from opstrace.store.engine import Engine, Parameter, statement

# A quoted phrase, or a word.
_TERM: Final = re.compile(r'"([^"]*)"|(\S+)')
_TAG: Final = re.compile(r"[A-Za-z_@][\w./-]*:.+")
_COLUMNS: Final = ("host", "service", "source", "status")
MAX_TERMS: Final = 100


@dataclass(frozen=True, slots=True)
class Log:
    """One log as it is shown."""

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

    What is quoted is one substring, whatever it holds.
    """
    substrings, tags, columns = [], [], []
    for phrase, word in _TERM.findall(query)[:MAX_TERMS]:
        key, _, value = word.partition(":")
        if not word or not _TAG.fullmatch(word):
            substrings.append(phrase or word)
        elif key in _COLUMNS:
            columns.append((key, value))
        else:
            tags.append(word)
    return Filter(tuple(text for text in substrings if text), tuple(tags), tuple(columns))


class Logs:
    """The table of logs."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._select = statement("opstrace.store", "select_logs")

    def select(self, tenant: str, wanted: Filter, start_ms: int, end_ms: int, limit: int) -> list[Log]:
        """Return a tenant's youngest logs of a range of time; raises StoreError and QueryTimeout."""
        conditions = list(_conditions(wanted))
        parameters: dict[str, Parameter] = {name: value for _, name, value in conditions}
        sql = self._select.replace("{conditions}", " AND ".join(clause for clause, _, _ in conditions) or "1")
        with self._engine.reader() as connection:
            table = connection.read(sql, tenant=tenant, start_ms=start_ms, end_ms=end_ms, limit=limit, **parameters)
        return [Log(**row) for row in table.to_pylist()]


def _conditions(wanted: Filter) -> Iterator[tuple[str, str, str]]:
    """Yield clauses, each with its parameter's name and value."""
    for i, text in enumerate(wanted.substrings):
        yield f"position(message, {{text{i}:String}}) > 0", f"text{i}", text
    for i, tag in enumerate(wanted.tags):
        yield f"has(tags, {{tag{i}:String}})", f"tag{i}", tag
    for i, (column, value) in enumerate(wanted.columns):
        yield f"{column} = {{column{i}:String}}", f"column{i}", value
