"""Events as they are stored."""

from dataclasses import dataclass


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
    attributes: str  # JSON of what only Datadog's second API version says; else empty
