"""The door of OpenTelemetry's metrics: OTLP over HTTP, in protobuf or JSON.

Statuses and bodies are the specification's (opentelemetry.io: docs/specs/otlp, "OTLP/HTTP"): the good part of a
request is stored, and 200 says how many points were not; a sender drops what is answered 400, and sends again on 429
and 503.
"""

import asyncio
import json
import time
from collections import Counter
from functools import cache
from typing import Any, Final

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from opstrace.access import Access
from opstrace.config import Limits
from opstrace.errors import INTAKE_STATUS, Forbidden, IntakeError, Overloaded, PayloadTooLarge, Undecodable
from opstrace.intake.body import inflate, inflated, raw_of, read
from opstrace.intake.otlp.translation import Translated, translated
from opstrace.intake.payload import Body, Family
from opstrace.intake.remote_write.writes import Writes, refused, shown
from opstrace.intake.senders import sender_of
from opstrace.store.series_message import field, varint
from opstrace.telemetry import Telemetry

_PROTOBUF: Final = "application/x-protobuf"
_JSON: Final = "application/json"
# google.rpc.Code, by status.
_CODES: Final = {400: 3, 403: 7, 413: 3, 415: 3, 429: 8, 499: 1, 503: 14}


class Unsupported(Undecodable):
    """A form of body that OTLP over HTTP has not."""

    reason = "unsupported"


class Otlp:
    """Answers exports of metrics to one server."""

    def __init__(self, access: Access, writes: Writes, telemetry: Telemetry, limits: Limits) -> None:
        self._access = access
        self._writes = writes
        self._telemetry = telemetry
        self._limits = limits

    def routes(self) -> list[Route]:
        """Return the route; mount it before those of queries."""
        return [Route("/prometheus/api/v1/otlp/v1/metrics", self.answer, methods=["POST"])]

    async def answer(self, request: Request) -> Response:
        """Answer one export, and measure how long that took."""
        started = time.perf_counter()
        tenant = ""
        try:
            tenant = self._access.tenant(request, Forbidden).name
            response = await self._accept(request, tenant)
        except IntakeError as error:
            response = _refusal(error, _media_type(request))
            self._writes.refuse(sender_of(request.headers, tenant), raw_of(request), error.reason)
        except ClientDisconnect:
            response = Response(status_code=499)
            self._writes.refuse(sender_of(request.headers, tenant), raw_of(request), "disconnected")
        self._telemetry.write_duration.labels(str(response.status_code), tenant).observe(
            time.perf_counter() - started
        )
        return response

    async def _accept(self, request: Request, tenant: str) -> Response:
        media_type = _media_type(request)
        if media_type not in (_PROTOBUF, _JSON):
            raise Unsupported(f"Content-Type {media_type[:100]!r} is neither {_PROTOBUF} nor {_JSON}")
        self._writes.admit(tenant)
        raw = await read(request, self._limits)
        encoding = request.headers.get("content-encoding", "")
        content = await inflated(raw, encoding, self._limits.max_inflated_bytes, inflate)
        found = await asyncio.to_thread(_translated, content, media_type, self._limits.max_inflated_bytes)
        body = Body(Family.REMOTE_WRITE_V1, tenant, found.message)
        sender = sender_of(request.headers, tenant)
        verdict = await self._writes.store(body, raw, sender, found.dropped)
        return _answer(refused(verdict), found.points, media_type)


def _media_type(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


@cache
def _messages() -> Any:
    # Takes some 10 MB and 50 ms, which an instance that nobody exports to does without.
    from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2

    return metrics_service_pb2


def _translated(content: bytes, media_type: str, max_bytes: int) -> Translated:
    """Read a request and translate it; raises Undecodable and PayloadTooLarge."""
    from google.protobuf import json_format
    from google.protobuf.message import DecodeError

    request = _messages().ExportMetricsServiceRequest()
    try:
        if media_type == _JSON:
            json_format.Parse(content, request, ignore_unknown_fields=True)
        else:
            request.ParseFromString(content)
    except (DecodeError, json_format.ParseError, UnicodeDecodeError, ValueError, RecursionError) as error:
        raise Undecodable(f"the body is no ExportMetricsServiceRequest in {media_type}: {str(error)[:200]}") from None
    return translated(request, max_bytes)


def _answer(reasons: Counter[str], points: int, media_type: str) -> Response:
    from google.protobuf import json_format

    answer = _messages().ExportMetricsServiceResponse()
    if reasons:
        # A histogram with bounds is many samples, which may be refused one by one.
        answer.partial_success.rejected_data_points = min(reasons.total(), points)
        answer.partial_success.error_message = f"some of it was not stored, the rest is: {shown(reasons)}"
    content = json_format.MessageToJson(answer) if media_type == _JSON else answer.SerializeToString()
    return Response(content, media_type=media_type)


def _refusal(error: IntakeError, media_type: str) -> Response:
    """Return a refusal with a google.rpc.Status, in the form of the request."""
    status = 415 if isinstance(error, Unsupported) else INTAKE_STATUS[type(error)]
    code, message = _CODES[status], str(error)
    if media_type == _JSON:
        response = Response(json.dumps({"code": code, "message": message}), status, media_type=_JSON)
    else:
        response = Response(b"\x08" + varint(code) + field(2, message.encode()), status, media_type=_PROTOBUF)
    if isinstance(error, Overloaded):
        response.headers["retry-after"] = str(error.retry_after_s)
    if isinstance(error, PayloadTooLarge | Overloaded):
        # The rest of the body is not read: the connection cannot be used again.
        response.headers["connection"] = "close"
    return response
