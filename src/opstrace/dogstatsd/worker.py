"""The process that hears datagrams: it reads, parses, aggregates, and writes what an Agent would send to its output.

A process of its own, because the server's event loop would wait for every line otherwise. It lives as long as its
standard input stays open; what it was told to begin with is `frames.Start`.
"""

import os
import queue
import signal
import socket
import sys
import threading
import time
import traceback
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import BinaryIO, Final

from opstrace.config import Dogstatsd
from opstrace.dogstatsd.aggregate import Aggregator, Bucket, Timed
from opstrace.dogstatsd.frames import LENGTH, Busy, Payload, Report, Start, decoded_start, encoded
from opstrace.dogstatsd.listen import Ear, Listening
from opstrace.dogstatsd.parse import Event, ServiceCheck
from opstrace.dogstatsd.payloads import Body, Encoder, entry_bodies, timed_bodies
from opstrace.dogstatsd.sockets import kernel_drops

FLUSH_INTERVAL_S: Final = 15.0
REPORT_INTERVAL_S: Final = 5.0
_TICK_S: Final = 0.5
# Flushes that wait for the server to take them; one more is lost.
MAX_WAITING_FLUSHES: Final = 8
# Names that are counted a tenant; lines of others are counted as one.
MAX_COUNTED_ENTRIES: Final = 10_000
MAX_BUSIEST_ENTRIES: Final = 100
_OTHERS: Final = "(others)"
# What is recent was said in the last 30 s: two flushes hand over three buckets, so a steady sender has one number.
_RECENT_REPORTS: Final = 6
# The thread that hears lets go of the interpreter at each datagram, and would get it back after 5 ms only while
# another one computes: that one stops for a while each time it has computed for so long, unless it is late already.
_COMPUTING_S: Final = 0.002
_BREATH_S: Final = 0.01
_LATE_FROM: Final = 2  # messages that wait


@dataclass(frozen=True, slots=True)
class Flushed:
    """What one tenant's aggregator gave away, not yet encoded."""

    tenant: str
    buckets: Sequence[Bucket]
    timed: Sequence[Timed] = ()
    events: Sequence[Event] = ()
    checks: Sequence[ServiceCheck] = ()

    def bodies(self, encoder: Encoder) -> Iterator[Body]:
        """Yield all of it as an Agent would send it."""
        yield from encoder.buckets(self.buckets)
        yield from timed_bodies(self.timed)
        yield from entry_bodies(self.events, self.checks)


class Outlet:
    """Encodes and writes in a thread of its own, so that datagrams are read even while the server is busy."""

    def __init__(self, settings: Dogstatsd, output: BinaryIO) -> None:
        self._encoder = Encoder(settings, self._breathe)
        self._computing_since = time.monotonic()
        self._output = output
        self._waiting: queue.Queue[Flushed | Report | None] = queue.Queue(MAX_WAITING_FLUSHES)
        self._thread = threading.Thread(target=self._run, name="outlet", daemon=True)
        self._thread.start()
        self.lost = 0

    @property
    def waiting(self) -> int:
        """How much waits to be written."""
        return self._waiting.qsize()

    def put(self, message: Flushed | Report) -> None:
        """Write a message when its turn comes; one too many is lost, and counted."""
        try:
            self._waiting.put_nowait(message)
        except queue.Full:
            self.lost += 1

    def close(self) -> None:
        """Wait until everything is written."""
        self._waiting.put(None)
        self._thread.join()

    def _run(self) -> None:
        try:
            while (message := self._waiting.get()) is not None:
                for frame in self._frames(message):
                    self._output.write(frame)
                self._output.flush()
        except BrokenPipeError:  # a server that is gone needs nothing any more
            os._exit(0)
        except BaseException:  # noqa: BLE001 (whatever it was, the server starts another process)
            traceback.print_exc()
            os._exit(1)

    def _breathe(self) -> None:
        """Let others have their turn, if it is time and nothing presses."""
        if time.monotonic() - self._computing_since > _COMPUTING_S and self.waiting < _LATE_FROM:
            time.sleep(_BREATH_S)
            self._computing_since = time.monotonic()

    def _frames(self, message: Flushed | Report) -> Iterator[bytes]:
        if isinstance(message, Report):
            yield encoded(message)
            return
        for body in message.bodies(self._encoder):
            yield encoded(Payload(message.tenant, body.content.value, body.data))


class Spoken:
    """How many lines spoke of each name of a tenant: ever, and recently."""

    def __init__(self) -> None:
        self._totals: Counter[str] = Counter()
        self._recent: deque[Counter[str]] = deque(maxlen=_RECENT_REPORTS)

    def note(self, names: Counter[str]) -> None:
        """Count the lines since the report before."""
        self._recent.append(names)
        for name, lines in names.items():
            self._totals[name if name in self._totals or len(self._totals) < MAX_COUNTED_ENTRIES else _OTHERS] += (
                lines
            )

    def busiest(self, tenant: str) -> Iterator[Busy]:
        """Yield the names that most lines spoke of, the busiest first."""
        for name, lines in self._totals.most_common(MAX_BUSIEST_ENTRIES):
            yield Busy(tenant, name, lines, sum(names[name] for names in self._recent))


