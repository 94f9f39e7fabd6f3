"""Prometheus's HTTP API under `/prometheus/api/v1/`, over one tenant's series.

Addresses, parameters and answers are Prometheus's (prometheus/prometheus: docs/querying/api.md). A request takes one
way: who asks (`tenant_of`), what for (`Parameters`), an endpoint of the table below on a thread of the pool, JSON.
Whatever goes wrong on it is a QueryError and becomes status and body by one table.
"""

import logging
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from opstrace.errors import (
    BadQuery,
    BudgetExceeded,
    NotFound,
    Overloaded,
    QueryCanceled,
    QueryError,
    QueryTimeout,
    StoreError,
    TooManyQueries,
    query_verdict,
)
from opstrace.promql.engine import Engine
from opstrace.routing import ANYTHING
from opstrace.store.backend import Backend
from opstrace.telemetry import Telemetry
from opstrace.tenants import Tenant
from opstrace.web import encode, query_endpoints, remote_read, series_endpoints, status_endpoints
from opstrace.web.answer import Answer, Body, accepts_gzip, response
from opstrace.web.parameters import Parameters, invalid
from opstrace.web.query_pool import QueryPool
from opstrace.web.question import About, Endpoint, Question
from opstrace.web.request_body import check_owner, read_body
from opstrace.web.status_endpoints import BUILD, constant

PREFIX = "/prometheus/api/v1"

_log = logging.getLogger(__name__)


def routes(
    backend: Backend,
    engine: Engine,
    tenant_of: Callable[[Request], Tenant],
    pool: QueryPool,
    clock: Callable[[], float] = time.time,
    telemetry: Telemetry | None = None,
    about: Callable[[], About] = About,
    body_timeout_s: float = 30.0,
) -> list[Route]:
    """Return the routes of the API; `tenant_of` raises QueryUnauthorized, `clock` gives seconds since the epoch.

    Who makes the pool closes it, after the last request.
    """
    api = _Api(backend, engine, tenant_of, pool, clock, telemetry or Telemetry(), about, body_timeout_s)
    table = [
        Route(PREFIX + path, partial(api.answer, endpoint, _endpoint_name(path)), methods=list(methods))
        for path, methods, endpoint in ENDPOINTS
    ]
    nowhere = partial(api.answer, _not_found, "other")
    return [
        *table,
        *(
            Route(PREFIX + path, partial(_wrong_method, methods), methods=_others(methods))
            for path, methods, _ in ENDPOINTS
        ),
        # Clients look by it whether anybody is there.
        Route("/prometheus", partial(_well, "healthy")),
        Route("/prometheus", nowhere, methods=_others(["GET", "HEAD"])),
        Route("/prometheus/-/healthy", partial(_well, "healthy")),
        Route("/prometheus/-/ready", partial(_well, "ready")),
        Route(f"/prometheus/{{path:{ANYTHING}}}", nowhere, methods=_METHODS),
    ]


_METHODS = ("GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS")


def _others(methods: Sequence[str]) -> list[str]:
    return [method for method in _METHODS if method not in methods]


async def _wrong_method(methods: Sequence[str], request: Request) -> Response:
    """Say by which methods an endpoint is asked: clients that are refused one of them try another."""
    allowed = {"allow": ", ".join((*methods, "OPTIONS"))}
    if request.method == "OPTIONS":
        return Response(status_code=204, headers=allowed)
    message = f"{request.method} is no method of this endpoint; it takes {' and '.join(methods)}"
    refusal = _error_response(405, "bad_data", message)
    refusal.headers.update(allowed)
    return refusal


async def _well(state: str, _request: Request) -> Response:
    """Answer what `promtool check healthy` and `check ready` ask, without a key."""
    return PlainTextResponse(f"opstrace is {state}.\n")


def _endpoint_name(path: str) -> str:
    """Return the label of an endpoint in our metrics: its path without what differs from request to request."""
    return re.sub(r"\{[^}]*\}/?", "", path).strip("/").replace("/", "_")


# ---------------------------------------------------------------------------------------------------------------
# The way of a request


@dataclass(frozen=True, slots=True)
class _Api:
    backend: Backend
    engine: Engine
    tenant_of: Callable[[Request], Tenant]
    pool: QueryPool
    clock: Callable[[], float]
    telemetry: Telemetry
    about: Callable[[], About]
    body_timeout_s: float

    async def answer(self, endpoint: Endpoint, name: str, request: Request) -> Response:
        """Answer a request, and measure how long that took; nothing it can hold makes this raise."""
        started, tenant = time.perf_counter(), ""
        try:
            tenant = self.tenant_of(request).name
            response = await self._answer(endpoint, request, tenant)
        except Exception as raised:  # noqa: BLE001  one door for all of them; _refusal logs what is our fault
            error = _as_refusal(raised)
            response = _refusal(error, request)
            self._count(error, tenant)
        self.telemetry.query_duration.labels(name, str(response.status_code), tenant).observe(
            time.perf_counter() - started
        )
        return response

    def _count(self, error: Exception, tenant: str) -> None:
        """Count what went over a budget."""
        match error:
            case BudgetExceeded(budget=budget):
                self.telemetry.refused_queries.labels(tenant, budget).inc()
            case TooManyQueries():
                self.telemetry.refused_queries.labels(tenant, "waiting").inc()
            case QueryTimeout():
                self.telemetry.refused_queries.labels(tenant, "time").inc()

    async def _answer(self, endpoint: Endpoint, request: Request, tenant: str) -> Response:
        limits = self.pool.limits
        parameters, body = await _parameters(request, endpoint, limits.max_form_bytes, self.body_timeout_s)
        if request.method == "POST":
            check_owner(request, self.tenant_of, tenant)
        budget = self.pool.budget(tenant, _timeout_ms(parameters))
        question = Question(
            parameters,
            request.path_params,
            self.backend.querier(tenant, budget),
            self.engine,
            budget,
            limits,
            int(self.clock() * 1000),
            self.about,
            request.method,
            body,
        )
        work = partial(_body, endpoint, question, may_zip=accepts_gzip(request))
        made = await self.pool.run(request, tenant, budget, work)
        return response(made, partial(self.pool.piece_by_piece, tenant, budget.samples))


