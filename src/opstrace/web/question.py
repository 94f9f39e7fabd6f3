"""One request of Prometheus's API, with all that an endpoint needs to answer it."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from opstrace.errors import BadQuery
from opstrace.promql.engine import Engine
from opstrace.promql.parser import parse
from opstrace.promql.tree import Node
from opstrace.store.backend import Querier
from opstrace.store.budget import Budget
from opstrace.web import encode
from opstrace.web.answer import Answer, Message
from opstrace.web.parameters import Parameters, invalid
from opstrace.web.query_pool import QueryLimits

# What is said where an answer has more than was asked for.
TRUNCATED = "results truncated due to limit"


@dataclass(frozen=True, slots=True)
class About:
    """What the server tells of itself to whoever may ask it anything."""

    settings: Mapping[str, str] = field(default_factory=dict)  # as flags: those that say nothing of other tenants
    retention: str = ""
    started_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Question:
    """One request, with all an endpoint needs to answer it."""

    parameters: Parameters
    path: Mapping[str, str]
    querier: Querier
    engine: Engine
    budget: Budget
    limits: QueryLimits
    now_ms: int
    about: Callable[[], About]
    method: str = "GET"
    body: bytes | None = None  # where its Content-Type says that it is a message
    started: float = field(default_factory=time.monotonic)


Endpoint = Callable[[Question], Answer | Message]


@contextmanager
def parameter(name: str) -> Iterator[None]:
    """Name the parameter in what is wrong with its value."""
    try:
        yield
    except BadQuery as error:
        raise invalid(name, str(error)) from None


def parsed(question: Question) -> Node:
    """Return the query's tree; raise BadQuery unless this is PromQL."""
    query = question.parameters.text("query")
    with parameter("query"):
        question.engine.check_length(query)
        return parse(query)


def plain(data: object) -> Answer:
    """Return data as an answer."""
    return Answer((encode.json_bytes(data),))