class Worker:
    """The aggregators of all tenants, and what is due when."""

    def __init__(self, start: Start, outlet: Outlet, clock: Callable[[], float]) -> None:
        self._outlet = outlet
        self._clock = clock
        self._settings = start.settings
        tenants = dict.fromkeys(listening.tenant for listening in start.listening)
        self._aggregators = {
            tenant: Aggregator(
                start.settings, start.hostname, max_contexts=start.max_contexts, max_samples=start.max_samples
            )
            for tenant in tenants
        }
        self._ears = [
            Ear(
                socket.socket(fileno=listening.descriptor),
                listening.url,
                self._aggregators[listening.tenant],
                start.settings.dogstatsd_buffer_size,
                listening.eol_required,
            )
            for listening in start.listening
        ]
        self._spoken: defaultdict[str, Spoken] = defaultdict(Spoken)
        self._buckets: Counter[str] = Counter()
        self._stopping = False

    def run(self, stdin: int) -> None:
        """Hear and flush until the input ends; then flush once more."""
        listening = Listening(self._clock)
        listening.watch(stdin, lambda: self._hear_server(stdin))
        for ear in self._ears:
            listening.add(ear)
        tick_at = self._clock()
        flush_at, report_at = tick_at + FLUSH_INTERVAL_S, tick_at + REPORT_INTERVAL_S
        while not self._stopping:
            listening.wait(_TICK_S)
            now_s = self._clock()
            if (back := tick_at - _TICK_S - now_s) > 0:
                # The clock was set back; what is due comes as soon as it would have.
                tick_at, flush_at, report_at = (due - back for due in (tick_at, flush_at, report_at))
            if now_s < tick_at:
                continue
            tick_at = now_s + _TICK_S
            self._flush_timed(now_s)
            if now_s >= flush_at:
                self.flush(now_s)
                flush_at = max(flush_at + FLUSH_INTERVAL_S, now_s)
            if now_s >= report_at:
                self.report()
                report_at = max(report_at + REPORT_INTERVAL_S, now_s)
        listening.wait(0)
        listening.close()
        self.flush(self._clock(), incomplete=self._settings.dogstatsd_flush_incomplete_buckets, last=True)
        self.report()

    def flush(self, now_s: float, *, incomplete: bool = False, last: bool = False) -> None:
        """Hand over what is due."""
        for tenant, aggregator in self._aggregators.items():
            buckets = aggregator.flush(now_s, incomplete=incomplete)
            timed = aggregator.timed(now_s, all_of_them=True) if last else ()
            events, checks = aggregator.entries()
            self._buckets[tenant] += len(buckets)
            if buckets or timed or events or checks:
                self._outlet.put(Flushed(tenant, buckets, timed, events, checks))

    def report(self) -> None:
        """Hand over what happened, if there is room for it; what is not reported now is later."""
        if self._outlet.waiting >= MAX_WAITING_FLUSHES:
            return
        tallies = {tenant: aggregator.tallies() for tenant, aggregator in self._aggregators.items()}
        for tenant, one in tallies.items():
            self._spoken[tenant].note(one.names)
        report = Report(
            packets={ear.url: ear.traffic.packets for ear in self._ears},
            octets={ear.url: ear.traffic.bytes for ear in self._ears},
            lines=[(tenant, kind, n) for tenant, one in tallies.items() for kind, n in one.lines.items()],
            refused=[(tenant, reason, n) for tenant, one in tallies.items() for reason, n in one.refused.items()],
            examples={tenant: one.example for tenant, one in tallies.items() if one.example},
            blocked={tenant: one.blocked for tenant, one in tallies.items()},
            contexts={tenant: one.contexts for tenant, one in self._aggregators.items()},
            buckets=dict(self._buckets),
            lost=self._outlet.lost,
            waiting=self._outlet.waiting,
            kernel_drops={ear.url: kernel_drops(ear.socket) for ear in self._ears},
            busiest=[busy for tenant in tallies for busy in self._spoken[tenant].busiest(tenant)],
        )
        for ear in self._ears:
            ear.traffic.packets = ear.traffic.bytes = 0
        self._buckets.clear()
        self._outlet.lost = 0
        self._outlet.put(report)

    def _flush_timed(self, now_s: float) -> None:
        for tenant, aggregator in self._aggregators.items():
            if timed := aggregator.timed(now_s):
                self._outlet.put(Flushed(tenant, (), timed))

    def _hear_server(self, stdin: int) -> None:
        self._stopping = not os.read(stdin, 1)


def main() -> None:
    """Run the DogStatsD process until its standard input ends."""
    # A terminal's Ctrl+C is the server's business, which ends our input when the time has come.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    stdin = sys.stdin.fileno()
    start = decoded_start(_exactly(stdin, LENGTH.unpack(_exactly(stdin, LENGTH.size))[0]))
    outlet = Outlet(start.settings, sys.stdout.buffer)
    Worker(start, outlet, time.time).run(stdin)
    outlet.close()


def _exactly(descriptor: int, size: int) -> bytes:
    """Return so many bytes; raise EOFError when there are fewer."""
    found = b""
    while len(found) < size:
        chunk = os.read(descriptor, size - len(found))
        if not chunk:
            raise EOFError
        found += chunk
    return found


if __name__ == "__main__":
    main()
