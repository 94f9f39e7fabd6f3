"""What an aggregator makes of lines, read back from the bodies it would send."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from end_to_end import wire
from opstrace import config
from opstrace.dogstatsd.aggregate import Aggregator
from opstrace.dogstatsd.payloads import Body, Content, Encoder, entry_bodies, timed_bodies

T0 = 1_700_000_000  # a bucket begins
HOST = "server"


@dataclass
class Sent:
    """Everything that was sent, as documents; times are seconds after `T0`."""

    series: list[dict[str, Any]] = field(default_factory=list)
    sketches: list[dict[str, Any]] = field(default_factory=list)
    events: list[dict[str, Any]] = field(default_factory=list)
    checks: list[dict[str, Any]] = field(default_factory=list)

    def take(self, bodies: Iterable[Body]) -> None:
        for body in bodies:
            READERS[body.content](self, body.data)


def _read_series(sent: Sent, data: bytes) -> None:
    for one in json.loads(data)["series"]:
        assert one.pop("interval") == 10
        points = {time - T0: value for time, value in one.pop("points")}
        one = {"host": "", "tags": [], **one}
        earlier = [other for other in sent.series if one.items() <= other.items()]
        # What one flush after the other sends of a series is one; two points at one time are both kept.
        if earlier and not earlier[-1]["points"].keys() & points.keys():
            earlier[-1]["points"] |= points
        else:
            sent.series.append({**one, "points": points})


def _read_sketches(sent: Sent, data: bytes) -> None:
    for one in wire.SKETCH_PAYLOAD.FromString(data).sketches:
        for sketch in one.dogsketches:
            sent.sketches.append(
                {
                    "metric": one.metric,
                    "host": one.host,
                    "tags": list(one.tags),
                    "at": sketch.ts - T0,
                    **{name: getattr(sketch, name) for name in ("cnt", "min", "max", "avg", "sum")},
                    "bins": " ".join(f"{k}:{n}" for k, n in zip(sketch.k, sketch.n, strict=True)),
                }
            )


def _read_events(sent: Sent, data: bytes) -> None:
    for source, events in json.loads(data)["events"].items():
        for event in events:
            assert event.pop("source_type_name") == source
            sent.events.append({"source": source, **event, "timestamp": event["timestamp"] - T0})


def _read_checks(sent: Sent, data: bytes) -> None:
    sent.checks += [{**run, "timestamp": run["timestamp"] - T0} for run in json.loads(data)]


READERS = {
    Content.SERIES: _read_series,
    Content.SKETCHES: _read_sketches,
    Content.EVENTS: _read_events,
    Content.CHECKS: _read_checks,
}


def settings_of(document: Mapping[str, Any]) -> config.Dogstatsd:
    """Return settings as a config document would give them."""
    return msgspec.convert(document, config.Dogstatsd)


class Hearing:
    """An aggregator with its encoder, and a clock that is told the time."""

    def __init__(self, document: Mapping[str, Any], **limits: int) -> None:
        settings = settings_of(document)
        bounds = {"max_contexts": 1000, "max_samples": 10_000, **limits}
        self.aggregator = Aggregator(settings, HOST, **bounds)
        self.encoder = Encoder(settings)
        self.sent = Sent()
        self.refused: Counter[str] = Counter()
        self.lines: Counter[str] = Counter()

    def hear(self, at: float, lines: bytes) -> None:
        self.aggregator.take(lines, T0 + at)

    def flush(self, at: float, *, incomplete: bool = False) -> None:
        """Send what is due at a time, and what has a time of its own."""
        now = T0 + at
        self.sent.take(self.encoder.buckets(self.aggregator.flush(now, incomplete=incomplete)))
        self.sent.take(timed_bodies(self.aggregator.timed(now)))
        self.sent.take(entry_bodies(*self.aggregator.entries()))
        tallies = self.aggregator.tallies()
        self.refused += tallies.refused
        self.lines += tallies.lines
