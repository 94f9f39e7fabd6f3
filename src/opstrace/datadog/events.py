"""Events as Datadog's API writes them.

The shapes are those of DataDog/datadog-api-client-python: .generator/schemas/{v1,v2}/openapi.yaml.
"""

import json
from datetime import UTC, datetime
from typing import Any, Final, TypeAlias

from opstrace.nesting import is_too_deep
from opstrace.store.events import STATUSES, Event

Document: TypeAlias = dict[str, Any]

# Characters of an event's text that the first API version shows: clients refuse an answer with more in it.
MAX_SHOWN_TEXT: Final = 4_000
# What the first version knows; clients refuse, or set aside, what is none of it.
_ALERT_TYPES: Final = frozenset(("error", "warning", "info", "success", "user_update", "recommendation", "snapshot"))
_PRIORITIES: Final = frozenset(("normal", "low"))


def created(event: Event, base_url: str) -> Document:
    """Return what the sender of an event to the first API version is told."""
    told = {"handle": None, "related_event_id": event.related_event_id or None}
    return {"status": "ok", "event": _told(event, base_url) | told}


def created_v2(event: Event, base_url: str) -> Document:
    """Return what the sender of an event to the second API version is told."""
    evt = {"id": str(event.id), "uid": str(event.id)}
    return {
        "data": {"id": str(event.id), "type": "event", "attributes": {"attributes": {"evt": evt}}},
        "links": {"self": f"{base_url}/api/v2/events/{event.id}"},
    }


def shown(event: Event, base_url: str) -> Document:
    """Return an event as the first API version shows it."""
    return _told(event, base_url) | {
        "alert_type": _one_of(_ALERT_TYPES, event.alert_type, "info"),
        "source": event.source,
        "source_type_name": event.source,
        "host": event.host,
        "device_name": event.device_name or None,
        "resource": f"/api/v1/events/{event.id}",
        "is_aggregate": False,
        "children": [],
        "comments": [],
    }


def _told(event: Event, base_url: str) -> Document:
    """Return what the first version says of an event whether it came just now or is read."""
    return {
        "id": event.id,
        "id_str": str(event.id),
        "title": event.title,
        "text": event.text[:MAX_SHOWN_TEXT],
        "date_happened": event.time_ms // 1000,
        "priority": _one_of(_PRIORITIES, event.priority, "normal"),
        "tags": event.tags,
        "url": f"{base_url}/event/event?id={event.id}",
    }


def shown_v2(event: Event) -> Document:
    """Return an event as the second API version shows it; an alert has the priority that it was sent with."""
    sent = _sent(event)
    own = sent["attributes"] if isinstance(sent.get("attributes"), dict) else {}
    category = sent.get("category")
    attributes = {
        **own,
        "title": event.title,
        "status": STATUSES.get(event.alert_type, event.alert_type) if category == "alert" else event.alert_type,
        "hostname": event.host,
        "service": _tag(event, "service"),
        "priority": own.get("priority") or event.priority,
        "aggregation_key": event.aggregation_key,
        "source_type_name": event.source,
        **({"device_name": event.device_name} if event.device_name else {}),
        **({"related_event_id": event.related_event_id} if event.related_event_id else {}),
        "timestamp": event.time_ms,
        "tags": event.tags,
        "evt": {
            "id": str(event.id),
            "uid": str(event.id),
            "name": event.title,
            "type": category or event.event_type,
            **({"category": category} if category else {}),
        },
    }
    moment = datetime.fromtimestamp(event.time_ms / 1000, UTC).isoformat(timespec="milliseconds")
    return {
        "id": str(event.id),
        "type": "event",
        "attributes": {"message": event.text, "tags": event.tags, "timestamp": moment, "attributes": attributes},
    }


def _sent(event: Event) -> Document:
    """Return what only the second version says; nothing where it could not be written again."""
    if not event.attributes or is_too_deep(event.attributes.encode()):
        return {}
    sent: Document = json.loads(event.attributes)
    return sent


def _one_of(known: frozenset[str], text: str, otherwise: str) -> str:
    return text.lower() if text.lower() in known else otherwise


def _tag(event: Event, key: str) -> str:
    return next((tag.removeprefix(f"{key}:") for tag in event.tags if tag.startswith(f"{key}:")), "")
