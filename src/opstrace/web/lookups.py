"""Runs what is asked of the store beside PromQL: hosts, events, logs, the catalogue, the books.

These have threads and connections of their own: whoever asks for much of this keeps neither a query nor a payload
waiting, and tenants take turns as they do with queries.
"""

from collections.abc import Callable
from functools import partial
from typing import Final, ParamSpec, TypeVar

from starlette.requests import Request

from opstrace.errors import QueryTimeout, TooManyQueries
from opstrace.telemetry import Telemetry
from opstrace.web.query_pool import QueryLimits, QueryPool

P = ParamSpec("P")
T = TypeVar("T")

MAX_LOOKUPS: Final = 2  # lookups at once, each with a connection to the engine
MAX_WAITING_LOOKUPS: Final = 128  # lookups waiting for their turn; one more is refused
MAX_TENANT_WAITING_LOOKUPS: Final = 64  # those of one tenant
LOOKUP_TIMEOUT_S: Final = 60.0  # of one lookup, its wait included

_LIMITS: Final = QueryLimits(
    concurrency=MAX_LOOKUPS,
    max_waiting=MAX_WAITING_LOOKUPS,
    max_tenant_waiting=MAX_TENANT_WAITING_LOOKUPS,
    timeout_s=LOOKUP_TIMEOUT_S,
)


class Lookups:
    """The threads on which lookups run, and the line in front of them. Use it on one event loop."""

    def __init__(self, telemetry: Telemetry | None = None) -> None:
        self._pool = QueryPool(_LIMITS, threads="lookup")
        self._telemetry = telemetry or Telemetry()

    async def run(
        self, request: Request, tenant: str, work: Callable[P, T], *arguments: P.args, **named: P.kwargs
    ) -> T:
        """Return what `work` returns; raise what it raises, QueryTimeout, or QueryCanceled if the client left.

        Raises TooManyQueries where too many wait already.
        """
        try:
            return await self._pool.run(request, tenant, _LIMITS.budget(0), partial(work, *arguments, **named))
        except TooManyQueries:
            self._telemetry.refused_queries.labels(tenant, "waiting").inc()
            raise
        except QueryTimeout:
            self._telemetry.refused_queries.labels(tenant, "time").inc()
            raise

    def close(self) -> None:
        """Refuse others, and return once those under way have ended."""
        self._pool.close()
