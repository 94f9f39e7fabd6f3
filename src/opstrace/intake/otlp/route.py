"""The door of OpenTelemetry's metrics: OTLP over HTTP, in protobuf or JSON.

Statuses and bodies are the specification's (opentelemetry.io: docs/specs/otlp, "OTLP/HTTP"): the good part of a
request is stored, and 200 says how many points were not; a sender drops what is answered 400, and sends again on 429
and 503.
"""

import asyncio
import json
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Final

from google.protobuf import json_format
from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from opstrace.access import Access
from opstrace.config import Limits
from opstrace.errors import Overloaded, Undecodable
from opstrace.intake.body import inflate, inflated
from opstrace.intake.otlp.bounds import check_json, check_protobuf
from opstrace.intake.otlp.legible import legible_json, legible_protobuf
from opstrace.intake.otlp.translation import Translated, translated
from opstrace.intake.payload import Body, Family
from opstrace.intake.remote_write.door import Door, Unsupported
from opstrace.intake.remote_write.writes import Writes, refused, shown
from opstrace.intake.senders import sender_of
from opstrace.protobuf_wire import field, varint
from opstrace.telemetry import Telemetry

_PROTOBUF: Final = "application/x-protobuf"
_JSON: Final = "application/json"
# Inflated bytes of exports that are decoded, one by one, or wait for that.
MAX_WAITING_BYTES: Final = 256 << 20
# google.rpc.Code, by status.
_CODES: Final = {400: 3, 403: 7, 413: 3, 415: 3, 429: 8, 503: 14}


class Otlp(Door):
    """Answers exports of metrics to one server."""

    def __init__(self, access: Access, writes: Writes, telemetry: Telemetry, limits: Limits) -> None:
        super().__init__(access, writes, telemetry, limits)
        # Of its own: decoding takes long, and others wait for the threads of all.
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="otlp")
        self._waiting_bytes = 0

    def close(self) -> None:
        """Let go of the thread."""
        self._thread.shutdown()

    def routes(self) -> list[Route]:
        """Return the route; mount it before those of queries."""
        return [Route("/prometheus/api/v1/otlp/v1/metrics", self.answer, methods=["POST"])]

    async def accept(self, request: Request, tenant: str) -> Response:
        """Store one export."""
        media_type = _media_type(request)
        if media_type not in (_PROTOBUF, _JSON):
            raise Unsupported(f"Content-Type {media_type[:100]!r} is neither {_PROTOBUF} nor {_JSON}")
        self.writes.admit(tenant)
        raw = await self.body(request, tenant)
        encoding = request.headers.get("content-encoding", "")
        content = await inflated(raw, encoding, self.limits.max_inflated_bytes, inflate)
        found = await self._found(content, media_type)
        body = Body(Family.REMOTE_WRITE_V1, tenant, found.message)
        verdict = await self.writes.store(body, raw, sender_of(request.headers, tenant), found.dropped)
        return _answer(refused(verdict), found.points, media_type)

    async def _found(self, content: bytes, media_type: str) -> Translated:
        """Return what is in a body, once it is its turn."""
        newest_ms = int((time.time() + self.limits.max_future_s) * 1000)
        with self._room(len(content)):
            return await asyncio.get_running_loop().run_in_executor(
                self._thread, _translated, content, media_type, self.limits.max_inflated_bytes, newest_ms
            )

    @contextmanager
    def _room(self, size: int) -> Iterator[None]:
        """Count a body among those that wait; raise Overloaded where these are enough."""
        if self._waiting_bytes and self._waiting_bytes + size > MAX_WAITING_BYTES:
            raise Overloaded("too many exports wait to be decoded; try again")
        self._waiting_bytes += size
        try:
            yield
        finally:
            self._waiting_bytes -= size

    def refusal(self, request: Request, status: int, message: str) -> Response:
        """Return a google.rpc.Status, in the form of the request."""
        code = _CODES[status]
        if _media_type(request) == _JSON:
            return Response(json.dumps({"code": code, "message": message}), status, media_type=_JSON)
        return Response(b"\x08" + varint(code) + field(2, message.encode()), status, media_type=_PROTOBUF)


def _media_type(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def _translated(content: bytes, media_type: str, max_bytes: int, newest_ms: int) -> Translated:
    """Read a request and translate it; raises Undecodable and PayloadTooLarge."""
    read, mended = _READERS[media_type]
    try:
        try:
            request = read(content)
        except _FAULTS:
            legible = mended(content)
            if legible == content:
                raise
            request = read(legible)
    except _FAULTS as error:
        raise Undecodable(f"the body is no ExportMetricsServiceRequest in {media_type}: {str(error)[:200]}") from None
    return translated(request, max_bytes, newest_ms)


def _of_json(content: bytes) -> ExportMetricsServiceRequest:
    check_json(content)
    return json_format.Parse(content, ExportMetricsServiceRequest(), ignore_unknown_fields=True)


def _of_protobuf(content: bytes) -> ExportMetricsServiceRequest:
    check_protobuf(content)
    return ExportMetricsServiceRequest.FromString(content)


_FAULTS: Final = (DecodeError, json_format.ParseError, UnicodeDecodeError, ValueError, RecursionError)
# What reads a request, and what makes text of it legible that is not UTF-8, which needs to be done for few.
_READERS: Final[Mapping[str, tuple[Callable[[bytes], ExportMetricsServiceRequest], Callable[[bytes], bytes]]]] = {
    _JSON: (_of_json, legible_json),
    _PROTOBUF: (_of_protobuf, legible_protobuf),
}


def _answer(reasons: Counter[str], points: int, media_type: str) -> Response:
    answer = ExportMetricsServiceResponse()
    if reasons:
        # A histogram with bounds is many samples, which may be refused one by one.
        answer.partial_success.rejected_data_points = min(reasons.total(), points)
        answer.partial_success.error_message = f"some of it was not stored: {shown(reasons)}; the rest is stored"
    content = json_format.MessageToJson(answer) if media_type == _JSON else answer.SerializeToString()
    return Response(content, media_type=media_type)
