"""The composition root: builds every object of a server, owns its start and its drain."""

import asyncio
import contextlib
import gc
import logging
import signal
import socket
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from typing import Any, Final

import msgspec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from opstrace import allocator, ports
from opstrace.access import Access
from opstrace.administration import Administration
from opstrace.config import SYSTEM_TENANT, Limits
from opstrace.datadog.load import loads
from opstrace.dogstatsd.payloads import Content
from opstrace.dogstatsd.service import Service as Dogstatsd
from opstrace.errors import IntakeError, Overloaded, QueryUnauthorized, StoreError
from opstrace.instance import Instance
from opstrace.intake.acceptance import Acceptance, Parcel
from opstrace.intake.body import inflate, inflated, read
from opstrace.intake.bookkeeper import Bookkeeper
from opstrace.intake.commit import Commit
from opstrace.intake.flares import Flares
from opstrace.intake.ledger import Ledger
from opstrace.intake.otlp.route import Otlp
from opstrace.intake.payload import Family
from opstrace.intake.rates import Rates
from opstrace.intake.refusals import with_retry_after
from opstrace.intake.remote_write.route import RemoteWrite
from opstrace.intake.remote_write.writes import Writes
from opstrace.intake.replay import Replay
from opstrace.intake.routes import Intake, families_of, goes_to_disk
from opstrace.intake.senders import DOGSTATSD
from opstrace.intake.settlement import Settlement
from opstrace.intake.translator import Translator
from opstrace.listeners import DRAIN_S, listening, raise_open_files
from opstrace.log_lines import Sparing
from opstrace.promql.engine import Engine as PromqlEngine
from opstrace.recurring import every, watched
from opstrace.right_of_way import RightOfWay
from opstrace.routing import collapsed_slashes
from opstrace.self_monitoring import SELF_MONITORING_INTERVAL_S, SelfMonitoring
from opstrace.store.books import Books
from opstrace.store.catalogue import Catalogue
from opstrace.store.checks import Checks
from opstrace.store.embedded import Store
from opstrace.store.engine import Engine
from opstrace.store.events import Events
from opstrace.store.host_tag_table import HostTagTable
from opstrace.store.host_writer import HostWriter
from opstrace.store.hosts import Hosts
from opstrace.store.kept import KeptRequests, Segment
from opstrace.store.logs import Logs
from opstrace.store.removal import Removal
from opstrace.store.retention import Retention
from opstrace.store.writer import Writer
from opstrace.telemetry import Telemetry
from opstrace.tenants import Tenant
from opstrace.upkeep import Upkeep
from opstrace.web import admin, datadog_api, datadog_events, datadog_hosts, prometheus, ui
from opstrace.web.dashboards import Dashboards
from opstrace.web.lookups import MAX_LOOKUPS, Lookups
from opstrace.web.query_pool import QueryLimits, QueryPool
from opstrace.web.question import About
from opstrace.web.sessions import Sessions
from opstrace.web.tenancy import Tenancy
from opstrace.web.under_way import UnderWay
from opstrace.web.workspace import Workspace

logger = logging.getLogger(__name__)

# A thread that computes hands the interpreter over after this long. A statement of the engine asks for it hundreds of
# times: by default, a hundred times as long, a commit beside a thread of light queries takes seconds.
SWITCH_INTERVAL_S: Final = 0.00005
# What DogStatsD sends is what an Agent sends.
_FAMILIES: Final = {
    Content.SERIES: Family.SERIES_V1,
    Content.SKETCHES: Family.SKETCHES,
    Content.EVENTS: Family.INTAKE,
    Content.CHECKS: Family.CHECK_RUN,
}


