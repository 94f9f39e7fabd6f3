"""A real server on loopback that speaks the Prometheus API over a real store, for the tests of `web/`."""

import gzip
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from http.client import HTTPConnection
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request

from loopback import TIMEOUT_S, serving_app
from opstrace.errors import QueryUnauthorized
from opstrace.promql.engine import Engine
from opstrace.promql.testlanguage import Load, parse_script
from opstrace.promql.testscript import block_of
from opstrace.store.backend import Backend
from opstrace.telemetry import Telemetry
from opstrace.tenants import Tenant
from opstrace.web.prometheus import routes
from opstrace.web.query_pool import QueryLimits, QueryPool
from opstrace.web.question import About

# What the server takes for now.
NOW_S = 600.0


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        zipped = self.headers.get("content-encoding") == "gzip"
        return json.loads(gzip.decompress(self.body) if zipped else self.body)


@dataclass(frozen=True)
class Server:
    """A server that answers; a tenant's key is its name."""

    port: int
    backend: Backend

    def load(self, tenant: str, script: str) -> None:
        """Write the series of a test script."""
        for command in parse_script(script):
            assert isinstance(command, Load), command
            self.backend.appender(tenant).append(block_of(command))

    def ask(self, method: str, target: str, headers: Mapping[str, str], body: bytes = b"") -> Answer:
        """Send one request on a connection of its own."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=TIMEOUT_S)
        try:
            connection.request(method, target, body, dict(headers))
            response = connection.getresponse()
            return Answer(response.status, {k.lower(): v for k, v in response.getheaders()}, response.read())
        finally:
            connection.close()


def tenant_of(request: Request) -> Tenant:
    """The stand-in for keys: a tenant's name opens it."""
    name = request.headers.get("dd-api-key")
    if not name:
        raise QueryUnauthorized("a key is missing")
    return Tenant(name)


@contextmanager
def serving(
    backend: Backend,
    limits: QueryLimits | None = None,
    telemetry: Telemetry | None = None,
    body_timeout_s: float = 30.0,
) -> Iterator[Server]:
    """Serve a backend on a free port of loopback."""
    pool = QueryPool(limits or QueryLimits())
    about = partial(About, {"metric_retention_days": "30"}, "30d", NOW_S - 60)
    app = Starlette(
        routes=routes(backend, Engine(), tenant_of, pool, lambda: NOW_S, telemetry, about, body_timeout_s)
    )
    try:
        with serving_app(app, log_level="warning", timeout_graceful_shutdown=5) as port:
            yield Server(port, backend)
    finally:
        pool.close()
