"""Send a histogram and a counter by DogStatsD, five times a second, until Ctrl+C; or for so many seconds.

    pip install datadog
    python examples/send_metrics.py [SECONDS]

The address is that of every DogStatsD client: 127.0.0.1:8125, or what DD_DOGSTATSD_URL says. What comes of it:
docs/dogstatsd.md.
"""

import contextlib
import itertools
import sys
import time

from datadog.dogstatsd import DogStatsd

PER_SECOND = 5
# On average 2.2; most often 2 or 3.
LATENCIES = (1, 2, 2, 3, 3)


def main() -> None:
    """Send until it is enough."""
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else float("inf")
    statsd = DogStatsd()
    started = time.monotonic()
    for number, latency in enumerate(itertools.cycle(LATENCIES)):
        due_s = number / PER_SECOND
        if due_s >= seconds:
            break
        # Each at its own moment, so that waiting too long once does not make all later ones late.
        time.sleep(max(0.0, started + due_s - time.monotonic()))
        statsd.histogram("example.latency", latency)
        statsd.increment("example.requests", 2)


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        main()