class Server:
    """Every object of one instance's server."""

    def __init__(self, instance: Instance) -> None:
        """Open the store; raise StoreError when that cannot be."""
        config = instance.config
        limits = config.limits
        self.instance = instance
        self.started_s = time.time()
        self.telemetry = Telemetry()
        right_of_way = RightOfWay()
        self.pool = QueryPool(
            _query_limits(limits),
            lambda tenant: _query_limits(self._limits_of(tenant)),
            right_of_way=right_of_way,
        )
        self.lookups = Lookups(self.telemetry)
        # Whoever reads on a thread of these has a connection at once. One more is for the server itself.
        readers = limits.query_concurrency + MAX_LOOKUPS + 1
        self.engine = Engine(instance.data_directory, readers, used_before=instance.finished)
        writer = Writer(self.engine)
        self.kept = KeptRequests(instance.home / "kept", self._limits_of)
        self.host_tags = HostTagTable(self.engine, config.tag_label_prefix)
        self.host_writer = HostWriter(self.engine, writer, self.host_tags)
        self.translator = Translator(
            self.engine,
            writer,
            self.kept,
            self.host_writer,
            limits,
            self._limits_of,
            retention_days=lambda: self.instance.config.metric_retention_days,
            log_retention_days=lambda: self.instance.config.log_retention_days,
            tag_label_prefix=config.tag_label_prefix,
        )
        self.retention = Retention(
            self.engine,
            writer,
            self.host_tags,
            days=lambda: self.instance.config.metric_retention_days,
            log_days=lambda: self.instance.config.log_retention_days,
        )
        self.commit = Commit(
            self.translator.commit,
            self.telemetry,
            max_bodies=limits.max_queue_bodies,
            max_bytes=limits.max_queue_bytes,
            right_of_way=right_of_way,
        )
        self.store = Store(self.engine, writer, self.host_tags, max_remembered_bytes=limits.max_query_cache_bytes)
        self.hosts = Hosts(self.engine, self.host_tags)
        self.events = Events(self.engine, self.host_tags)
        self.access = Access(
            instance.keyring, instance.host, authentication_disabled=config.data_api_authentication_disabled
        )
        self.sessions = Sessions(self.access, instance.name, instance.home / "sessions.json")
        ledger, rates = Ledger(), Rates(self._limits_of)
        self.books = Books(self.engine)
        self.bookkeeper = Bookkeeper(ledger, self.books, self.kept, self.commit, self.telemetry)
        settlement = self.settlement = Settlement(ledger, rates)
        acceptance = self.acceptance = Acceptance(self.commit, self.telemetry, limits, ledger, settlement)
        self.rates = rates
        self.dogstatsd = Dogstatsd(config, socket.gethostname(), self._store_dogstatsd, self.telemetry)
        flares = Flares(instance.home / "flares", limits, ledger, self.telemetry)
        self.intake = Intake(self.access, acceptance, flares, rates, self.telemetry, limits)
        writes = Writes(self.commit, self.telemetry, ledger, rates, settlement)
        self.remote_write = RemoteWrite(self.access, writes, self.telemetry, limits)
        self.otlp = Otlp(self.access, writes, self.telemetry, limits)
        self.replay = Replay(acceptance, self.commit, self.kept, ledger, families_of)
        self.upkeep = Upkeep(instance.home, self.commit, self.retention, self.kept, flares)
        self.self_monitoring = SelfMonitoring(
            lambda: self.instance,
            self.telemetry,
            self.engine,
            self.store,
            self.commit,
            self.bookkeeper,
            lambda: self._kept(None),
        )
        self.administration = Administration(
            instance,
            self._adopt,
            self.commit,
            self.bookkeeper,
            Removal(self.engine),
            forget_stored=self._forget_stored,
            forget_heard=self._forget_heard,
        )

    def application(self) -> ASGIApp:
        """Return what the listeners serve."""
        promql = PromqlEngine()
        routes = [
            Route("/trust-anchor.pem", self._trust_anchor),
            Route("/metrics", self._metrics),
            *self.remote_write.routes(),
            *self.otlp.routes(),
            *prometheus.routes(
                self.store,
                promql,
                self._reader,
                self.pool,
                telemetry=self.telemetry,
                about=self._about,
                body_timeout_s=self.instance.config.limits.body_timeout_s,
            ),
            *admin.routes(self._admin()),
            *Tenancy(self._operator, self.administration).routes(),
            *self._workspace().routes(),
            *ui.routes(self.sessions, self.instance.name, lambda: self.instance.config.all_tenants),
            *datadog_api.routes(
                datadog_api.Door(self._keyed, self._unpacked, with_retry_after, self.lookups),
                self._datadog_endpoints(),
            ),
            *self.intake.routes(),
        ]
        application = Starlette(routes=routes)
        # A redirect of a POST loses its body at Agents.
        application.router.redirect_slashes = False
        return collapsed_slashes(self.intake.before(application))

    async def run_chores(self) -> None:
        """Observe ourselves and drop what is too old, until cancelled."""
        async with asyncio.TaskGroup() as chores:
            chores.create_task(
                every(SELF_MONITORING_INTERVAL_S, "writing the server's own metrics", self.self_monitoring.observe)
            )
            chores.create_task(self.upkeep.run())
            chores.create_task(self.administration.run())

    async def close(self) -> None:
        """Finish what was accepted, then let go of the store."""
        # Whatever one of them raises, the others have their turn: from the last to the first.
        async with contextlib.AsyncExitStack() as closing:
            closing.callback(self.engine.close)
            closing.callback(self.lookups.close)
            closing.callback(self.pool.close)
            closing.callback(self.otlp.close)
            closing.push_async_callback(self.commit.drain)
            closing.push_async_callback(self._write_books)
            closing.push_async_callback(self.dogstatsd.stop)

    async def _write_books(self) -> None:
        with contextlib.suppress(StoreError):
            await self.bookkeeper.write()

    def _about(self) -> About:
        config = self.instance.config
        retention = {name: getattr(config, name) for name in ("metric_retention_days", "log_retention_days")}
        settings = retention | {
            f"limits.{name}": value for name, value in msgspec.structs.asdict(config.limits).items()
        }
        return About(
            {name: str(value) for name, value in settings.items()}, f"{config.metric_retention_days}d", self.started_s
        )

    def _admin(self) -> admin.Sources:
        return admin.Sources(
            lookups=self.lookups,
            tenant_of=lambda request: self.sessions.tenant(request, QueryUnauthorized),
            operator_of=self._operator,
            note=self.bookkeeper.write,
            books=self.books.totals,
            kept=self._kept,
            replay=self._replayed,
            logs=Logs(self.engine).select,
            events=self.events,
            checks=Checks(self.engine),
            hosts=self.hosts,
            dogstatsd=lambda: self.dogstatsd.busiest if self.dogstatsd.enabled else None,
        )

    def _workspace(self) -> Workspace:
        return Workspace(
            lambda: self.instance,
            self.lookups,
            lambda request: self.sessions.tenant(request, QueryUnauthorized),
            Catalogue(self.engine),
            Dashboards(self.instance.home / "dashboards"),
        )

    def _datadog_endpoints(self) -> list[tuple[str, str, datadog_api.Endpoint, int]]:
        limits = self.instance.config.limits
        sources = datadog_hosts.HostSources(
            hosts=self.hosts,
            loads=lambda tenant: loads(
                self.store.querier(tenant, self.pool.limits_of(tenant).budget(0)), time.time_ns() // 1_000_000
            ),
            writer=self.host_writer,
            alone=self.commit.between,
            max_tags=limits.max_tags,
            max_tag_bytes=limits.max_tag_bytes,
        )
        events = datadog_events.endpoints(self.events)
        return [*datadog_hosts.endpoints(sources), *events]

    async def _unpacked(self, request: Request, max_bytes: int) -> bytes:
        """Return the body of a question as intake does; raises IntakeError."""
        raw = await read(request, self.instance.config.limits)
        return await inflated(raw, request.headers.get("content-encoding", ""), max_bytes, inflate)

    async def _store_dogstatsd(self, tenant: str, content: Content, data: bytes) -> None:
        """Store a payload as an Agent's is, with the same limits, books and repeats."""
        headers = {"user-agent": DOGSTATSD}
        try:
            self.rates.admit(tenant)
            parcel = Parcel(tenant, "POST", f"/{DOGSTATSD}", DOGSTATSD, {}, headers, data)
            await self.acceptance.store(parcel, (_FAMILIES[content],))
        except Overloaded:
            raise
        except IntakeError as error:
            self.telemetry.refused_bodies.labels(DOGSTATSD, tenant, error.reason).inc()
            self.acceptance.refuse(tenant, headers, len(data), error.reason)
            raise

    def _limits_of(self, tenant: str) -> Limits:
        return self.instance.config.limits_of(tenant)

    def _adopt(self, instance: Instance) -> None:
        """Serve an instance whose tenants, keys, limits or retention have changed."""
        self.instance = instance
        self.access.keyring = instance.keyring

    def _forget_stored(self, tenant: str) -> None:
        """Drop what is in memory of a tenant whose rows are gone, and belongs to the writer's thread."""
        self.translator.forget(tenant)
        self.kept.forget(tenant)
        self.host_tags.forget([tenant])
        self.store.recent.clear()

    def _forget_heard(self, tenant: str) -> None:
        """Drop what is in memory of a tenant that is gone, and belongs to the event loop."""
        self.telemetry.forget(tenant)
        self.settlement.forget(tenant)
        self.rates.forget(tenant)
        self.bookkeeper.forget(tenant)

    def _operator(self, request: Request) -> Tenant:
        """Return whose key a request shows; the instance's own command shows tenant `system`'s probe key.

        Routes that take this one take the probe keys of the other tenants, too, for what is theirs.
        """
        return self.sessions.tenant(request, QueryUnauthorized, probe=True)

    async def _kept(self, tenant: str | None) -> list[Segment]:
        def segments() -> list[Segment]:
            tenants = [tenant] if tenant else self.kept.tenants()
            return [segment for one in tenants for segment in self.kept.segments(one)]

        return await self.commit.between(segments)

    async def _replayed(self, tenant: str | None) -> list[dict[str, Any]]:
        tenants = [tenant] if tenant else await self.commit.between(self.kept.tenants)
        return [asdict(replayed) for one in tenants for replayed in await self.replay.run(one)]

    def _keyed(self, request: Request) -> Tenant:
        return self.access.tenant(request, QueryUnauthorized)

    def _reader(self, request: Request) -> Tenant:
        probe = request.scope["path"] == f"{prometheus.PREFIX}/status/buildinfo"
        return self.sessions.tenant(request, QueryUnauthorized, probe=probe)

    async def _trust_anchor(self, _request: Request) -> Response:
        path = self.instance.trust_anchor_file
        if path is None:
            return Response("this server's certificate comes from a public authority\n", 404, media_type="text/plain")
        return FileResponse(path, media_type="application/x-pem-file", filename="opstrace-ca.pem")

    async def _metrics(self, request: Request) -> Response:
        try:
            tenant = self.access.tenant(request, QueryUnauthorized)
        except QueryUnauthorized as error:
            return Response(f"{error}\n", 403, media_type="text/plain")
        if tenant.name != SYSTEM_TENANT:
            return Response("the key of tenant system is needed here\n", 403, media_type="text/plain")
        return Response(self.telemetry.exposition(), headers={"content-type": self.telemetry.content_type})


