"""The Agent's time sampler: lines in, closed buckets of 10 s out. It reads no clock and no socket.

dogstatsd-and-sketches.md, section 4 (DataDog/datadog-agent: pkg/aggregator/time_sampler.go, context_resolver.go).
Unlike the Agent's, our contexts know their type, so that a gauge and a counter of one name do not spoil each other.
"""

from collections import Counter as Tally
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any, Final

from opstrace.config import Dogstatsd
from opstrace.dogstatsd.contexts import CONTEXTS, ROUTES, Context, CopyingRoute, OpenBucket, Route, SampledRoute
from opstrace.dogstatsd.frames import QUIET_REASONS
from opstrace.dogstatsd.histogram import BUCKET_S
from opstrace.dogstatsd.names import Names
from opstrace.dogstatsd.parse import Event, Kind, Malformed, Metric, ServiceCheck, parse, sane_rate

# Spellings of lines that are known, as a multiple of the contexts that may be: tags come in several orders.
MAX_SPELLINGS_A_CONTEXT: Final = 4
# Samples with a time of their own leave when there are so many, or when none came for a second.
MAX_TIMED_SAMPLES: Final = 2048
# If the clock is set back by more than this, buckets follow it; earlier buckets keep their times.
_FOLLOWED_FROM_S: Final = 60
_TIMED_PAUSE_S: Final = 1.0
# Events and service checks that wait for the next flush, of each.
MAX_WAITING_ENTRIES: Final = 10_000
# Below it a sample stands for more than a sketch can count.
_LEAST_RATE: Final = 3.845e-9
# What a sample with a time of its own may be.
_TIMED: Final = frozenset((Kind.COUNTER, Kind.GAUGE))
_LONGEST_EXAMPLE_BYTES: Final = 200

Identity = tuple[str, str, tuple[str, ...], Kind]


@dataclass(frozen=True, slots=True)
class Timed:
    """A sample that came with its time: not aggregated."""

    kind: Kind
    name: str
    host: str
    tags: tuple[str, ...]
    value: float
    time_s: int


@dataclass(frozen=True, slots=True)
class Bucket:
    """What was gathered in 10 s: contexts, each with what its `take` returned."""

    start_s: int
    metrics: list[tuple[Context, Any]]
    distributions: list[tuple[Context, Any]]


@dataclass(slots=True)
class Tallies:
    """What happened since it was last asked for."""

    lines: Tally[str] = field(default_factory=Tally)  # by the type's word, `event` and `service_check`
    refused: Tally[str] = field(default_factory=Tally)  # lines, or values of a line, by reason
    blocked: int = 0  # lines of names that are not let through
    names: Tally[str] = field(default_factory=Tally)  # lines, by the metric's name
    example: bytes = b""  # of a line that was refused, for no quiet reason


