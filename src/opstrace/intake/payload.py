"""What one commit takes in and gives back."""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol, TypeAlias

import pyarrow as pa
from isal import isal_zlib

from opstrace.store.engine import Parameter
from opstrace.store.events import Event

# The fate of what is not refused.
STORED = "stored"


class Family(Enum):
    """Payloads that one decoder knows; where a statement decodes them the value names it."""

    SERIES_V1 = "series_v1"
    SERIES_V2_JSON = "series_v2_json"
    SERIES_V2_PROTOBUF = "series_v2_protobuf"
    CHECK_RUN = "check_run"
    SKETCHES = "sketches"
    DISTRIBUTION_POINTS = "distribution_points"
    COLUMNAR = "columnar"  # metrics v3: series and sketches
    INVENTORY = "inventory"  # of a host: what it is, what its Agent is configured for
    INTAKE = "intake"  # one document of many parts, each of which has a decoder
    EVENT_V1 = "event_v1"
    EVENT_V2 = "event_v2"
    EVENTS_BATCH = "events_batch"
    LOGS = "logs"
    LOGS_TEXT = "logs_text"
    REMOTE_WRITE_V1 = "remote_write_v1"
    REMOTE_WRITE_V2 = "remote_write_v2"
    KEPT = "kept"  # not understood: a record of the request as it came


@dataclass(frozen=True, slots=True, eq=False)
class Body:
    """A request's payload, inflated, with the tenant whose key it came with."""

    family: Family
    tenant: str
    content: bytes
    facts: Mapping[str, str] = field(default_factory=dict)  # what the request said beside its body
    came_ms: int = 0  # when it came; 0: now
    things: int = 0  # how many it holds, at most; 0: nobody counted

    @property
    def checksum(self) -> int:
        """64 bits that a payload which is sent again has in common with the first one: CRC-32, then Adler-32."""
        return isal_zlib.crc32(self.content) << 32 | isal_zlib.adler32(self.content)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of a body: broken for ever when `fault` says why, else its points, counted."""

    points: Mapping[str, int] = field(default_factory=dict)  # STORED, or the reason of a refusal → points
    fault: str = ""
    kept: bool = False  # as it came: nobody understands it yet
    put_off: bool = False  # it was too much beside the rest of its commit: nothing is stored, and it may come again
    events: Mapping[str, int] = field(default_factory=dict)  # STORED, or the reason of a refusal → events
    told: Event | None = None  # what the body became, where its answer says so
    series: Mapping[str, int] = field(default_factory=dict)  # STORED, or the reason of a refusal → series
    logs: Mapping[str, int] = field(default_factory=dict)  # STORED, or the reason of a refusal → logs
    facts: Mapping[str, int] = field(default_factory=dict)  # the same of what it says of hosts
    cut_logs: int = 0  # whose message is longer than it may be
    late: int = 0  # stored points whose time is more than a minute past
    repeatable: bool = True  # sent again it would be the same: nothing got the server's time or lacks a host
    host: str = ""  # which the body speaks of, most of the time
    # Of remote writes: samples, histograms, series, exemplars → STORED, or the reason of a refusal → how many.
    written: Mapping[str, Mapping[str, int]] = field(default_factory=dict)

    @property
    def stored(self) -> int:
        """How many points, logs and events of it are stored: one with none says nothing twice."""
        return sum(fates.get(STORED, 0) for fates in (self.points, self.logs, self.events))


# Bodies by their place in the commit.
Numbered: TypeAlias = Mapping[int, Body]


@dataclass(slots=True)
class Findings:
    """What decoding found besides what it staged, by body."""

    faults: dict[int, str] = field(default_factory=dict)  # broken for ever, and why; later decoders do not see these
    # Bodies that a decoder made legible, in the place of what was sent: later decoders see these.
    repaired: dict[int, Body] = field(default_factory=dict)
    # Points that no staged row shows: the reason of the refusal → points.
    refused: defaultdict[int, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    events: defaultdict[int, dict[str, int]] = field(default_factory=lambda: defaultdict(dict))  # as in Verdict
    told: dict[int, Event] = field(default_factory=dict)  # as in Verdict
    logs: dict[int, dict[str, int]] = field(default_factory=dict)  # as in Verdict
    cut_logs: Counter[int] = field(default_factory=Counter)  # as in Verdict
    facts: dict[int, Counter[str]] = field(default_factory=dict)  # as in Verdict
    hosts: dict[int, str] = field(default_factory=dict)  # as in Verdict
    put_off: set[int] = field(default_factory=set)  # bodies that were too much for this commit
    untimed: set[int] = field(default_factory=set)  # bodies in which something got the server's time
    written: defaultdict[int, dict[str, Counter[str]]] = field(
        default_factory=lambda: defaultdict(dict)
    )  # as in Verdict
    late: Counter[int] = field(default_factory=Counter)  # as in Verdict, of what is `written`
    added: int = 0  # series rows that decoders added themselves


class Decoder(Protocol):
    """Decodes the bodies of some families; a commit has one of each kind."""

    families: frozenset[Family]

    def stage(self, bodies: Numbered, now_s: float, findings: Findings) -> None:
        """Decode bodies (of this decoder's families, none empty) into the staging tables.

        A body that cannot be decoded leaves nothing staged, and its fault in the findings. Raises StoreError when the
        engine cannot.
        """
        ...

    def store(self, commit: int, limits: Mapping[str, float]) -> None:
        """Make durable what is staged in tables of this decoder's own.

        `limits` are the parameters `oldest` and `newest` of a statement: times that are stored, in seconds.
        """
        ...

    def clear(self) -> None:
        """Empty the staging tables of this decoder's own."""
        ...


class SeriesDecoder(Protocol):
    """Decodes the bodies of families that are nothing but series; a commit has one of each kind.

    Most bodies hold series that are known, and then a look is all they need.
    """

    families: frozenset[Family]

    def look(self, bodies: Numbered, limits: Mapping[str, float], findings: Findings) -> Iterator[pa.Table]:
        """Yield answers of sent_series.sql over bodies (of this decoder's families, none empty).

        `limits` are as in `Decoder.store`. A body that cannot be decoded is in none of them, and its fault in the
        findings. Raises StoreError when the engine cannot.
        """
        ...

    def translate(self, bodies: Collection[int], parameters: Mapping[str, Parameter]) -> int:
        """Put the rows that these of the bodies looked at add to `series` into `unseen`; return how many.

        `parameters` are those of translate.sql. Raises StoreError when the engine cannot.
        """
        ...

    def clear(self) -> None:
        """Forget the bodies."""
        ...
