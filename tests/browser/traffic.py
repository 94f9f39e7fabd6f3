"""Series sent at a steady rate from a thread of its own, so that pages have something to show."""

import json
import math
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from end_to_end.instance import Instance

POSTS_PER_S = 4.0
LONGEST_S = 240.0  # after which nobody sends any more, whatever the tests do
HOSTS = ("web-1", "web-2", "web-3")


@dataclass
class Traffic:
    """What is being sent."""

    instance: Instance
    stopped: threading.Event = field(default_factory=threading.Event)
    statuses: list[int] = field(default_factory=list)


def series(*moments_s: float) -> list[dict[str, Any]]:
    """Return some moments of a few hosts' metrics, as an Agent sends them."""
    found = []
    for number, host in enumerate(HOSTS):
        for metric, kind, middle, swing in (
            ("system.cpu.idle", "gauge", 60, 20),
            ("system.load.1", "gauge", 2, 1),
            ("system.net.bytes_rcvd", "rate", 1e6, 5e5),
            ("app.requests", "count", 10, 5),
        ):
            found.append(
                {
                    "metric": metric,
                    "type": kind,
                    "interval": 10,
                    "host": host,
                    "tags": ["env:prod", f"zone:{number % 2}"],
                    "points": [[at_s, middle + swing * math.sin(at_s / 200 + number)] for at_s in moments_s],
                }
            )
    return found


def post(instance: Instance, sent: list[dict[str, Any]], tenant: str = "default") -> int:
    """Send series, and return the status."""
    key = {"DD-API-KEY": instance.key(tenant)}
    return instance.send("POST", "/api/v1/series", json.dumps({"series": sent}).encode(), key).status


@contextmanager
def sending(instance: Instance) -> Iterator[Traffic]:
    """Send POSTS_PER_S payloads a second while inside, after half an hour's worth at once."""
    traffic = Traffic(instance)
    now_s = time.time()
    assert post(instance, series(*(now_s - ago_s for ago_s in range(1800, 0, -10)))) == 202
    sender = threading.Thread(target=_send, args=(traffic,), daemon=True)
    sender.start()
    try:
        yield traffic
    finally:
        traffic.stopped.set()
        sender.join(timeout=30)


def _send(traffic: Traffic) -> None:
    started = time.monotonic()
    for number in range(int(LONGEST_S * POSTS_PER_S)):
        if traffic.stopped.wait(max(0.0, started + number / POSTS_PER_S - time.monotonic())):
            return
        traffic.statuses.append(post(traffic.instance, series(time.time())))
