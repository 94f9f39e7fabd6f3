"""Events as they are stored, and read."""

from dataclasses import dataclass, replace
from typing import Final

from opstrace.store.engine import Engine, statement
from opstrace.store.host_tag_table import HostTagTable
from opstrace.store.place import FIRST, LAST, Place
from opstrace.store.search import All, Condition, Either, Field, Node, Not
from opstrace.store.statements import filled
from opstrace.store.tagged_hosts import TaggedHosts

# What alerts of the second API version call otherwise than other events do; a search finds both by either word.
STATUSES: Final = {"warning": "warn", "success": "ok"}
# Fields of an event by the names that searches have for them; the others are tags, or attributes that were sent.
_FIELDS: Final = {
    "id": "toString(id)",
    "title": "title",
    "text": "text",
    "message": "text",
    "host": "host",
    "source": "source",
    "sources": "source",
    "priority": "priority",
    "alert_type": "alert_type",
    "status": f"transform(alert_type, {list(STATUSES)}, {list(STATUSES.values())}, alert_type)",
    "aggregation_key": "aggregation_key",
    "device_name": "device_name",
    "event_type": "event_type",
}
# Attributes that answers show of every event, by their paths.
_SHOWN: Final = {
    "@title": _FIELDS["title"],
    "@status": _FIELDS["status"],
    "@hostname": _FIELDS["host"],
    "@priority": "coalesce(nullIf(JSONExtractString(attributes, 'attributes', 'priority'), ''), priority)",
    "@aggregation_key": _FIELDS["aggregation_key"],
    "@source_type_name": _FIELDS["source"],
    "@timestamp": "toString(toUnixTimestamp64Milli(timestamp))",
    "@evt.id": _FIELDS["id"],
    "@evt.uid": _FIELDS["id"],
    "@evt.name": _FIELDS["title"],
    "@evt.category": "JSONExtractString(attributes, 'category')",
    "@evt.type": "coalesce(nullIf(JSONExtractString(attributes, 'category'), ''), event_type)",
}


@dataclass(frozen=True, slots=True)
class Event:
    """One event, as it was sent; its id is a hash of all the rest."""

    id: int
    time_ms: int
    title: str
    text: str
    host: str
    source: str
    priority: str  # normal, low
    alert_type: str  # error, warning, info, success …
    aggregation_key: str
    tags: list[str]
    device_name: str
    event_type: str
    related_event_id: int  # 0: none
    attributes: str  # JSON of what Datadog's second API version, or Agents of version 5, say beside; else empty


_END_MS: Final = 1 << 42  # after every event


class Events:
    """The table of events; those that are read have the tags that their hosts had at their times, too."""

    def __init__(self, engine: Engine, host_tags: HostTagTable) -> None:
        self._engine = engine
        self._host_tags = host_tags
        self._select = statement("opstrace.store", "select_events")
        self._of_hosts = statement("opstrace.store", "events_of_hosts")

    def select(
        self,
        tenant: str,
        wanted: Node,
        start_ms: int,
        end_ms: int,
        limit: int,
        offset: int = 0,
        *,
        oldest_first: bool = False,
        after: Place | None = None,
    ) -> list[Event]:
        """Return a tenant's events of a range of time that match, from the one after a place on.

        Raises StoreError and QueryTimeout.
        """
        hosts = self._host_tags.tagged(tenant)
        condition = Condition(_FIELDS | _SHOWN, ("title", "text"), hosts)
        sql = filled(
            self._select,
            condition=condition.of(_respelled(wanted)),
            direction="ASC" if oldest_first else "DESC",
            beyond=">" if oldest_first else "<",
            of_hosts=self._of_hosts if condition.host_terms else "",
        )
        after = after or (FIRST if oldest_first else LAST)
        rows = hosts.table(condition.host_terms) if condition.host_terms else None
        bounds = {"start_ms": start_ms, "end_ms": end_ms, "limit": limit, "offset": offset}
        bounds |= {"after_ms": after.time_ms, "after_id": after.id}
        with self._engine.reader() as connection:
            table = connection.read(sql, rows, tenant=tenant, **bounds, **condition.parameters)
        return [_tagged(Event(**row), hosts) for row in table.to_pylist()]

    def one(self, tenant: str, event_id: int) -> Event | None:
        """Return the event with an id, if it is there."""
        wanted = All([Field("id", str(event_id))])
        return next(iter(self.select(tenant, wanted, 0, _END_MS, 1)), None)


def _respelled(node: Node) -> Node:
    """Return a search with the words for a status that `_FIELDS` has."""
    match node:
        case Field(name="status" | "@status" as name, value=value):
            return Field(name, STATUSES.get(value.lower(), value))
        case Not(node=inner):
            return Not(_respelled(inner))
        case All(nodes=nodes):
            return All([_respelled(one) for one in nodes])
        case Either(nodes=nodes):
            return Either([_respelled(one) for one in nodes])
        case _:
            return node


def _tagged(event: Event, hosts: TaggedHosts) -> Event:
    """Return an event with the tags of its host, as Datadog shows it."""
    return replace(event, tags=sorted({*event.tags, *hosts.tags_at(event.host, event.time_ms)}))
