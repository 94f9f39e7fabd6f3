"""Prometheus's HTTP API under `/prometheus/api/v1/`, over one tenant's series.

Addresses, parameters and answers are Prometheus's (prometheus/prometheus: docs/querying/api.md). A request takes one
way: who asks (`tenant_of`), what for (`Parameters`), an endpoint of the table below on a thread of the pool, JSON.
Whatever goes wrong on it is a QueryError and becomes status and body by one table.
"""

import logging
import os
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial

import numpy as np
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from opstrace import __version__
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
from opstrace.promql.document import document
from opstrace.promql.engine import Engine, Result
from opstrace.promql.parser import parse, parse_selector
from opstrace.promql.printer import printed
from opstrace.promql.tree import Node
from opstrace.routing import ANYTHING
from opstrace.store.backend import Backend, Block, Labels, Matcher, MetricMetadata, Querier
from opstrace.store.budget import Budget
from opstrace.telemetry import Telemetry
from opstrace.tenants import Tenant
from opstrace.web import encode, remote_read
from opstrace.web.answer import Answer, Body, Message, accepts_gzip, response
from opstrace.web.parameters import EARLIEST_MS, LATEST_MS, Parameters, invalid
from opstrace.web.query_pool import QueryLimits, QueryPool
from opstrace.web.request_body import read_body

PREFIX = "/prometheus/api/v1"

# The Prometheus whose API this is. Clients look at the version to know what they may ask.
PROMETHEUS_VERSION = "3.5.0"

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class About:
    """What the server tells of itself to whoever may ask it anything."""

    settings: Mapping[str, str] = field(default_factory=dict)  # as flags: those that say nothing of other tenants
    retention: str = ""
    started_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Question:
    """One request, with all an endpoint needs to answer it."""

    parameters: Parameters
    path: Mapping[str, str]
    querier: Querier
    engine: Engine
    budget: Budget
    limits: QueryLimits
    now_ms: int
    about: Callable[[], About]
    method: str = "GET"
    body: bytes | None = None  # where its Content-Type says that it is a message
    started: float = field(default_factory=time.monotonic)


Endpoint = Callable[[Question], Answer | Message]


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
        Route("/prometheus/-/healthy", partial(_well, "healthy")),
        Route("/prometheus/-/ready", partial(_well, "ready")),
        Route(
            f"/prometheus/{{path:{ANYTHING}}}", nowhere, methods=["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"]
        ),
    ]


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
        except Exception as error:  # noqa: BLE001  one door for all of them; _refusal logs what is our fault
            response = _refusal(error, request)
            self._count(error, tenant)
        self.telemetry.query_duration.labels(name, str(response.status_code), tenant).observe(
            time.perf_counter() - started
        )
        return response

    def _count(self, error: Exception, tenant: str) -> None:
        """Count what went over a budget."""
        match _TOO_LARGE.get(type(error), error):
            case BudgetExceeded(budget=budget):
                self.telemetry.refused_queries.labels(tenant, budget).inc()
            case TooManyQueries():
                self.telemetry.refused_queries.labels(tenant, "waiting").inc()
            case QueryTimeout():
                self.telemetry.refused_queries.labels(tenant, "time").inc()

    async def _answer(self, endpoint: Endpoint, request: Request, tenant: str) -> Response:
        limits = self.pool.limits
        parameters, body = await _parameters(request, endpoint, limits.max_form_bytes, self.body_timeout_s)
        budget = self.pool.budget(tenant, parameters.duration_ms("timeout", 0))
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


def _refusal(error: Exception, request: Request) -> Response:
    error = _TOO_LARGE.get(type(error), error)
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
# Queries


@contextmanager
def _parameter(name: str) -> Iterator[None]:
    """Name the parameter in what is wrong with its value."""
    try:
        yield
    except BadQuery as error:
        raise invalid(name, str(error)) from None


def _query(question: Question) -> Answer:
    parameters = question.parameters
    at_ms = parameters.time_ms("time", question.now_ms)
    limit, lookback_ms = parameters.count("limit"), _lookback_ms(parameters)
    with _parameter("query"):
        result = question.engine.instant(
            question.querier, parameters.text("query"), at_ms, question.budget, lookback_ms=lookback_ms
        )
    return _result_answer(question, result, limit)


