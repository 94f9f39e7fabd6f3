"""What the endpoints for remote write and OTLP share: authentication, accounting of refusals, timing."""

import time
from abc import ABC, abstractmethod

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from opstrace.access import Access
from opstrace.config import Limits
from opstrace.errors import INTAKE_STATUS, Forbidden, IntakeError, Undecodable
from opstrace.intake.body import raw_of, read
from opstrace.intake.refusals import with_retry_after
from opstrace.intake.remote_write.writes import Writes
from opstrace.intake.senders import sender_of
from opstrace.telemetry import Telemetry


class Unsupported(Undecodable):
    """A Content-Type or Content-Encoding that the endpoint does not take."""

    reason = "unsupported"


class Door(ABC):
    """Answers requests of one kind to one server."""

    def __init__(self, access: Access, writes: Writes, telemetry: Telemetry, limits: Limits) -> None:
        self.writes = writes
        self.limits = limits
        self._access = access
        self._telemetry = telemetry

    @abstractmethod
    async def accept(self, request: Request, tenant: str) -> Response:
        """Store what a tenant sent, and answer; raises IntakeError for what is refused as a whole."""

    @abstractmethod
    def refusal(self, request: Request, status: int, message: str) -> Response:
        """Return the answer to what is refused, in the form of the request."""

    async def body(self, request: Request, tenant: str) -> bytes:
        """Return the body that a tenant sent; raises IntakeError."""
        raw = await read(request, self.limits)
        self._access.check_still(request, tenant, Forbidden)
        return raw

    async def answer(self, request: Request) -> Response:
        """Answer one request, and measure how long that took."""
        started = time.perf_counter()
        tenant = ""
        try:
            tenant = self._access.tenant(request, Forbidden).name
            response = await self.accept(request, tenant)
        except IntakeError as error:
            response = self._refused(request, error)
            self.writes.refuse(sender_of(request.headers, tenant), raw_of(request), error.reason)
        except ClientDisconnect:
            response = Response(status_code=499)
            self.writes.refuse(sender_of(request.headers, tenant), raw_of(request), "disconnected")
        self._telemetry.write_duration.labels(str(response.status_code), tenant).observe(
            time.perf_counter() - started
        )
        return response

    def _refused(self, request: Request, error: IntakeError) -> Response:
        status = 415 if isinstance(error, Unsupported) else INTAKE_STATUS[type(error)]
        return with_retry_after(self.refusal(request, status, str(error)), error, request)