def _query_limits(limits: Limits) -> QueryLimits:
    return QueryLimits(
        max_samples=limits.max_query_samples,
        max_series=limits.max_query_series,
        max_memory_bytes=limits.max_query_memory_bytes,
        timeout_s=limits.query_timeout_s,
        concurrency=limits.query_concurrency,
    )


async def serve(instance: Instance, announce: Callable[[], None]) -> None:
    """Serve an instance until SIGTERM, SIGINT or SIGHUP, then drain.

    `announce` is called once every listener listens. Raises InstanceError when a port cannot be had, StoreError when
    the data cannot be opened.
    """
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    for name in (Commit.__module__, "uvicorn.error"):
        logging.getLogger(name).addFilter(Sparing())
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    allocator.keep_freed()
    ports.check_free(instance.config)
    raise_open_files()
    server = Server(instance)
    try:
        server.dogstatsd.open()
        server.commit.start()
        application = UnderWay(server.application(), goes_to_disk)
        async with listening(instance, application) as listeners:
            server.administration.contexts = [one.config.ssl for one in listeners if one.config.ssl]
            stop = _stop_signal()
            server.dogstatsd.start()
            chores = watched(server.run_chores(), "the server's upkeep")
            # All of this stays. The collector of garbage would go through it again and again, and stop all threads
            # for 70 ms each time.
            gc.freeze()
            logger.info("serving %s at %s", instance.name, instance.url)
            if instance.config.data_api_authentication_disabled:
                logger.warning(
                    "data_api_authentication_disabled is true: whoever reaches %s reads and writes without a key",
                    instance.url,
                )
            announce()
            await stop.wait()
            logger.info("stopping: finishing what was accepted")
            chores.cancel()
            await asyncio.gather(chores, return_exceptions=True)
            asyncio.get_running_loop().call_later(DRAIN_S, application.end)
            for listener in listeners:
                listener.should_exit = True
    finally:
        await server.close()
    logger.info("stopped")


def _stop_signal() -> asyncio.Event:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    return stop