def _query_range(question: Question) -> Answer:
    parameters = question.parameters
    start_ms, end_ms, step_ms = _grid(parameters, question.limits.max_points)
    limit, lookback_ms = parameters.count("limit"), _lookback_ms(parameters)
    with _parameter("query"):
        result = question.engine.range(
            question.querier,
            parameters.text("query"),
            start_ms,
            end_ms,
            step_ms,
            question.budget,
            lookback_ms=lookback_ms,
        )
    return _result_answer(question, result, limit)


def _grid(parameters: Parameters, max_points: int) -> tuple[int, int, int]:
    """Return start, end and step in ms, all of them required."""
    for name in ("start", "end", "step"):
        if not parameters.text(name):
            what = "duration" if name == "step" else "timestamp"
            raise invalid(name, f'cannot parse "" to a valid {what}')
    start_ms, end_ms = parameters.time_ms("start", 0), parameters.time_ms("end", 0)
    if end_ms < start_ms:
        raise invalid("end", "end timestamp must not be before start time")
    step_ms = parameters.duration_ms("step", 0)
    if step_ms <= 0:
        raise invalid(
            "step", "zero or negative query resolution step widths are not accepted. Try a positive integer"
        )
    if (end_ms - start_ms) // step_ms > max_points:
        raise BadQuery(
            f"exceeded maximum resolution of {max_points:,} points per timeseries. "
            "Try decreasing the query resolution (?step=XX)"
        )
    return start_ms, end_ms, step_ms


def _lookback_ms(parameters: Parameters) -> int | None:
    """Return the lookback that was asked for, if one was; as at Prometheus, none is no lookback of zero."""
    if not parameters.text("lookback_delta"):
        return None
    lookback_ms = parameters.duration_ms("lookback_delta", 0)
    return lookback_ms if lookback_ms > 0 else None


_TRUNCATED = "results truncated due to limit"


def _result_answer(question: Question, result: Result, limit: int) -> Answer:
    shown = _first(result, limit)
    warnings = result.warnings if shown is result else (_TRUNCATED, *result.warnings)
    told = _first_of("warning", warnings), _first_of("info", result.infos)
    return Answer(encode.result_json(shown, _stats(question)), *told, partial(encode.bytes_at_most, shown))


# Of warnings, and of infos, an answer has no more than these, as Prometheus's has.
_MAX_ANNOTATIONS = 10


def _first_of(kind: str, annotations: tuple[str, ...]) -> tuple[str, ...]:
    """Return the first annotations of a kind, and how many more there are."""
    omitted = len(annotations) - _MAX_ANNOTATIONS
    if omitted <= 0:
        return annotations
    return (*annotations[:_MAX_ANNOTATIONS], f"{omitted} more {kind} annotations omitted")


def _first(result: Result, limit: int) -> Result:
    """Return a result's first series, or the result itself if it has no more; 0 is no limit."""
    if not limit:
        return result
    if result.raw is not None:
        return result if len(result.raw.labels) <= limit else replace(result, raw=_first_raw(result.raw, limit))
    if result.kind not in ("vector", "matrix"):
        return result
    there = result.rows[np.count_nonzero(result.present, axis=1)[result.rows] > 0]
    if len(there) <= limit:
        return result
    kept = there[:limit]
    return replace(
        result,
        labels=[result.labels[index] for index in kept],
        values=result.values[kept],
        present=result.present[kept],
        histograms=None if result.histograms is None else result.histograms[kept],
        order=None,
    )


def _first_raw(block: Block, limit: int) -> Block:
    end = block.offsets[limit]
    return replace(
        block,
        labels=block.labels[:limit],
        offsets=block.offsets[: limit + 1],
        times_ms=block.timestamps[:end],
        values=block.values[:end],
        histograms=None if block.histograms is None else block.histograms[:end],
    )


def _stats(question: Question) -> bytes:
    """Return the statistics a client asked for by `stats`: those we measure of those Prometheus has."""
    if not question.parameters.text("stats"):
        return b""
    elapsed = time.monotonic() - question.started
    timings = {"evalTotalTime": elapsed, "execTotalTime": elapsed}
    budget = question.budget
    samples = {"totalQueryableSamples": budget.samples + budget.given_back, "peakSamples": budget.peak_samples}
    return encode.json_bytes({"timings": timings, "samples": samples})


def _parsed(query: str, max_bytes: int) -> Node:
    """Return the query's tree; raise BadQuery unless this is PromQL."""
    if len(query) > max_bytes:
        raise BadQuery(f"the query is longer than {max_bytes} bytes")
    return parse(query)


