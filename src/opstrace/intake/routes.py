"""The Datadog API's doors: which endpoint, which tenant, is there room; then body, commit, answer.

Statuses are verdicts (`errors.INTAKE_STATUS`). Answers are those of datadog-intake.md, section 21.
"""

import asyncio
import json
import logging
import re
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import msgspec
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from opstrace.access import KEY_REQUIRED, Access, keys
from opstrace.config import Limits
from opstrace.datadog.events import Document, created, created_v2
from opstrace.errors import INTAKE_STATUS, Forbidden, IntakeError, NotServed, Overloaded, Undecodable
from opstrace.intake.acceptance import Acceptance, Parcel, redacted
from opstrace.intake.body import head, raw_of, read
from opstrace.intake.ci_questions import CI_QUESTIONS, told
from opstrace.intake.flares import Flares
from opstrace.intake.pages import FORWARDED, forwarded, may_send, open_to_pages
from opstrace.intake.payload import Family
from opstrace.intake.rates import Rates
from opstrace.intake.refusals import with_retry_after
from opstrace.intake.validation import VALIDATE, VALIDATIONS, validated
from opstrace.routing import ANYTHING, collapsed
from opstrace.store.events import Event
from opstrace.telemetry import Telemetry

logger = logging.getLogger(__name__)

_JSON: Final = "application/json"
_READING: Final = ("GET", "HEAD", "DELETE")  # nothing is sent by these
_FIRST_REFUSAL: Final = 400
_PROTOBUF: Final = "application/x-protobuf"
# How much of a body, inflated, is searched for a key, how many bodies at once, and how many large and small ones are
# in memory for that: they may be anybody's. Agents of version 5 write it anywhere in a document, which holds a host's
# values of 15 s.
MAX_KEYLESS_BYTES: Final = 1024 * 1024
MAX_KEYLESS_BODIES: Final = 2
MAX_KEYLESS_READ: Final = 16
MAX_SMALL_KEYLESS_READ: Final = 256
_LARGE_KEYLESS_BYTES: Final = 64 * 1024
# Found also in documents that no parser takes: their sender should hear that, not that the key is missing.
_INNER_KEY: Final = re.compile(rb'"apiKey"\s*:\s*"([0-9a-fA-F]{32})"')