class Aggregator:
    """What one tenant's listeners have heard."""

    def __init__(
        self, settings: Dogstatsd, hostname: str, *, max_contexts: int, max_samples: int, started_s: int = 0
    ) -> None:
        self._settings = settings
        self._hostname = hostname
        self._names = Names(settings)
        self._extra_tags = tuple(sorted(set(settings.dogstatsd_tags)))
        self._max_contexts = max_contexts
        self._routes: dict[tuple[bytes, bytes], Route] = {}
        self._contexts: dict[Identity, Context] = {}
        self._open = OpenBucket(max_samples)
        self._closed: list[Bucket] = []
        self._cutoff_s = started_s
        self._timed: list[Timed] = []
        self._timed_at = 0.0
        self._events: list[Event] = []
        self._checks: list[ServiceCheck] = []
        self._tallies = Tallies()

    @property
    def contexts(self) -> int:
        """How many contexts are known."""
        return len(self._contexts)

    def take(self, lines: bytes, now_s: float) -> None:
        """Take in lines, divided by newlines, at a time in seconds."""
        self._advance(now_s)
        routes = self._routes
        for line in lines.split(b"\n"):
            name, _, rest = line.partition(b":")
            value, _, tail = rest.partition(b"|")
            try:
                routes[name, tail].add(value)
            except KeyError:
                if line:
                    self._take_new(line)
            except ValueError:
                self._take_unusual(routes[name, tail], value, line)
            except Malformed as malformed:
                self._refuse(malformed.reason, line)

    def refuse(self, reason: str, line: bytes, lines: int = 1) -> None:
        """Count what never became a line: cut off, or in a frame that is too long."""
        self._refuse(reason, line, lines)

    def flush(self, now_s: float, *, incomplete: bool = False) -> list[Bucket]:
        """Return the buckets that are over at a time; with `incomplete` the one that is not, too."""
        self._advance(now_s)
        if incomplete:
            self._close()
        cutoff = _bucket_of(now_s)
        buckets, self._closed = self._closed, []
        if any(bucket.metrics for bucket in buckets):
            buckets = [self._filled(bucket) if bucket.metrics else bucket for bucket in buckets]
        elif not self._has_metrics() and self._cutoff_s + BUCKET_S <= cutoff:
            buckets.append(self._filled(Bucket(cutoff - BUCKET_S, [], [])))
        self._cutoff_s = cutoff
        self._expire(now_s)
        return [bucket for bucket in buckets if bucket.metrics or bucket.distributions]

    def timed(self, now_s: float, *, all_of_them: bool = False) -> list[Timed]:
        """Return the samples with a time of their own, once they are due."""
        due = len(self._timed) >= MAX_TIMED_SAMPLES or now_s - self._timed_at >= _TIMED_PAUSE_S
        if not (due or all_of_them):
            return []
        taken, self._timed = self._timed, []
        return taken

    def entries(self) -> tuple[list[Event], list[ServiceCheck]]:
        """Return the events and service checks that wait."""
        taken = self._events, self._checks
        self._events, self._checks = [], []
        return taken

    def tallies(self) -> Tallies:
        """Return what happened, and begin anew. Lines of the open bucket are counted when it closes."""
        taken, self._tallies = self._tallies, Tallies()
        return taken

    # -----------------------------------------------------------------------------------------------------------
    # Lines

    def _take_new(self, line: bytes) -> None:
        """Take in a line of a spelling that is not known: a metric's is known from then on."""
        # Lines may end as on Windows.
        line = line[:-1] if line.endswith(b"\r") else line
        if not line:
            return
        try:
            said = parse(line, timestamps=self._settings.dogstatsd_no_aggregation_pipeline)
            match said:
                case Metric():
                    self._take_metric(said, line)
                case Event():
                    self._wait(self._events, self._completed(said), "event")
                case ServiceCheck():
                    self._wait(self._checks, self._completed(said), "service_check")
        except Malformed as malformed:
            self._refuse(malformed.reason, line)

    def _take_metric(self, metric: Metric, line: bytes) -> None:
        if metric.timestamp is not None:
            self._take_timed(metric, line)
            return
        route = self._route(metric)
        if route is None:
            self._tallies.blocked += 1
            return
        name, _, rest = line.partition(b":")
        value, _, tail = rest.partition(b"|")
        if len(self._routes) >= self._max_contexts * MAX_SPELLINGS_A_CONTEXT:
            self._routes.clear()
        self._routes[name, tail] = route
        try:
            route.add(value)
        except ValueError:
            self._take_unusual(route, value, line)

    def _take_unusual(self, route: Route, value: bytes, line: bytes) -> None:
        try:
            lost = route.add_unusual(value)
        except Malformed as malformed:
            self._refuse(malformed.reason, line)
        else:
            if lost:
                self._refuse("not_finite", line, lost)

    def _take_timed(self, metric: Metric, line: bytes) -> None:
        if metric.kind not in _TIMED:
            raise Malformed("timestamp_not_allowed")
        identity = self._identity(metric)
        if identity is None:
            self._tallies.blocked += 1
            return
        name, host, tags, kind = identity
        finite = [value for value in metric.values if value - value == 0.0]
        scale = BUCKET_S if kind is Kind.COUNTER else 1
        time_s = metric.timestamp or 0
        self._timed += [Timed(kind, name, host, tags, value / scale, time_s) for value in finite]
        self._timed_at = self._open.now_s
        self._tallies.lines[kind.value] += 1
        self._tallies.names[name] += 1
        if len(finite) < len(metric.values):
            self._refuse("not_finite", line, len(metric.values) - len(finite))

    def _wait(self, waiting: list[Any], entry: Event | ServiceCheck, word: str) -> None:
        if len(waiting) >= MAX_WAITING_ENTRIES:
            raise Malformed(f"too_many_{word}s")
        waiting.append(entry)
        self._tallies.lines[word] += 1

    def _refuse(self, reason: str, line: bytes, number: int = 1) -> None:
        self._tallies.refused[reason] += number
        if not self._tallies.example and reason not in QUIET_REASONS:
            self._tallies.example = line[:_LONGEST_EXAMPLE_BYTES]

    # -----------------------------------------------------------------------------------------------------------
    # Contexts

    def _route(self, metric: Metric) -> Route | None:
        """Return where such a metric goes; None if it is not let through."""
        identity = self._identity(metric)
        if identity is None:
            return None
        name, host, tags, kind = identity
        scale = _scale(metric.rate)
        if not (kind is Kind.HISTOGRAM and self._settings.histogram_copy_to_distribution):
            return ROUTES[kind](self._context(identity), scale)
        copied = self._settings.histogram_copy_to_distribution_prefix + name
        copy = SampledRoute(self._context((copied, host, tags, Kind.DISTRIBUTION)), scale)
        return CopyingRoute(self._context(identity), scale, copy)

    def _identity(self, metric: Metric) -> Identity | None:
        mapped, mapped_tags = self._names.mapped(metric.name)
        host, tags = _reserved((*metric.tags, *mapped_tags), self._hostname)
        name = self._names.spaced(mapped)
        if not self._names.passes(name):
            return None
        kind = Kind.HISTOGRAM if metric.kind is Kind.TIMING else metric.kind
        return name, host, _unique((*tags, *self._extra_tags)), kind

    def _context(self, identity: Identity) -> Context:
        found = self._contexts.get(identity)
        if found is None:
            if len(self._contexts) >= self._max_contexts:
                raise Malformed("too_many_contexts")
            name, host, tags, kind = identity
            found = self._contexts[identity] = CONTEXTS[kind](kind, name, host, tags, self._open)
        return found

    def _completed(self, said: Any) -> Any:
        """Return an event or a service check with its time, its host, and the tags that are sent with it."""
        host, tags = _reserved(said.tags, self._hostname)
        return replace(
            said,
            time_s=said.time_s or int(self._open.now_s),
            host=said.host or host,
            tags=_unique((*tags, *self._extra_tags)),
        )

    def _expire(self, now_s: float) -> None:
        idle_s = self._settings.dogstatsd_context_expiry_seconds
        kept_s = {Kind.COUNTER: idle_s + self._settings.dogstatsd_expiry_seconds}
        gone = {
            identity
            for identity, context in self._contexts.items()
            # `last_seen` is when the context's first value came into its latest bucket.
            if context.idle and now_s - context.last_seen - BUCKET_S >= kept_s.get(context.kind, idle_s)
        }
        if gone:
            self._contexts = {key: context for key, context in self._contexts.items() if key not in gone}
            self._routes.clear()

    # -----------------------------------------------------------------------------------------------------------
    # Buckets

    def _advance(self, now_s: float) -> None:
        """Begin a new bucket when it is time to. A clock that was set back a little opens no old one again."""
        start_s = _bucket_of(now_s)
        is_back = start_s < self._open.start_s - _FOLLOWED_FROM_S
        if start_s > self._open.start_s or is_back:
            self._close()
            self._open.start_s = start_s
        if is_back:
            self._timed_at = min(self._timed_at, now_s)
            for context in self._contexts.values():
                context.last_seen = min(context.last_seen, now_s)
        self._open.now_s = now_s

    def _close(self) -> None:
        """Put what the open bucket gathered aside."""
        active, start_s = self._open.active, self._open.start_s
        metrics: list[tuple[Context, Any]] = []
        distributions: list[tuple[Context, Any]] = []
        for context in active:
            of_kind = distributions if context.kind is Kind.DISTRIBUTION else metrics
            of_kind.append((context, context.take()))
            self._tallies.lines[context.kind.value] += context.lines
            self._tallies.names[context.name] += context.lines
            context.lines = 0
        if active:
            self._closed.append(Bucket(start_s, metrics, distributions))
        active.clear()
        self._open.samples = 0

    def _has_metrics(self) -> bool:
        return any(context.kind is not Kind.DISTRIBUTION for context in self._open.active)

    def _filled(self, bucket: Bucket) -> Bucket:
        """Return the bucket with a zero for each counter that is silent, and not expired (section 4.3)."""
        present = {id(context) for context, _ in bucket.metrics}
        return replace(bucket, metrics=[*bucket.metrics, *self._zeros(bucket.start_s, present)])

    def _zeros(self, start_s: int, present: set[int]) -> Iterator[tuple[Context, float]]:
        lasting_s = self._settings.dogstatsd_expiry_seconds
        for context in self._contexts.values():
            silent = context.kind is Kind.COUNTER and id(context) not in present
            if silent and context.last_seen + lasting_s > start_s:
                yield context, 0.0


def _bucket_of(now_s: float) -> int:
    return int(now_s) - int(now_s) % BUCKET_S


def _scale(rate: float) -> float:
    """Return what a value is multiplied by, or how many samples it stands for."""
    return 1.0 / max(sane_rate(rate), _LEAST_RATE)


def _reserved(tags: Iterable[str], hostname: str) -> tuple[str, list[str]]:
    """Return the host that tags name, else the default, and the other tags. Origins are not looked at."""
    host, others = hostname, []
    for tag in tags:
        if tag.startswith("host:"):
            host = tag[5:]
        elif not tag.startswith(("dd.internal.entity_id:", "dd.internal.card:", "dd.internal.jmx_check_name:")):
            others.append(tag)
    return host, others


def _unique(tags: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(set(tags)))
