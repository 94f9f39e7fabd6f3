"""The server's side of DogStatsD: it owns the sockets, keeps a worker running, and has its payloads stored."""

import asyncio
import contextlib
import logging
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Final

import msgspec

from opstrace.config import Config
from opstrace.dogstatsd import sockets
from opstrace.dogstatsd.frames import LENGTH, QUIET_REASONS, Busy, Listening, Payload, Report, Start, decoded, encoded
from opstrace.dogstatsd.payloads import Content
from opstrace.errors import IntakeError, Overloaded
from opstrace.recurring import watched
from opstrace.telemetry import Telemetry

if TYPE_CHECKING:
    from socket import socket

logger = logging.getLogger(__name__)

# How often a payload is offered to a store that has no room for it, before it is lost.
MAX_OFFERS: Final = 5
# A line that was refused is shown so often at most, for each tenant.
EXAMPLE_INTERVAL_S: Final = 60.0
_RESTART_PAUSE_S: Final = 1.0
# A worker that was told to end is given so long to hand over what it has.
_STOP_S: Final = 10.0

# Makes a body of a tenant durable; raises IntakeError.
Store = Callable[[str, Content, bytes], Awaitable[None]]


class Service:
    """DogStatsD of one server."""

    def __init__(self, config: Config, hostname: str, store: Store, telemetry: Telemetry) -> None:
        self._settings = config.dogstatsd
        self._limits = config.limits
        self._tenants = [listener.tenant or config.first_tenant for listener in config.dogstatsd.listeners]
        self._hostname = config.dogstatsd.hostname or hostname
        self._store = store
        self._telemetry = telemetry
        self._sockets: list[socket] = []
        self._process: Process | None = None
        self._task: asyncio.Task[None] | None = None
        self._stopping = False
        self._drops: Counter[str] = Counter()
        self._shown_at: dict[str, float] = {}
        self._unshown: Counter[str] = Counter()
        self.busiest: Sequence[Busy] = ()

    @property
    def enabled(self) -> bool:
        """Say whether it hears anything."""
        return self._settings.enabled

    def open(self) -> None:
        """Bind the sockets: what is sent from now on waits there. Raises InstanceError when one cannot be had."""
        if self._settings.enabled:
            self._sockets = sockets.opened(self._settings)

    def start(self) -> None:
        """Begin to hear, if there is anything to be heard by."""
        if self._sockets:
            self._task = watched(self._run(), "DogStatsD")

    async def stop(self) -> None:
        """Have the worker hand over what is over, store it, and let go of the sockets."""
        self._stopping = True
        if self._process and self._process.stdin:
            self._process.stdin.close()
        try:
            if self._task:
                await asyncio.wait_for(self._task, _STOP_S)
        except TimeoutError:
            logger.warning("DogStatsD took longer than %g s to end; what it had left is lost", _STOP_S)
            self._kill()
        finally:
            sockets.close(self._settings, self._sockets)

    async def _run(self) -> None:
        """Keep a worker running until we stop."""
        while not self._stopping:
            try:
                await self._work()
            except (OSError, msgspec.DecodeError, asyncio.IncompleteReadError) as error:
                logger.error("DogStatsD stumbled: %s", error)
                self._kill()
            except Exception:
                logger.exception("DogStatsD stumbled")
                self._kill()
            if not self._stopping:
                logger.error("the process that hears DogStatsD has ended; starting another")
                self._telemetry.dogstatsd_restarts.inc()
                await asyncio.sleep(_RESTART_PAUSE_S)

    async def _work(self) -> None:
        descriptors = [bound.fileno() for bound in self._sockets]
        self._process = process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-m", "opstrace.dogstatsd.worker"),
            stdin=PIPE,
            stdout=PIPE,
            pass_fds=descriptors,
            start_new_session=True,
        )
        if process.stdin is None or process.stdout is None:  # not with these arguments
            raise OSError("the worker has no pipes")
        process.stdin.write(encoded(self._first_words(descriptors)))
        with contextlib.suppress(ConnectionError):
            await process.stdin.drain()
        if self._stopping:
            process.stdin.close()
        while head := await _head(process.stdout):
            (length,) = LENGTH.unpack(head)
            message = decoded(await process.stdout.readexactly(length))
            if isinstance(message, Report):
                self._note(message)
            else:
                await self._keep(message)
        await process.wait()

    def _first_words(self, descriptors: Sequence[int]) -> Start:
        listening = [
            Listening(descriptor, listener.url, tenant, listener.eol_required)
            for descriptor, listener, tenant in zip(descriptors, self._settings.listeners, self._tenants, strict=True)
        ]
        limits = self._limits
        return Start(
            self._settings, self._hostname, listening, limits.max_dogstatsd_contexts, limits.max_dogstatsd_samples
        )

    async def _keep(self, payload: Payload) -> None:
        """Store a payload; one that finds no room is offered again."""
        for offer in range(1, MAX_OFFERS + 1):
            try:
                await self._store(payload.tenant, Content(payload.content), payload.data)
            except Overloaded as error:
                if offer < MAX_OFFERS and not self._stopping:
                    await asyncio.sleep(error.retry_after_s)
                    continue
                self._lose(error)
            except IntakeError as error:
                self._lose(error)
            return

    def _lose(self, error: IntakeError) -> None:
        logger.warning("a payload of DogStatsD is lost: %s", error)
        self._telemetry.dogstatsd_lost.labels("payload").inc()

    def _note(self, report: Report) -> None:
        telemetry = self._telemetry
        for url, number in report.packets.items():
            telemetry.dogstatsd_packets.labels(url).inc(number)
            telemetry.dogstatsd_bytes.labels(url).inc(report.octets[url])
            telemetry.dogstatsd_kernel_drops.labels(url).inc(max(report.kernel_drops[url] - self._drops[url], 0))
            self._drops[url] = report.kernel_drops[url]
        for tenant, kind, number in report.lines:
            telemetry.dogstatsd_lines.labels(tenant, kind).inc(number)
        for tenant, number in report.contexts.items():
            telemetry.dogstatsd_contexts.labels(tenant).set(number)
            telemetry.dogstatsd_blocked.labels(tenant).inc(report.blocked[tenant])
            telemetry.dogstatsd_buckets.labels(tenant).inc(report.buckets.get(tenant, 0))
        telemetry.dogstatsd_lost.labels("flush").inc(report.lost)
        telemetry.dogstatsd_queue.set(report.waiting)
        for tenant, reason, number in report.refused:
            telemetry.dogstatsd_refused.labels(tenant, reason).inc(number)
            if reason not in QUIET_REASONS:
                self._unshown[tenant] += number
        for tenant, example in report.examples.items():
            self._show(tenant, example)
        self.busiest = report.busiest

    def _show(self, tenant: str, example: bytes) -> None:
        """Log one of the lines that were refused, and how many there were, if that was not done lately."""
        now_s = time.monotonic()
        if now_s - self._shown_at.get(tenant, -EXAMPLE_INTERVAL_S) < EXAMPLE_INTERVAL_S:
            return
        self._shown_at[tenant] = now_s
        logger.warning(
            "DogStatsD of tenant %s refused %d lines; one of them is %r",
            tenant,
            self._unshown.pop(tenant),
            example.decode("utf-8", "backslashreplace"),
        )

    def _kill(self) -> None:
        if self._process and self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()


async def _head(stream: asyncio.StreamReader) -> bytes:
    """Return the length of the next message; nothing at the end."""
    try:
        return await stream.readexactly(LENGTH.size)
    except asyncio.IncompleteReadError as error:
        if error.partial:
            raise
        return b""
