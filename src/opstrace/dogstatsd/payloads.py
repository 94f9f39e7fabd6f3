"""What an Agent sends of what it aggregated: bodies of its own payloads, which take an Agent's way into the store.

Series as JSON of the first version, sketches as protobuf, events and service checks as JSON
(dogstatsd-and-sketches.md, sections 4, 5 and 11.1; datadog-intake.md, sections 4 and 6).
"""

import math
import re
import struct
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final, TypeVar

import msgspec
import numpy as np

from opstrace.config import Dogstatsd
from opstrace.dogstatsd.aggregate import Bucket, Timed
from opstrace.dogstatsd.contexts import Context
from opstrace.dogstatsd.histogram import BUCKET_S, Samples, aggregates
from opstrace.dogstatsd.names import Names
from opstrace.dogstatsd.parse import Event, Kind, ServiceCheck
from opstrace.protobuf_wire import field, varint, zigzag
from opstrace.ragged import places
from opstrace.store.sketch import Sketches, sketches_of

# What one body holds at most: an Agent cuts its payloads, too, and a commit that is short delays no one.
MAX_BODY_SERIES: Final = 1000
MAX_BODY_ENTRIES: Final = 1000
_RESOURCE: Final = "dd.internal.resource:"
_NAMED_RESOURCE: Final = re.compile(f"{re.escape(_RESOURCE)}[^:]+:")
_LARGEST_COUNT: Final = 2**32 - 1
# Where an event says none.
_EVENT_SOURCE: Final = "api"

_T = TypeVar("_T")


class Content(Enum):
    """What is in a body."""

    SERIES = "series"
    SKETCHES = "sketches"
    EVENTS = "events"
    CHECKS = "service_checks"


@dataclass(frozen=True, slots=True)
class Body:
    """A payload as it would be sent."""

    content: Content
    data: bytes


class Series(msgspec.Struct, frozen=True, omit_defaults=True):
    """One series of a payload of the first version."""

    metric: str
    type: str
    points: list[tuple[int, float]]
    host: str = ""
    tags: tuple[str, ...] = ()
    interval: int = 0


class Encoder:
    """Makes bodies of what one config's server has aggregated."""

    def __init__(self, settings: Dogstatsd, breathe: Callable[[], None] = lambda: None) -> None:
        """`breathe` is called between contexts and bodies: other threads may have to have their turn."""
        self._breathe = breathe
        self._aggregates = aggregates(settings)
        self._names = Names(settings)

    def buckets(self, buckets: Sequence[Bucket]) -> Iterator[Body]:
        """Yield the bodies of closed buckets."""
        yield from _series_bodies(self._series(buckets))
        distributions = [(bucket.start_s, *pair) for bucket in buckets for pair in bucket.distributions]
        for part in _parts(distributions, MAX_BODY_SERIES):
            self._breathe()
            yield Body(Content.SKETCHES, _sketches_body(part))

    def _series(self, buckets: Iterable[Bucket]) -> list[Series]:
        """Return the series of buckets; those of one context and name are one, of several points."""
        found: dict[tuple[int, str], Series] = {}
        for bucket in buckets:
            for context, gathered in bucket.metrics:
                self._breathe()
                for suffix, kind, value in self._values(context, gathered):
                    if not math.isfinite(value):  # a sum beyond all doubles
                        continue
                    key = id(context), suffix
                    if key not in found:
                        found[key] = _one_series(context, suffix, kind)
                    found[key].points.append((bucket.start_s, value))
        return list(found.values())

    def _values(self, context: Context, gathered: Any) -> Iterator[tuple[str, str, float]]:
        """Yield what of a context is sent: what its name ends in, its type, its value."""
        if context.kind is Kind.COUNTER:
            yield "", "rate", gathered / BUCKET_S
        elif context.kind is not Kind.HISTOGRAM:
            yield "", "gauge", gathered
        else:
            samples = Samples.of(*map(np.array, gathered))
            for aggregate in self._aggregates:
                if self._names.passes_series(f"{context.name}.{aggregate.suffix}"):
                    yield f".{aggregate.suffix}", aggregate.type, aggregate.of(samples)


def timed_bodies(samples: Sequence[Timed]) -> Iterator[Body]:
    """Yield the bodies of samples with a time of their own: a series each, as they came."""
    yield from _series_bodies(
        [
            Series(
                one.name,
                "rate" if one.kind is Kind.COUNTER else "gauge",
                [(one.time_s, one.value)],
                one.host,
                _sent_tags(one.tags),
                BUCKET_S,
            )
            for one in samples
        ]
    )


