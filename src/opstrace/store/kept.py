"""Requests that nobody understands yet, as they came: records in files, by tenant and route, within a bound.

`<directory>/<tenant>/<route>/<number>.kept` is a segment: a magic number, then record after record, each after its
two lengths and its checksum (docs/format.md). Writers append and sync; the oldest segment of the route that takes the
most goes where a tenant exceeds its bytes. What a crash tore is cut off at the next start; what is damaged elsewhere
is put aside as `<number>.damaged`, and the records around it stay.
"""

import logging
import os
import time
from collections import defaultdict
from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

import msgspec

from opstrace import atomic_file
from opstrace.config import LimitsOf
from opstrace.store.free_space import check_free
from opstrace.store.kept_segment import LENGTHS, MAGIC, Survey, checksum, survey, totals

logger = logging.getLogger(__name__)

# A segment is this part of a tenant's bound: bounds are kept to within one.
_SEGMENTS: Final = 32
_DAY_S: Final = 86_400


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """One request that was kept; the body is beside it."""

    time_ms: int
    method: str
    path: str
    query: str = ""  # without keys
    headers: dict[str, str] = {}  # names in lower case; without keys
    version: str = ""  # of the Agent
    host: str = ""


@dataclass(frozen=True, slots=True)
class Record:
    """A request with its body, compressed as it came."""

    request: Kept
    body: bytes

    def encode(self) -> bytes:
        """Return the record as it lies in a segment."""
        request = msgspec.json.encode(self.request)
        return LENGTHS.pack(len(request), len(self.body), checksum(request, self.body)) + request + self.body


@dataclass(frozen=True, slots=True)
class Segment:
    """One file of records."""

    tenant: str
    route: str
    path: Path
    records: int = 0
    size_bytes: int = 0  # on disk
    newest: float = 0.0  # s; when it was last written
    body_bytes: int = 0  # of bodies alone, as they came


@dataclass(frozen=True, slots=True)
class Dropped:
    """What went without having been understood."""

    tenant: str
    reason: str  # space, age, damaged
    records: int
    body_bytes: int


@dataclass(slots=True)
class _Shelf:
    """The segments of one tenant, by route, oldest first."""

    routes: defaultdict[str, list[Segment]] = field(default_factory=lambda: defaultdict(list))

    @property
    def size_bytes(self) -> int:
        return sum(segment.size_bytes for segment in self.segments())

    def segments(self) -> Iterator[Segment]:
        for segments in self.routes.values():
            yield from segments

    def largest(self) -> str:
        return max(self.routes, key=lambda route: sum(segment.size_bytes for segment in self.routes[route]))