_STATUS_OK: Final = b'{"status":"ok"}'
_NO_ERRORS: Final = b'{"errors":[]}'
_EMPTY: Final = b"{}"
# Message version 3, encoding 0, type 23, status{interval 2}: what a process check must get to be content
# (datadog-intake.md, section 16.2).
_COLLECTOR_STATUS: Final = bytes.fromhex("030017000000000000000000000000001a021002")


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One path: what its bodies are, and the answer to one that was taken."""

    families: tuple[Family, ...] = ()  # by what the body is: JSON first; none: kept as it came
    asked: bool = False  # by GET and HEAD too
    status: int = 202
    answer: bytes = _EMPTY
    media_type: str = _JSON
    tell: Callable[[Event, str], Document] | None = None  # the answer to a body that became an event, with our URL
    key_inside: bool = False  # the body itself may hold the key
    files: bool = False  # bodies are files, and go to disk as they come


_METRICS = {
    "/api/v1/series": Endpoint((Family.SERIES_V1,), answer=_STATUS_OK),
    "/api/v2/series": Endpoint((Family.SERIES_V2_JSON, Family.SERIES_V2_PROTOBUF), answer=_NO_ERRORS),
    "/api/v1/check_run": Endpoint((Family.CHECK_RUN,), answer=_STATUS_OK),
    "/api/v1/distribution_points": Endpoint((Family.DISTRIBUTION_POINTS,), answer=_STATUS_OK),
    "/api/beta/sketches": Endpoint((Family.SKETCHES,), answer=_NO_ERRORS),
    "/api/intake/metrics/v3/series": Endpoint((Family.COLUMNAR,), answer=_NO_ERRORS),
    "/api/intake/metrics/v3/sketches": Endpoint((Family.COLUMNAR,), answer=_NO_ERRORS),
    "/api/intake/metrics/v3beta/series": Endpoint((Family.COLUMNAR,), answer=_NO_ERRORS),
}
_DOCUMENTS = {
    **dict.fromkeys(
        ("/intake", "/intake/metrics", "/intake/metadata"),
        Endpoint((Family.INTAKE,), answer=_STATUS_OK, key_inside=True),
    ),
    "/api/v1/metadata": Endpoint((Family.INVENTORY,)),
    "/api/v1/events": Endpoint((Family.EVENT_V1,), answer=_STATUS_OK, tell=created),
    "/api/v2/events": Endpoint((Family.EVENT_V2, Family.EVENTS_BATCH), tell=created_v2),
    "/api/v1/events_batch": Endpoint((Family.INTAKE, Family.EVENTS_BATCH)),
}
_LOGS = {
    "/api/v2/logs": Endpoint((Family.LOGS, Family.LOGS_TEXT)),
    "/v1/input": Endpoint((Family.LOGS, Family.LOGS_TEXT), status=200),
}
# Tracks of the event platform (datadog-intake.md, section 15).
_TRACKS: Final = (
    *("agentdiscovery", "compliance", "contimage", "contlcycle", "data_streams_messages", "databasequery"),
    *("dbmactivity", "dbmcolumnstatistics", "dbmhealth", "dbmmetadata", "dbmmetrics", "genresources", "kubeactions"),
    *("ndm", "ndmconfig", "ndmflow", "ndmtraps", "netpath", "query-actions", "sbom", "sdsresult", "secinfo"),
    *("secruntime", "softinv", "synthetics"),
)
# Answered as their senders need it, and kept until they are understood.
_ANSWERED = {
    **dict.fromkeys(
        (f"/api/v1/{checks}" for checks in ("collector", "container", "discovery", "connections", "orchestrator")),
        Endpoint(status=200, answer=_COLLECTOR_STATUS, media_type=_PROTOBUF),
    ),
    **dict.fromkeys(
        (
            "/api/v2/apmtelemetry",
            "/api/v2/orch",
            "/api/v2/orchmanif",
            "/api/v0.1/pipeline_stats",
            "/api/v0.2/stats",
            "/api/v0.2/traces",
            "/api/v1/lineage",
            "/api/v2/agenthealth",
            "/api/v2/debugger",
            "/api/v2/profile",
            "/api/v2/secdump",
        ),
        Endpoint(),
    ),
    **dict.fromkeys((f"/api/v2/{track}" for track in _TRACKS), Endpoint()),
}
# Asked by Agents beside intake.
_ASKED = {
    "/support/flare": Endpoint(asked=True, files=True, status=200, answer=b'{"case_id":1}'),
    **dict.fromkeys(
        ("/api/v0.1/configurations", "/api/v0.1/org", "/api/v0.1/status"),
        Endpoint(asked=True, status=403, answer=b'{"errors":["remote configuration is not served here"]}'),
    ),
}
ENDPOINTS: Final = _METRICS | _DOCUMENTS | _LOGS | _ANSWERED | _ASKED
_UNKNOWN: Final = Endpoint()
# Where clients of OpenTelemetry and Prometheus go that were told no more than our address, and where they should.
_OF_PROMETHEUS: Final = (
    *("write", "otlp/v1/metrics", "read", "query", "query_range"),
    *("query_exemplars", "labels", "format_query"),
)
# What tracers ask their Agent for: told that it is not here, they send DogStatsD by UDP, and ask no more.
_OF_LOCAL_AGENTS: Final = ("/dogstatsd/v1/proxy", "/dogstatsd/v2/proxy", "/v0.7/config")
_MISPLACED: Final = {
    "/v1/metrics": "/prometheus/api/v1/otlp/v1/metrics",
    **{f"/api/v1/{name}": f"/prometheus/api/v1/{name}" for name in _OF_PROMETHEUS},
}
# What is asked of Prometheus's API below these is asked of nothing else.
_BELOW_PROMETHEUS: Final = ("/api/v1/label/", "/api/v1/status/")
# Our own: no sender means these.
_OWN: Final = ("/admin", "/ui", "/event", "/metrics", "/_health", "/trust-anchor.pem")
# Micrometer says here what its metrics are, with an application key (datadog-intake.md, section 20).
_DESCRIPTIONS: Final = "/api/v1/metrics/"
# Agents up to 7.31 send profiles, in a form, to a path by which logs go elsewhere (datadog-intake.md, section 17.3).
_FORM: Final = "multipart/form-data"
# The tracer for Python, where there is no Agent, sends spans by a path of logs, and says so beside them
# (DataDog/dd-trace-py: ddtrace/internal/writer/writer.py).
_TRACES: Final = "x-datadog-trace-count"
# Agents ask every address of theirs whether it answers, at the start and every ten minutes, by this at its end.
_PROBE: Final = "/probe"
# Behind these a sender puts its key, or the number of a case.
_WITH_TAIL: Final = ("/v1/input", "/support/flare")


def route_name(path: str) -> str:
    """Return the label of a path in our metrics: its slashes as underscores; `other` for one not in the table."""
    known = path in ENDPOINTS or path in VALIDATIONS or path in CI_QUESTIONS
    return path.strip("/").replace("/", "_") if known else "other"


def families_of(path: str, headers: Mapping[str, str]) -> tuple[Family, ...]:
    """Return the families of what is sent to a path; none where it is not understood."""
    families = ENDPOINTS.get(path, _UNKNOWN).families
    is_form = headers.get("content-type", "").lower().startswith(_FORM)
    return () if Family.LOGS in families and (is_form or _TRACES in headers) else families


def endpoint_path(path: str) -> str:
    """Return the path as the table has it: slashes collapsed, none at the end, no tail where one may be."""
    path = collapsed(path)
    return next((prefix for prefix in _WITH_TAIL if path.startswith(f"{prefix}/")), path)


def goes_to_disk(scope: Scope) -> bool:
    """Say whether the body of a request goes to disk as it comes, and never is in memory as a whole."""
    if FORWARDED.encode() in scope["query_string"]:
        scope = forwarded(Request(scope)).scope
    return ENDPOINTS.get(endpoint_path(scope["path"]), _UNKNOWN).files


class Intake:
    """Answers the Datadog API of one server."""

    def __init__(
        self,
        access: Access,
        acceptance: Acceptance,
        flares: Flares,
        rates: Rates,
        telemetry: Telemetry,
        limits: Limits,
    ) -> None:
        self._access = access
        self._acceptance = acceptance
        self._flares = flares
        self._rates = rates
        self._telemetry = telemetry
        self._limits = limits
        self._keyless = asyncio.Semaphore(MAX_KEYLESS_BODIES)
        self._keyless_read = Counter[
            bool
        ]()  # bodies that are read, or wait to be searched, by whether they are large
        self._seen_unknown: set[str] = set()

    def routes(self) -> list[Route]:
        """Return the routes; the last takes every path, so mount them last."""
        methods = ["POST", "PUT", "PATCH", "GET", "HEAD", "DELETE", "OPTIONS"]
        return [Route("/_health", _health), Route(f"/{{path:{ANYTHING}}}", self.answer, methods=methods)]

    def before(self, application: ASGIApp) -> ASGIApp:
        """Return what answers senders by the table of endpoints, and has an application answer everybody else.

        To try one route after the other takes as long as all the rest of a small payload.
        """

        async def answer(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] == "http" and scope["method"] == "POST" and scope["path"] in ENDPOINTS:
                response = await self.answer(Request(scope, receive, send))
                await response(scope, receive, send)
            else:
                await application(scope, receive, send)

        return answer

    async def answer(self, request: Request) -> Response:
        """Answer one request, and measure how long that took."""
        if request.method == "OPTIONS":
            return open_to_pages(may_send(request), request)
        started = time.perf_counter()
        request = forwarded(request)
        path = endpoint_path(request.scope["path"])
        tenant = ""
        try:
            if _asks_the_way(request, path):
                return Response(media_type=_JSON)
            inner = await self._inner_key(request, path)
            tenant = self._access.tenant(request, Forbidden, probe=path == VALIDATE, last_resort=inner).name
            response = await self._answer(request, path, tenant)
        except IntakeError as error:
            response = self._refuse(error, request, path, tenant)
            self._book_refusal(request, path, tenant, error.reason)
        except ClientDisconnect:
            response = Response(status_code=499)
            self._book_refusal(request, path, tenant, "disconnected")
        self._telemetry.request_duration.labels(
            request.method, route_name(path), str(response.status_code), tenant
        ).observe(time.perf_counter() - started)
        return open_to_pages(response, request)

    async def _answer(self, request: Request, path: str, tenant: str) -> Response:
        if path in VALIDATIONS:
            return Response(validated(path, tenant), media_type=_JSON)
        endpoint = ENDPOINTS.get(path, _UNKNOWN)
        if request.method in _READING:
            if path.endswith(_PROBE) and request.method != "DELETE":
                return Response(_EMPTY, media_type=_JSON)
            if endpoint.asked:
                return Response(endpoint.answer, endpoint.status, media_type=endpoint.media_type)
            return _errors(404, f"there is nothing to read at {path[:200]}{_instead(path)}")
        if endpoint is _UNKNOWN:
            _check_is_sent(request, path)
        self._rates.admit(tenant)
        if path in CI_QUESTIONS:
            return Response(told(path, await self._question(request)), media_type=_JSON)
        if endpoint.files:
            await self._flares.store(tenant, request, lambda: self._access.check_still(request, tenant, Forbidden))
        else:
            document = await self._accept(request, endpoint, path, tenant)
            if document:
                return Response(json.dumps(document), endpoint.status, media_type=_JSON)
        return Response(endpoint.answer, endpoint.status, media_type=endpoint.media_type)

    async def _question(self, request: Request) -> bytes:
        return await self._acceptance.inflated(await read(request, self._limits), request.headers)

    async def _accept(self, request: Request, endpoint: Endpoint, path: str, tenant: str) -> Document | None:
        """Make a body durable, understood or not; return what its sender must be told of it, if anything."""
        raw = await read(request, self._limits)
        self._access.check_still(request, tenant, Forbidden)
        headers, query = dict(request.headers), dict(request.query_params)
        if "ddtags" in query:
            query["ddtags"] = ",".join(request.query_params.getlist("ddtags"))
        sent_keys = tuple(keys(request))
        connection = "{}:{}".format(*request.client) if request.client else ""
        parcel = Parcel(
            tenant, request.method, path, route_name(path), query, headers, raw, sent_keys, connection=connection
        )
        if families := families_of(path, headers):
            verdict = await self._acceptance.store(parcel, families)
            if verdict.told and endpoint.tell:
                return endpoint.tell(verdict.told, str(request.base_url).rstrip("/"))
        elif endpoint.status >= _FIRST_REFUSAL:
            self._acceptance.refuse(tenant, headers, len(raw), "not_served")
        else:
            await self._acceptance.keep(parcel)
            self._name_unknown(redacted(path, sent_keys))
        return None

    async def _inner_key(self, request: Request, path: str) -> str:
        """Return the key in the body of a request that has none elsewhere (datadog-intake.md, section 2.1)."""
        if not ENDPOINTS.get(path, _UNKNOWN).key_inside or any(keys(request)):
            return ""
        is_large = int(request.headers.get("content-length", _LARGE_KEYLESS_BYTES + 1)) > _LARGE_KEYLESS_BYTES
        if self._keyless_read[is_large] >= (MAX_KEYLESS_READ if is_large else MAX_SMALL_KEYLESS_READ):
            raise Overloaded("too many requests without a key come at once")
        self._keyless_read[is_large] += 1
        try:
            raw = await read(request, self._limits)
            async with self._keyless:
                return await asyncio.to_thread(_key_in, raw, request.headers.get("content-encoding", ""))
        finally:
            self._keyless_read[is_large] -= 1

    def _refuse(self, error: IntakeError, request: Request, path: str, tenant: str) -> Response:
        self._telemetry.refused_bodies.labels(route_name(path), tenant, error.reason).inc()
        # What is wrong with a key is said to whoever validates it; an intake says what Datadog's says.
        told = isinstance(error, Forbidden) and not (path in VALIDATIONS and str(error) == KEY_REQUIRED)
        return with_retry_after(
            _errors(INTAKE_STATUS[type(error)], "Forbidden" if told else str(error)), error, request
        )

    def _book_refusal(self, request: Request, path: str, tenant: str, reason: str) -> None:
        if path not in VALIDATIONS and request.method not in _READING:
            self._acceptance.refuse(tenant, request.headers, len(raw_of(request)), reason)

    def _name_unknown(self, path: str) -> None:
        if path.startswith(_DESCRIPTIONS):
            return
        if path not in self._seen_unknown and len(self._seen_unknown) < 1000:
            self._seen_unknown.add(path)
            logger.info("keeping payloads of %.200r as they come: they are not understood yet", path)


def _check_is_sent(request: Request, path: str) -> None:
    """Raise NotServed for what no Agent sends: what needs an application key, and what has its place elsewhere."""
    if path in _OF_LOCAL_AGENTS:
        raise NotServed(f"{path} is an Agent's own, and not served here")
    if path in _MISPLACED:
        raise NotServed(f"nothing is served at {path}{_instead(path)}")
    if any(f"{path}/".startswith(f"{own}/") for own in _OWN):
        raise NotServed(f"nothing is taken in by {request.method} at {path[:200]}; docs/routes.md has the routes")
    if request.method == "PUT" and path.startswith(_DESCRIPTIONS):
        return
    if "dd-application-key" in request.headers or "application_key" in request.query_params:
        raise NotServed(f"{path[:200]} of Datadog's API is not served here")


def _instead(path: str) -> str:
    """Return where that is which somebody looked for at a path, if it is of Prometheus's API."""
    place = _MISPLACED.get(path) or (f"/prometheus{path}" if path.startswith(_BELOW_PROMETHEUS) else "")
    return f"; it is at {place}" if place else ""


def _asks_the_way(request: Request, path: str) -> bool:
    """Say whether `agent diagnose` asks, without a key, if a flare would arrive (datadog-intake.md, section 18)."""
    return request.method == "HEAD" and ENDPOINTS.get(path, _UNKNOWN).files and not any(keys(request))


def _key_in(raw: bytes, encoding: str) -> str:
    try:
        document = head(raw, encoding, MAX_KEYLESS_BYTES)
    except Undecodable:
        return ""
    found = {key.decode() for key in _INNER_KEY.findall(document)}
    return found.pop() if len(found) == 1 else _own_key(document) if found else ""


def _own_key(document: bytes) -> str:
    """Return the key of a document that holds several: its own member, and none of what its parts hold."""
    try:
        return msgspec.json.decode(document, type=_Keyed).apiKey
    except msgspec.MsgspecError:
        return ""


class _Keyed(msgspec.Struct):
    apiKey: str  # noqa: N815 (its name in the document)


def _errors(status: int, message: str) -> Response:
    return Response(json.dumps({"errors": [message]}), status, media_type=_JSON)


async def _health(_request: Request) -> Response:
    return Response("OK", media_type="text/plain")