def _format_query(question: Question) -> Answer:
    with _parameter("query"):
        return _plain(printed(_parsed(question.parameters.text("query"), question.engine.max_query_bytes)))


def _parse_query(question: Question) -> Answer:
    with _parameter("query"):
        return _plain(document(_parsed(question.parameters.text("query"), question.engine.max_query_bytes)))


def _read(question: Question) -> Message:
    if question.body is None:
        raise BadQuery(f"a remote read request comes in Snappy, with Content-Type {remote_read.MEDIA_TYPE}")
    return Message(remote_read.answer(question.querier, remote_read.reads(question.body)))


# ---------------------------------------------------------------------------------------------------------------
# Series and metadata


def _selection(question: Question) -> tuple[Sequence[Sequence[Matcher]], int, int]:
    """Return the selectors of `match[]` and the time range in ms; without one, all of time."""
    parameters = question.parameters
    start_ms, end_ms = parameters.time_ms("start", EARLIEST_MS), parameters.time_ms("end", LATEST_MS)
    if end_ms < start_ms:
        raise invalid("end", "end timestamp must not be before start time")
    with _parameter("match[]"):
        selectors = [_selector(text, question.engine.max_query_bytes) for text in parameters.every("match[]")]
    return selectors, start_ms, end_ms


def _selector(text: str, max_bytes: int) -> Sequence[Matcher]:
    if len(text) > max_bytes:
        raise BadQuery(f"the selector is longer than {max_bytes} bytes")
    return parse_selector(text)


def _series(question: Question) -> Answer:
    selectors, start_ms, end_ms = _selection(question)
    if not selectors:
        raise BadQuery("no match[] parameter provided")
    limit = question.parameters.count("limit")
    return _listed(question.querier.series(selectors, start_ms, end_ms), limit)


def _labels(question: Question) -> Answer:
    selectors, start_ms, end_ms = _selection(question)
    limit = question.parameters.count("limit")
    return _listed(question.querier.label_names(selectors, start_ms, end_ms), limit)


def _label_values(question: Question) -> Answer:
    name = unescape_name(question.path["name"])
    selectors, start_ms, end_ms = _selection(question)
    limit = question.parameters.count("limit")
    return _listed(question.querier.label_values(name, selectors, start_ms, end_ms), limit)


_ESCAPED = re.compile(r"__|_(?P<code>[0-9a-fA-F]{1,6})_")


def unescape_name(name: str) -> str:
    """Return the name that `U__sy_2e_stem` stands for in an address; any other name is itself.

    `__` is an underscore, `_2e_` the character of that number (prometheus/common: model/metric.go).
    """
    if not name.startswith("U__"):
        return name
    try:
        found = _ESCAPED.sub(lambda match: chr(int(match["code"], 16)) if match["code"] else "_", name[3:])
        found.encode()  # half a character is none
    except ValueError:
        return name
    return found


def _listed(found: Sequence[str] | Sequence[Labels], limit: int) -> Answer:
    shown = found[:limit] if limit else found
    return Answer(encode.list_json(shown), warnings=(_TRUNCATED,) if len(shown) < len(found) else ())


def _metadata(question: Question) -> Answer:
    parameters = question.parameters
    limit, limit_per_metric = (_metadata_limit(parameters, name) for name in ("limit", "limit_per_metric"))
    metrics: dict[str, list[dict[str, str]]] = {}
    for entry in question.querier.metadata(parameters.text("metric") or None):
        metrics.setdefault(entry.metric, []).append(_metadata_json(entry))
    # Of metrics, unlike elsewhere, 0 is none at all.
    return _plain({metric: entries[: limit_per_metric or None] for metric, entries in list(metrics.items())[:limit]})


def _metadata_limit(parameters: Parameters, name: str) -> int | None:
    """Return a limit, or nothing where it is negative or not there: then there is none."""
    text = parameters.text(name)
    if not text:
        return None
    if not re.fullmatch(r"[+-]?[0-9]{1,18}", text):
        raise BadQuery(f"{name} must be a number")
    return int(text) if int(text) >= 0 else None


def _metadata_json(entry: MetricMetadata) -> dict[str, str]:
    return {"type": entry.type, "help": entry.help, "unit": entry.unit}


# ---------------------------------------------------------------------------------------------------------------
# The server itself, and what only a scraping Prometheus has


def _plain(data: object) -> Answer:
    return Answer((encode.json_bytes(data),))