def entry_bodies(events: Sequence[Event], checks: Sequence[ServiceCheck]) -> Iterator[Body]:
    """Yield the bodies of events and service checks."""
    for part in _parts(events, MAX_BODY_ENTRIES):
        of_sources: dict[str, list[dict[str, Any]]] = {}
        for event in part:
            source = event.source_type or _EVENT_SOURCE
            of_sources.setdefault(source, []).append(_event_document(event, source))
        yield Body(Content.EVENTS, msgspec.json.encode({"events": of_sources}))
    for runs in _parts(checks, MAX_BODY_ENTRIES):
        yield Body(Content.CHECKS, msgspec.json.encode([_check_document(run) for run in runs]))


def _one_series(context: Context, suffix: str, kind: str) -> Series:
    return Series(context.name + suffix, kind, [], context.host, _sent_tags(context.tags), BUCKET_S)


def _series_bodies(series: Sequence[Series]) -> Iterator[Body]:
    for part in _parts(series, MAX_BODY_SERIES):
        yield Body(Content.SERIES, msgspec.json.encode({"series": part}))


def _sent_tags(tags: tuple[str, ...]) -> tuple[str, ...]:
    """Return tags as series have them: one that names a resource is `type:name`, as resources become tags."""
    if _RESOURCE in " ".join(tags):
        return tuple(tag.removeprefix(_RESOURCE) if _NAMED_RESOURCE.match(tag) else tag for tag in tags)
    return tags


def _event_document(event: Event, source: str) -> dict[str, Any]:
    return {
        "msg_title": event.title,
        "msg_text": event.text,
        "timestamp": event.time_s,
        "host": event.host,
        "source_type_name": source,
        "priority": event.priority,
        "alert_type": event.alert_type,
        "aggregation_key": event.aggregation_key,
        "tags": event.tags,
    }


def _check_document(run: ServiceCheck) -> dict[str, Any]:
    return {
        "check": run.name,
        "host_name": run.host,
        "timestamp": run.time_s,
        "status": run.status,
        "message": run.message,
        "tags": run.tags,
    }


def _parts(whole: Sequence[_T], size: int) -> Iterator[Sequence[_T]]:
    for start in range(0, len(whole), size):
        yield whole[start : start + size]


# ---------------------------------------------------------------------------------------------------------------
# Sketches, on the wire of protobuf


def _sketches_body(distributions: Sequence[tuple[int, Context, Any]]) -> bytes:
    """Return a SketchPayload with a sketch for each distribution of a bucket."""
    values = np.concatenate([np.array(gathered[0]) for *_, gathered in distributions])
    weights = np.concatenate([np.array(gathered[1]) for *_, gathered in distributions])
    offsets = places([len(gathered[0]) for *_, gathered in distributions])
    made = sketches_of(values, offsets, weights)
    encoded = (_sketch(made, i, start_s, context) for i, (start_s, context, _) in enumerate(distributions))
    return b"".join(field(1, one) for one in encoded)


def _sketch(made: Sketches, i: int, start_s: int, context: Context) -> bytes:
    texts = ((1, context.name), (2, context.host), *((4, tag) for tag in context.tags))
    return b"".join(field(number, text.encode()) for number, text in texts) + field(7, _dogsketch(made, i, start_s))


def _dogsketch(made: Sketches, i: int, start_s: int) -> bytes:
    cnt, total = int(made.cnt[i]), float(made.sum[i])
    exact = (float(made.min[i]), float(made.max[i]), total / cnt if cnt else 0.0, total)
    bins = slice(int(made.offsets[i]), int(made.offsets[i + 1]))
    keys, counts = _divided(made.keys[bins].tolist(), made.counts[bins].tolist())
    parts = [b"\x08", varint(start_s), b"\x10", varint(cnt)]
    parts += [struct.pack("<Bd", number << 3 | 1, value) for number, value in enumerate(exact, 3)]
    parts.append(field(7, b"".join([varint(zigzag(key)) for key in keys])))
    parts.append(field(8, b"".join([varint(count) for count in counts])))
    return b"".join(parts)


def _divided(keys: list[int], counts: list[int]) -> tuple[list[int], list[int]]:
    """Return bins with those in several that count more than the wire's 32 bits."""
    if max(counts, default=0) <= _LARGEST_COUNT:
        return keys, counts
    divided = [
        (key, min(_LARGEST_COUNT, count - start))
        for key, count in zip(keys, counts, strict=True)
        for start in range(0, count, _LARGEST_COUNT)
    ]
    return [key for key, _ in divided], [count for _, count in divided]
