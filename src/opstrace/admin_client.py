"""What the command asks of a running server: its books, and to replay what it kept."""

from collections.abc import Iterable, Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final

from opstrace import client
from opstrace.config import SYSTEM_TENANT
from opstrace.errors import InstanceError
from opstrace.instance import Instance

_LONGEST_CELL: Final = 64
_OUTCOMES: Final = ("received", "stored", "refused", "kept", "duplicate", "late", "dropped", "replayed")


def ask(instance: Instance, method: str, path: str) -> Any:
    """Return the document a running instance answers at a path below /admin; raise InstanceError."""
    headers = {"DD-API-KEY": instance.probe_key(SYSTEM_TENANT)}
    status, document = client.answer_of(instance, SYSTEM_TENANT, method, path, headers)
    if status != HTTPStatus.OK:
        raise InstanceError(f"{instance.name} answered {status}: {'; '.join(document.get('errors', []))}")
    return document


def losses_table(entries: Iterable[Mapping[str, Any]]) -> list[list[str]]:
    """Return a row a sender and unit: numbers by outcome, and the reasons of refusals and drops."""
    senders: dict[tuple[str, ...], dict[str, int]] = {}
    reasons: dict[tuple[str, ...], dict[str, int]] = {}
    for entry in entries:
        key = tuple(str(entry[name]) for name in ("tenant", "host", "version", "unit"))
        numbers = senders.setdefault(key, dict.fromkeys(_OUTCOMES, 0))
        numbers[entry["outcome"]] += entry["total"]
        if entry["reason"]:
            of_sender = reasons.setdefault(key, {})
            of_sender[entry["reason"]] = of_sender.get(entry["reason"], 0) + entry["total"]
    head = ["TENANT", "HOST", "VERSION", "UNIT", *(outcome.upper() for outcome in _OUTCOMES), "REASONS"]
    return [
        head,
        *([*map(_cell, key), *map(str, numbers.values()), _reasons(reasons.get(key, {}))]
          for key, numbers in sorted(senders.items())),
    ]  # fmt: skip


def kept_table(kept: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    """Return a row a tenant and route of which something is kept."""
    names = ("tenant", "route", "requests", "bytes")
    head = ["TENANT", "ROUTE", "REQUESTS", "BYTES ON DISK"]  # with headers: those of the books are of bodies
    return [head, *([str(row[name]) for name in names] for row in kept)]


def replayed_table(replayed: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    """Return a row a tenant, route and fate of what was replayed."""
    names = ("tenant", "route", "fate", "requests")
    return [[name.upper() for name in names], *([str(row[name]) for name in names] for row in replayed)]


def busiest_table(names: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    """Return a row a metric's name of which DogStatsD heard."""
    columns = ("tenant", "name", "lines", "recent")
    return [[column.upper() for column in columns], *([str(row[column]) for column in columns] for row in names)]


def _cell(text: str) -> str:
    """Return a name as a table has it: a longer one would push the numbers off the screen."""
    return (text if len(text) <= _LONGEST_CELL else f"{text[: _LONGEST_CELL - 1]}…") or "-"


def _reasons(numbers: Mapping[str, int]) -> str:
    return ", ".join(f"{reason} {number}" for reason, number in sorted(numbers.items())) or "-"