def _constant(data: object) -> Endpoint:
    """Return an endpoint whose answer is always the same."""
    answer = _plain(data)
    return lambda _question: answer


def _exemplars(question: Question) -> Answer:
    with _parameter("query"):
        _parsed(question.parameters.text("query"), question.engine.max_query_bytes)
    _selection(question)
    return _plain([])


def _rules(question: Question) -> Answer:
    if (kind := question.parameters.text("type")) not in ("", "alert", "record"):
        raise invalid("type", f'not supported value "{kind}"')
    return _plain({"groups": []})


def _not_found(question: Question) -> Answer:
    raise NotFound(f"no such endpoint: {question.method} {question.path['path']}")


_BUILD = {
    "application": "opstrace",
    "version": PROMETHEUS_VERSION,
    "revision": __version__,
    "branch": "",
    "buildUser": "",
    "buildDate": "",
    "goVersion": "",
}


def _rfc3339(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _flags(question: Question) -> Answer:
    return _plain(dict(question.about().settings))


def _config(question: Question) -> Answer:
    return _plain({"yaml": "".join(f"{name}: {value}\n" for name, value in question.about().settings.items())})


def _runtime(question: Question) -> Answer:
    about = question.about()
    return _plain(
        {
            "startTime": _rfc3339(about.started_s),
            "CWD": "",
            "hostname": "",
            "serverTime": _rfc3339(question.now_ms / 1000),
            "reloadConfigSuccess": True,
            "lastConfigTime": _rfc3339(about.started_s),
            "corruptionCount": 0,
            "goroutineCount": threading.active_count(),
            "GOMAXPROCS": os.cpu_count() or 1,
            "GOMEMLIMIT": 0,
            "GOGC": "",
            "GODEBUG": "",
            "storageRetention": about.retention,
        }
    )


_STATISTICS, _MOST_STATISTICS = 10, 10_000  # rows of each table, as in Prometheus


def _tsdb(question: Question) -> Answer:
    limit = question.parameters.count("limit") or _STATISTICS
    if limit > _MOST_STATISTICS:
        raise invalid("limit", f"limit must not exceed {_MOST_STATISTICS}")
    found = question.querier.statistics(question.now_ms, limit)
    tables = {
        "seriesCountByMetricName": found.series_by_name,
        "labelValueCountByLabelName": found.values_by_label,
        "memoryInBytesByLabelName": found.bytes_by_label,
        "seriesCountByLabelValuePair": found.series_by_pair,
    }
    head = {
        "numSeries": found.series,
        "numLabelPairs": found.label_pairs,
        "chunkCount": found.pieces,
        "minTime": found.start_ms,
        "maxTime": found.end_ms,
    }
    named = {
        name: [{"name": subject, "value": total} for subject, total in table.items()]
        for name, table in tables.items()
    }
    return _plain({"headStats": head, **named})


_GET, _BOTH = ("GET",), ("GET", "POST")

ENDPOINTS: Sequence[tuple[str, Sequence[str], Endpoint]] = (
    ("/query", _BOTH, _query),
    ("/query_range", _BOTH, _query_range),
    ("/query_exemplars", _BOTH, _exemplars),
    ("/format_query", _BOTH, _format_query),
    ("/parse_query", _BOTH, _parse_query),
    ("/read", ("POST",), _read),
    ("/series", _BOTH, _series),
    ("/labels", _BOTH, _labels),
    (f"/label/{{name:{ANYTHING}}}/values", _GET, _label_values),
    ("/metadata", _GET, _metadata),
    ("/rules", _GET, _rules),
    ("/alerts", _GET, _constant({"alerts": []})),
    ("/alertmanagers", _GET, _constant({"activeAlertmanagers": [], "droppedAlertmanagers": []})),
    ("/scrape_pools", _GET, _constant({"scrapePools": []})),
    ("/notifications", _GET, _constant([])),
    ("/targets", _GET, _constant({"activeTargets": [], "droppedTargets": [], "droppedTargetCounts": {}})),
    ("/targets/metadata", _GET, _constant([])),
    ("/status/buildinfo", _GET, _constant(_BUILD)),
    ("/status/config", _GET, _config),
    ("/status/flags", _GET, _flags),
    ("/status/runtimeinfo", _GET, _runtime),
    ("/status/tsdb", _GET, _tsdb),
    ("/status/walreplay", _GET, _constant({"min": 0, "max": 0, "current": 0, "state": "done"})),
)
