"""Flares: what `agent flare` collects for support, kept as files.

The body is a form with the archive in it (datadog-intake.md, section 18.2). It goes to disk as it comes; then the
archive is taken out of it. Directories are the tenants', the newest flares stay.
"""

import asyncio
import logging
import mmap
import os
import re
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, Final

from starlette.requests import Request

from opstrace import atomic_file
from opstrace.config import Limits
from opstrace.errors import Overloaded, PayloadTooLarge, StoreError
from opstrace.intake.ledger import Ledger
from opstrace.intake.payload import Verdict
from opstrace.intake.senders import sender_of
from opstrace.store.free_space import MIN_FREE_BYTES, check_free
from opstrace.telemetry import Telemetry

logger = logging.getLogger(__name__)

# Between two chunks of a flare: it may be large, and its line slow.
_CHUNK_TIMEOUT_S: Final = 30.0
_TEMPORARY: Final = re.compile(r"\.[0-9]{8}T[0-9.]+\.(part|zip)")
# What an archive begins with, and how its name ends: Agents of version 5 do not send a zip.
_KINDS: Final = {b"BZh": "tar.bz2"}
_FILE: Final = b'name="flare_file"'


class Flares:
    """The flares of every tenant."""

    def __init__(self, directory: Path, limits: Limits, ledger: Ledger, telemetry: Telemetry) -> None:
        self._directory = directory
        self._max_bytes = limits.max_flare_bytes
        self._max_flares = limits.max_flares
        self._ledger = ledger
        self._telemetry = telemetry
        self._arriving: Counter[str] = Counter()  # by tenant

    async def store(self, tenant: str, request: Request, check_still: Callable[[], None]) -> None:
        """Write a flare to disk; raises PayloadTooLarge and Overloaded.

        `check_still` raises what is wrong with the request once it has come.
        """
        if self._arriving[tenant] >= self._max_flares:
            raise Overloaded("too many flares come at once; try again")
        self._arriving[tenant] += 1
        try:
            size = await self._write(tenant, request, check_still)
        except (OSError, StoreError) as error:
            check_still()  # what is removed with a tenant is there no more
            logger.error("a flare of %s could not be stored, its sender is told to come again: %s", tenant, error)
            raise Overloaded("the flare could not be stored now; try again") from error
        finally:
            self._arriving[tenant] -= 1
        sender = sender_of(request.headers, tenant)
        self._ledger.settle(sender, size, Verdict(), repeated=False)

    async def _write(self, tenant: str, request: Request, check_still: Callable[[], None]) -> int:
        """Make a file of a flare and return the size of what was sent."""
        directory = self._directory / tenant
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        now_ns = time.time_ns()
        path = directory / f"{time.strftime('%Y%m%dT%H%M%S', time.gmtime(now_ns // 10**9))}.{now_ns % 10**9:09}"
        temporary = path.with_name(f".{path.name}.part")
        try:
            size = await self._receive(request, temporary)
            check_still()
            if size:
                await asyncio.to_thread(_finish, temporary, path, request.headers.get("content-type", ""))
                await asyncio.to_thread(self._make_room, tenant)
        finally:
            temporary.unlink(missing_ok=True)
        return size

    async def _receive(self, request: Request, path: Path) -> int:
        size, stream = 0, request.stream().__aiter__()
        with path.open("wb") as file:
            while True:
                try:
                    async with asyncio.timeout(_CHUNK_TIMEOUT_S):
                        chunk = await anext(stream, None)
                except TimeoutError:
                    raise Overloaded(f"nothing of the flare arrived for {_CHUNK_TIMEOUT_S:g} s") from None
                if chunk is None:
                    return size
                size += len(chunk)
                if size > self._max_bytes:
                    raise PayloadTooLarge("flare too large")
                await asyncio.to_thread(_append, file, chunk, path.parent)

    def remove_left_behind(self) -> None:
        """Remove what is left of flares that were arriving when the server ended."""
        for directory in self._directory.glob("*"):
            atomic_file.remove_left_behind(directory, _TEMPORARY)

    def _make_room(self, tenant: str) -> None:
        flares = sorted((self._directory / tenant).glob("[0-9]*"))
        for old in flares[: -self._max_flares]:
            old.unlink(missing_ok=True)  # another flare may have made the same room
            logger.info("dropped the flare %s: %d are kept a tenant", old.name, self._max_flares)
        self._telemetry.flares.labels(tenant).set(min(len(flares), self._max_flares))


def _append(file: BinaryIO, chunk: bytes, directory: Path) -> None:
    check_free(directory)
    file.write(chunk)


def _finish(received: Path, path: Path, media_type: str) -> None:
    """Put the archive of a received form in its place, or the form itself where there is none to be seen."""
    boundary = re.search(r'boundary="?([^";]+)"?', media_type)
    found = _archive(received, boundary[1].encode()) if boundary else None
    if found is None:
        atomic_file.sync(received)
        received.replace(path.with_name(f"{path.name}.form"))
    else:
        archive = received.with_name(f".{path.name}.zip")
        check_free(path.parent, MIN_FREE_BYTES + found[1] - found[0])
        try:
            _copy(received, archive, *found)
            with archive.open("rb") as file:
                kind = _KINDS.get(file.read(3), "zip")
            archive.replace(path.with_name(f"{path.name}.{kind}"))
        finally:
            archive.unlink(missing_ok=True)
    atomic_file.sync_directory(path.parent)


def _archive(form: Path, boundary: bytes) -> tuple[int, int] | None:
    """Return where the archive begins and ends in a form."""
    with form.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        named = content.find(_FILE)
        begin = content.find(b"\r\n\r\n", named) + 4
        end = content.find(b"\r\n--" + boundary, begin)
        return (begin, end) if named >= 0 and begin >= 4 and end >= 0 else None


def _copy(source: Path, target: Path, begin: int, end: int) -> None:
    with source.open("rb") as file, target.open("wb") as copy:
        at = begin
        while at < end:
            at += os.sendfile(copy.fileno(), file.fileno(), at, end - at)
        os.fsync(copy.fileno())