class KeptRequests:
    """The kept requests of every tenant; use it on one thread."""

    def __init__(self, directory: Path, limits_of: LimitsOf) -> None:
        """Open the directory, cut off what a crash tore, and put aside what is damaged."""
        self._directory = directory
        self._limits_of = limits_of
        self._shelves: defaultdict[str, _Shelf] = defaultdict(_Shelf)
        self._dropped: list[Dropped] = []
        for path in sorted(directory.glob("*/*/*.kept")):
            self._open(path)

    def append(self, tenant: str, route: str, records: Sequence[bytes]) -> None:
        """Make encoded records of one route durable, in their order; then drop what exceeds the bound."""
        if self._directory.exists():
            check_free(self._directory)
        segment = self._segment(tenant, route)
        with segment.path.open("ab") as file:
            file.truncate(segment.size_bytes)  # of an append that failed half way
            file.write(b"".join([*([] if segment.size_bytes else [MAGIC]), *records]))
            file.flush()
            os.fsync(file.fileno())
            size = file.tell()
        if not segment.size_bytes:
            for directory in segment.path.parents[:3]:
                atomic_file.sync_directory(directory)
        written = replace(
            segment,
            records=segment.records + len(records),
            size_bytes=size,
            newest=time.time(),
            body_bytes=segment.body_bytes + sum(map(_body_bytes, records)),
        )
        self._shelves[tenant].routes[route][-1] = written
        self._make_room(tenant)

    def drop_old(self, now: float) -> None:
        """Drop segments of which everything is too old."""
        for tenant, shelf in self._shelves.items():
            for segment in [one for one in shelf.segments() if one.newest < self._oldest(tenant, now)]:
                self._drop(tenant, segment, "age")
        for path in self._aside("*"):
            if path.stat().st_mtime < self._oldest(path.parts[-3], now):
                path.unlink()

    def make_room(self) -> None:
        """Drop what exceeds the bounds as they are now."""
        for tenant in self._shelves:
            self._make_room(tenant)

    def forget(self, tenant: str) -> None:
        """Know nothing of a tenant any more, whose files somebody else removes."""
        self._shelves.pop(tenant, None)

    def take_dropped(self) -> list[Dropped]:
        """Return what was dropped since this was last asked."""
        taken, self._dropped = self._dropped, []
        return taken

    def segments(self, tenant: str) -> list[Segment]:
        """Return a tenant's segments."""
        return list(self._shelves[tenant].segments()) if tenant in self._shelves else []

    def tenants(self) -> list[str]:
        """Return the tenants of which something is kept."""
        return [tenant for tenant, shelf in self._shelves.items() if shelf.size_bytes]

    def replace(self, segment: Segment, left: Iterable[Record]) -> None:
        """Leave only some records in a segment; those that came to it since it was read stay too."""
        segments = self._shelves[segment.tenant].routes[segment.route]
        place = next((i for i, one in enumerate(segments) if one.path == segment.path), None)
        if place is None:
            return
        newer = list(read_records(segments[place], skip=segment.records))
        encoded = [record.encode() for record in [*left, *newer]]
        if not encoded:
            segments.pop(place).path.unlink()
            return
        content = MAGIC + b"".join(encoded)
        atomic_file.write(segment.path, content)
        segments[place] = replace(
            segments[place],
            records=len(encoded),
            size_bytes=len(content),
            body_bytes=sum(map(_body_bytes, encoded)),
        )

    def _oldest(self, tenant: str, now: float) -> float:
        return now - self._limits_of(tenant).max_kept_days * _DAY_S

    def _segment(self, tenant: str, route: str) -> Segment:
        """Return the segment to append to; a new one where the last is full, or of another day."""
        segments = self._shelves[tenant].routes[route]
        now = time.time()
        last = segments[-1] if segments else None
        full = last is None or last.size_bytes >= self._limits_of(tenant).max_kept_bytes // _SEGMENTS
        if last is None or full or now // _DAY_S != last.newest // _DAY_S:
            directory = self._directory / tenant / route
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            last = Segment(tenant, route, directory / f"{time.time_ns():020}.kept", newest=now)
            segments.append(last)
        return last

    def _make_room(self, tenant: str) -> None:
        shelf, most = self._shelves[tenant], self._limits_of(tenant).max_kept_bytes
        while shelf.size_bytes > most:
            self._drop(tenant, shelf.routes[shelf.largest()][0], "space")

    def _drop(self, tenant: str, segment: Segment, reason: str) -> None:
        self._shelves[tenant].routes[segment.route].remove(segment)
        segment.path.unlink(missing_ok=True)
        self._dropped.append(Dropped(tenant, reason, segment.records, segment.body_bytes))

    def _open(self, path: Path) -> None:
        content, written = path.read_bytes(), path.stat()
        found = survey(content)
        try:
            self._mend(path, content, found)
        except OSError as error:
            logger.error("cannot mend %s, which is left as it is until the next start: %s", path, error)
            return
        if not found.readable:
            path.unlink()
            return
        os.utime(path, ns=(written.st_atime_ns, written.st_mtime_ns))
        tenant, route = path.parts[-3:-1]
        records, body_bytes = totals(found.readable)
        segment = Segment(tenant, route, path, records, path.stat().st_size, written.st_mtime, body_bytes)
        self._shelves[tenant].routes[route].append(segment)

    def _mend(self, path: Path, content: bytes, found: Survey) -> None:
        """Leave only what can be read in a segment."""
        if found.damaged:
            self._put_aside(path, b"".join(stretch.of(content) for stretch in found.damaged))
            records, body_bytes = totals(found.damaged)
            logger.warning("%s is damaged; requests lost: %d, left: %d", path, records, len(found.readable))
            atomic_file.write(path, MAGIC + b"".join(stretch.of(content) for stretch in found.readable))
            self._dropped.append(Dropped(path.parts[-3], "damaged", records, body_bytes))
        elif found.whole < len(content):
            logger.info("cut %d bytes off %s, whose end was torn", len(content) - found.whole, path)
            os.truncate(path, found.whole)

    def _put_aside(self, path: Path, damaged: bytes) -> None:
        """Keep damaged bytes for whoever can read them, as many of a tenant as a segment may have."""
        tenant = path.parts[-3]
        taken = sum(other.stat().st_size for other in self._aside(tenant))
        if taken + len(damaged) <= self._limits_of(tenant).max_kept_bytes // _SEGMENTS:
            atomic_file.write(path.with_suffix(".damaged"), damaged)

    def _aside(self, tenant: str) -> list[Path]:
        return list(self._directory.glob(f"{tenant}/*/*.damaged"))


def read_records(segment: Segment, skip: int = 0) -> Generator[Record]:
    """Yield the records of a segment as long as it was when it was described, but the first `skip`."""
    with segment.path.open("rb") as file:
        file.seek(len(MAGIC))
        for number in range(segment.records):
            request_bytes, body_bytes, _ = LENGTHS.unpack(file.read(LENGTHS.size))
            if number < skip:
                file.seek(request_bytes + body_bytes, os.SEEK_CUR)
                continue
            request = msgspec.json.decode(file.read(request_bytes), type=Kept)
            yield Record(request, file.read(body_bytes))


def _body_bytes(record: bytes) -> int:
    """Return the size of the body in an encoded record."""
    _, size, _ = LENGTHS.unpack_from(record)
    return int(size)
