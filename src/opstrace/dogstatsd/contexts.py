"""Contexts: a metric's name, host, tags and type, and what one bucket has gathered of them so far.

Adding a value is the innermost step of the server, done for every line: it is a method of few words, chosen once for
each spelling of a line (its name, and what follows the value), not decided anew.
"""

from array import array
from dataclasses import dataclass, field
from typing import Any, Final

from opstrace.dogstatsd.parse import Kind, Malformed, numbers

_LARGEST: Final = 1.7976931348623157e308
_SPACE: Final = 0x20


@dataclass(slots=True)
class OpenBucket:
    """The bucket that is being filled: which it is, what is in it, how many samples it holds."""

    max_samples: int
    start_s: int = 0
    now_s: float = 0.0
    active: "list[Context]" = field(default_factory=list)
    samples: int = 0


class Context:
    """One metric being aggregated; there is a subclass for each way to aggregate."""

    __slots__ = ("bucket", "host", "idle", "kind", "last_seen", "lines", "name", "tags")

    def __init__(self, kind: Kind, name: str, host: str, tags: tuple[str, ...], bucket: OpenBucket) -> None:
        self.kind, self.name, self.host, self.tags, self.bucket = kind, name, host, tags, bucket
        self.idle = True
        self.lines = 0
        self.last_seen = 0.0

    def wake(self) -> None:
        """Begin to be part of the open bucket."""
        self.idle = False
        self.last_seen = self.bucket.now_s
        self.bucket.active.append(self)

    def take(self) -> Any:
        """Return what the bucket gathered, and begin anew."""
        raise NotImplementedError


class Counter(Context):
    """A sum."""

    __slots__ = ("total",)

    def __init__(self, *identity: Any) -> None:
        super().__init__(*identity)
        self.total = 0.0

    def take(self) -> float:
        """Return the sum, and begin anew."""
        total, self.total, self.idle = self.total, 0.0, True
        return total


class Gauge(Context):
    """The last value."""

    __slots__ = ("value",)

    def __init__(self, *identity: Any) -> None:
        super().__init__(*identity)
        self.value = 0.0

    def take(self) -> float:
        """Return the value, which counts no more."""
        self.idle = True
        return self.value


class Set(Context):
    """Distinct members."""

    __slots__ = ("members",)

    def __init__(self, *identity: Any) -> None:
        super().__init__(*identity)
        self.members: set[bytes] = set()

    def take(self) -> float:
        """Return how many there were, and begin anew."""
        members, self.members, self.idle = self.members, set(), True
        return float(len(members))


class Sampled(Context):
    """All values, with their weights: of histograms, timings and distributions."""

    __slots__ = ("values", "weights")

    def __init__(self, *identity: Any) -> None:
        super().__init__(*identity)
        self.values, self.weights = array("d"), array("d")

    def take(self) -> "tuple[array[float], array[float]]":
        """Return values and weights, and begin anew."""
        taken = self.values, self.weights
        self.values, self.weights, self.idle = array("d"), array("d"), True
        return taken


CONTEXTS: Final[dict[Kind, type[Context]]] = {
    Kind.COUNTER: Counter,
    Kind.GAUGE: Gauge,
    Kind.SET: Set,
    Kind.HISTOGRAM: Sampled,
    Kind.TIMING: Sampled,
    Kind.DISTRIBUTION: Sampled,
}


def plain(raw: bytes) -> float:
    """Return an ordinary finite number; raise ValueError for anything that has to be looked at more closely."""
    found = float(raw)
    if not -_LARGEST <= found <= _LARGEST or raw[0] <= _SPACE or raw[-1] <= _SPACE:
        raise ValueError
    return found


class Route:
    """Where the lines of one spelling go."""

    __slots__ = ("context", "scale")

    def __init__(self, context: Any, scale: float) -> None:
        self.context = context
        self.scale = scale

    def add(self, raw: bytes) -> None:
        """Add the value of a line as it came: one number, in nearly all cases.

        Raises Malformed; ValueError for a value that is not plainly a number, of which nothing was added.
        """
        raise NotImplementedError

    def put(self, number: float) -> None:
        """Add one finite number."""
        raise NotImplementedError

    def add_unusual(self, raw: bytes) -> int:
        """Add packed values and others that are not plainly numbers; return how many were not finite, and left out.

        Raises Malformed.
        """
        found = numbers(raw)
        finite = [number for number in found if -_LARGEST <= number <= _LARGEST]
        for number in finite:
            self.put(number)
        if finite:
            self.context.lines += 1
        return len(found) - len(finite)


class CounterRoute(Route):
    """Adds to a sum."""

    __slots__ = ()

    def add(self, raw: bytes) -> None:
        """Add the value of a line."""
        number = plain(raw)
        context = self.context
        if context.idle:
            context.wake()
        context.lines += 1
        context.total += number * self.scale

    def put(self, number: float) -> None:
        """Add one number."""
        if self.context.idle:
            self.context.wake()
        self.context.total += number * self.scale


class GaugeRoute(Route):
    """Replaces the value."""

    __slots__ = ()

    def add(self, raw: bytes) -> None:
        """Add the value of a line."""
        number = plain(raw)
        context = self.context
        if context.idle:
            context.wake()
        context.lines += 1
        context.value = number

    def put(self, number: float) -> None:
        """Add one number."""
        if self.context.idle:
            self.context.wake()
        self.context.value = number


class SetRoute(Route):
    """Adds a member, whatever it looks like."""

    __slots__ = ()

    def add(self, raw: bytes) -> None:
        """Add the value of a line."""
        if not raw:
            raise Malformed("no_value")
        context = self.context
        if context.idle:
            context.wake()
        context.lines += 1
        if raw not in context.members:
            _make_room(context.bucket)
            context.members.add(raw)


class SampledRoute(Route):
    """Keeps the value with its weight."""

    __slots__ = ()

    def add(self, raw: bytes) -> None:
        """Add the value of a line."""
        number = plain(raw)
        self.put(number)
        self.context.lines += 1

    def put(self, number: float) -> None:
        """Add one number."""
        context = self.context
        _make_room(context.bucket)
        if context.idle:
            context.wake()
        context.values.append(number)
        context.weights.append(self.scale)


class CopyingRoute(SampledRoute):
    """Keeps the value in a histogram, and in a distribution, too."""

    __slots__ = ("copy",)

    def __init__(self, context: Any, scale: float, copy: SampledRoute) -> None:
        super().__init__(context, scale)
        self.copy = copy

    def put(self, number: float) -> None:
        """Add one number."""
        super().put(number)
        self.copy.put(number)


ROUTES: Final[dict[Kind, type[Route]]] = {
    Kind.COUNTER: CounterRoute,
    Kind.GAUGE: GaugeRoute,
    Kind.SET: SetRoute,
    Kind.HISTOGRAM: SampledRoute,
    Kind.TIMING: SampledRoute,
    Kind.DISTRIBUTION: SampledRoute,
}


def _make_room(bucket: OpenBucket) -> None:
    """Count one sample more in the open bucket; raise Malformed where it holds all that it may."""
    if bucket.samples >= bucket.max_samples:
        raise Malformed("too_many_samples")
    bucket.samples += 1
