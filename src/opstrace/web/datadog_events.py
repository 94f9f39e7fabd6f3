"""Datadog's API of events, over one tenant's (datadog-api.md, section 7)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlencode

from opstrace.datadog import events as shapes
from opstrace.datadog.search import parse_search
from opstrace.errors import BadQuery, NotFound
from opstrace.store.events import Event, Events
from opstrace.store.place import Place
from opstrace.store.search import All, Either, Field, Node
from opstrace.web import moments
from opstrace.web.datadog_api import Endpoint, Json, Question
from opstrace.web.whole_numbers import whole_number

MAX_EVENTS: Final = 1000  # in one answer
_PAGE: Final = 10  # events in an answer to somebody who does not say how many
_MAX_PAGE: Final = 4_000_000  # of the first version
_SORTS: Final = ("", "timestamp", "-timestamp")
_FILTERS: Final = ("query", "from", "to")
_ID_BITS: Final = 63  # of an event


def endpoints(events: Events) -> Sequence[tuple[str, str, Endpoint, int]]:
    """Return method, path, endpoint and status of each route."""
    api = _EventApi(events)
    return (
        ("GET", "/api/v1/events", api.events_between, 200),
        ("GET", "/api/v1/events/{id}", api.event, 200),
        ("GET", "/api/v2/events", api.found_events, 200),
        ("GET", "/api/v2/events/{id}", api.event_v2, 200),
        ("POST", "/api/v2/events/search", api.searched_events, 200),
    )


@dataclass(frozen=True, slots=True)
class _EventApi:
    events: Events

    async def events_between(self, question: Question) -> Json:
        """Answer the events of a range of time, the youngest first."""
        for name in ("start", "end"):
            if not question.text(name):
                raise BadQuery(f"The parameter '{name}' is required")
        start_ms, end_ms = (question.number(name, 0, 1 << 40) * 1000 for name in ("start", "end"))
        offset = question.number("page", 0, _MAX_PAGE) * MAX_EVENTS
        found = await question.look(
            self.events.select, question.tenant, _filter(question), start_ms, end_ms + 999, MAX_EVENTS, offset
        )
        return {"events": [shapes.shown(event, _base_url(question)) for event in found]}

    async def event(self, question: Question) -> Json:
        """Answer one event."""
        return {"event": shapes.shown(await self._one(question), _base_url(question))}

    async def event_v2(self, question: Question) -> Json:
        """Answer one event as the second API version shows it."""
        return {"data": shapes.shown_v2(await self._one(question))}

    async def _one(self, question: Question) -> Event:
        event_id = whole_number(question.request.path_params["id"], 0, (1 << _ID_BITS) - 1)
        found = await question.look(self.events.one, question.tenant, event_id or 0)
        if found is None:
            raise NotFound("No event matches that event_id.")
        return found

    async def found_events(self, question: Question) -> Json:
        """Answer a search whose parameters are in the address."""
        wanted = {name: question.text(f"filter[{name}]") for name in _FILTERS}
        page = {"cursor": question.text("page[cursor]"), "limit": question.number("page[limit]", 0, 1 << 40)}
        return await self._searched(question, wanted, page, question.text("sort"))

    async def searched_events(self, question: Question) -> Json:
        """Answer a search whose parameters are in the body."""
        wanted, page = question.body.get("filter") or {}, question.body.get("page") or {}
        if not isinstance(wanted, dict) or not isinstance(page, dict):
            raise BadQuery("filter and page must be objects")
        return await self._searched(question, wanted, page, str(question.body.get("sort") or ""))

    async def _searched(self, question: Question, wanted: Json, page: Json, sort: str) -> Json:
        now_ms = question.now_ms
        start_ms = moments.parse_ms(str(wanted.get("from") or "now-15m"), "from", now_ms)
        end_ms = moments.parse_ms(str(wanted.get("to") or "now"), "to", now_ms)
        limit, after = _limit(page.get("limit")), _place(page.get("cursor"))
        if sort not in _SORTS:
            raise BadQuery(f"sort must be {' or '.join(filter(None, _SORTS))}")
        found = await question.look(
            self.events.select,
            question.tenant,
            parse_search(str(wanted.get("query") or "")),
            start_ms,
            end_ms,
            limit + 1,
            oldest_first=sort == "timestamp",
            after=after,
        )
        document: Json = {"data": [shapes.shown_v2(event) for event in found[:limit]], "meta": {}}
        if len(found) > limit:
            last = found[limit - 1]
            cursor = str(Place(last.time_ms, last.id))
            document["meta"] = {"page": {"after": cursor}}
            asked = {f"filter[{name}]": wanted.get(name) for name in _FILTERS} | {"sort": sort, "page[limit]": limit}
            document["links"] = {"next": _next_url(question, asked | {"page[cursor]": cursor})}
        return document


def _filter(question: Question) -> Node:
    """Return what the parameters of the first API version ask for."""
    nodes: list[Node] = []
    if priority := question.text("priority"):
        nodes.append(Field("priority", priority))
    if sources := _listed(question.texts("sources")):
        nodes.append(Either([Field("source", source) for source in sources]))
    nodes += [Field("tags", tag) for tag in _listed(question.texts("tags"))]
    return All(nodes)


def _listed(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _limit(value: Any) -> int:
    if value in (None, "", 0):
        return _PAGE
    if not isinstance(value, int) or not 1 <= value <= MAX_EVENTS:
        raise BadQuery(f"page limit must be a whole number from 1 to {MAX_EVENTS}")
    return value


def _place(cursor: Any) -> Place | None:
    try:
        return Place.of(str(cursor), _ID_BITS) if cursor else None
    except BadQuery:
        raise BadQuery("page cursor is none of this server's") from None


def _next_url(question: Question, asked: Json) -> str:
    """Return the address of the next page of what was asked for, in whichever way; it does not name the key."""
    parameters = {name: str(value) for name, value in asked.items() if value not in (None, "")}
    return f"{_base_url(question)}/api/v2/events?{urlencode(parameters, errors='replace')}"


def _base_url(question: Question) -> str:
    return str(question.request.base_url).rstrip("/")