def _timeout_ms(parameters: Parameters) -> int:
    """Return the timeout that was asked for, 0 where none was."""
    timeout_ms = parameters.duration_ms("timeout", 0)
    if timeout_ms <= 0 and parameters.text("timeout"):
        raise invalid("timeout", f"timeout must be positive, got {parameters.text('timeout')[:100]}")
    return timeout_ms


_FORM = "application/x-www-form-urlencoded"


async def _parameters(
    request: Request, endpoint: Endpoint, max_form_bytes: int, timeout_s: float
) -> tuple[Parameters, bytes | None]:
    """Return the parameters of a request, and its body where that is a message."""
    # `request.url` would put the whole address together first.
    kind, query_string = "", request.scope["query_string"].decode()
    if request.method == "POST":
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    form, message = b"", None
    if kind == _FORM:
        form = await read_body(request, max_form_bytes, timeout_s, "the form")
    elif kind == remote_read.MEDIA_TYPE:
        message = await read_body(request, max_form_bytes, timeout_s, "the request")
    elif kind and not query_string and not _is_read(request) and endpoint is not _not_found:
        raise BadQuery(f"parameters come in the address, or in the body as {_FORM}, not as {kind[:100]}")
    return Parameters.read(query_string, form.decode("utf-8", "replace")), message


def _is_read(request: Request) -> bool:
    # It says itself what its body has to be.
    return request.url.path == f"{PREFIX}/read"


def _body(endpoint: Endpoint, question: Question, *, may_zip: bool) -> Body:
    """Evaluate, and begin the answer, on a thread of the pool."""
    return Body.of(endpoint(question), question.budget, question.limits.max_answer_bytes, may_zip=may_zip)


# What Python raises for a query too large for it, and what that is to the client.
_TOO_LARGE: Mapping[type[Exception], QueryError] = {
    RecursionError: BadQuery("the query nests too deeply"),
    MemoryError: BudgetExceeded("the query needs more memory than there is"),
    ClientDisconnect: QueryCanceled("the client went away"),
}


def _as_refusal(error: Exception) -> Exception:
    """Return what an error is to the client, where Python has its own for it, or numpy one of that kind."""
    return next((refusal for kind, refusal in _TOO_LARGE.items() if isinstance(error, kind)), error)


def _refusal(error: Exception, request: Request) -> Response:
    if isinstance(error, QueryError):
        return _error_response(*query_verdict(error), str(error))
    if isinstance(error, Overloaded):
        refusal = _error_response(503, "unavailable", str(error))
        refusal.headers.update(error.headers)
        return refusal
    if isinstance(error, StoreError):
        _log.error("the store could not answer %s: %s", request.url.path, error)
        return _error_response(503, "unavailable", "the store cannot answer now; the server's log says why")
    _log.error("answering %s failed", request.url.path, exc_info=error)
    return _error_response(500, "internal", "internal error; the server's log says more")


def _error_response(status: int, error_type: str, message: str) -> Response:
    return Response(encode.error(error_type, message), status, media_type="application/json")


# ---------------------------------------------------------------------------------------------------------------
# The endpoints


def _not_found(question: Question) -> Answer:
    raise NotFound(f"no such endpoint: {question.method} {question.path['path']}")


_GET, _BOTH = ("GET",), ("GET", "POST")

ENDPOINTS: Sequence[tuple[str, Sequence[str], Endpoint]] = (
    ("/query", _BOTH, query_endpoints.query),
    ("/query_range", _BOTH, query_endpoints.query_range),
    ("/query_exemplars", _BOTH, series_endpoints.exemplars),
    ("/format_query", _BOTH, query_endpoints.format_query),
    ("/parse_query", _BOTH, query_endpoints.parse_query),
    ("/read", ("POST",), query_endpoints.read),
    ("/series", _BOTH, series_endpoints.series),
    ("/labels", _BOTH, series_endpoints.labels),
    (f"/label/{{name:{ANYTHING}}}/values", _GET, series_endpoints.label_values),
    ("/metadata", _GET, series_endpoints.metadata),
    ("/rules", _GET, status_endpoints.rules),
    ("/alerts", _GET, constant({"alerts": []})),
    ("/alertmanagers", _GET, constant({"activeAlertmanagers": [], "droppedAlertmanagers": []})),
    ("/scrape_pools", _GET, constant({"scrapePools": []})),
    ("/notifications", _GET, constant([])),
    ("/targets", _GET, constant({"activeTargets": [], "droppedTargets": [], "droppedTargetCounts": {}})),
    ("/targets/metadata", _GET, constant([])),
    ("/status/buildinfo", _GET, constant(BUILD)),
    ("/status/config", _GET, status_endpoints.config),
    ("/status/flags", _GET, status_endpoints.flags),
    ("/status/runtimeinfo", _GET, status_endpoints.runtime),
    ("/status/tsdb", _GET, status_endpoints.tsdb),
    ("/status/tsdb/blocks", _GET, constant({"blocks": []})),
    ("/status/walreplay", _GET, constant({"min": 0, "max": 0, "current": 0, "state": "done"})),
)
