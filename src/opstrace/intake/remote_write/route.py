"""The door of remote write: what version, which tenant, is there room; then body, commit, answer.

Statuses and headers are the specification's (prometheus.io: docs/specs/prw/remote_write_spec and _2_0): a sender
drops what is answered 4xx, but 429, and sends again on 429 and 5xx. The good part of a request is stored, and the
rest said by 400.
"""

import json
from collections.abc import Mapping
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from opstrace.intake.body import inflate_write, inflated
from opstrace.intake.payload import STORED, Body, Family, Verdict
from opstrace.intake.remote_write.door import Door, Unsupported
from opstrace.intake.remote_write.writes import NOT_KEPT, refused, shown
from opstrace.intake.senders import sender_of

# `proto` of the Content-Type, which may be missing, to the version.
_VERSIONS: Final = {
    "": Family.REMOTE_WRITE_V1,
    "prometheus.writerequest": Family.REMOTE_WRITE_V1,
    "io.prometheus.write.v2.request": Family.REMOTE_WRITE_V2,
}
_MEDIA_TYPE: Final = "application/x-protobuf"
_ENCODINGS: Final = ("snappy", "zstd", "gzip", "identity")  # the specification's, and those of its relatives
_HEADERS: Final = {
    "samples": "X-Prometheus-Remote-Write-Samples-Written",
    "histograms": "X-Prometheus-Remote-Write-Histograms-Written",
    "exemplars": "X-Prometheus-Remote-Write-Exemplars-Written",
}
_ERROR_TYPES: Final = {400: "bad_data", 403: "unauthorized", 413: "bad_data", 415: "bad_data"}


class RemoteWrite(Door):
    """Answers remote writes of one server."""

    def routes(self) -> list[Route]:
        """Return the route; mount it before those of queries."""
        return [Route("/prometheus/api/v1/write", self.answer, methods=["POST"])]

    async def accept(self, request: Request, tenant: str) -> Response:
        """Store one remote write."""
        family = family_of(request.headers.get("content-type", ""))
        encoding = _encoding_of(request.headers.get("content-encoding", ""))
        self.writes.admit(tenant)
        raw = await self.body(request, tenant)
        content = await inflated(raw, encoding, self.limits.max_inflated_bytes, inflate_write)
        sender = sender_of(request.headers, tenant)
        return _answer(family, await self.writes.store(Body(family, tenant, content), raw, sender))

    def refusal(self, request: Request, status: int, message: str) -> Response:
        """Return an error as Prometheus's API has them; nothing was written."""
        try:
            family = family_of(request.headers.get("content-type", ""))
        except Unsupported:
            return _error(status, message, {})
        return _error(status, message, _written(family, {}))


def family_of(content_type: str) -> Family:
    """Return the version that a Content-Type names; one that is missing names 1.0."""
    media_type, *parameters = (part.strip().lower() for part in content_type.split(";"))
    proto = next((part.partition("=")[2].strip() for part in parameters if part.startswith("proto=")), "")
    if media_type not in ("", _MEDIA_TYPE) or proto not in _VERSIONS:
        raise Unsupported(
            f"Content-Type {content_type[:100]!r} is not remote write's: {_MEDIA_TYPE}, with nothing else, with "
            "proto=prometheus.WriteRequest or with proto=io.prometheus.write.v2.Request"
        )
    return _VERSIONS[proto]


def _encoding_of(sent: str) -> str:
    encoding = sent.strip().lower() or "snappy"
    if encoding not in _ENCODINGS:
        raise Unsupported(f"Content-Encoding {encoding[:40]!r} is not one of {', '.join(_ENCODINGS)}")
    return encoding


def _written(family: Family, written: Mapping[str, Mapping[str, int]]) -> dict[str, str]:
    """Return the headers that say how much was written, which only version 2.0 has.

    A sender that hears of fewer exemplars than it sent believes them lost by mistake, and says so for each request.
    As Prometheus does that keeps none, those count that could have been kept.
    """
    if family is not Family.REMOTE_WRITE_V2:
        return {}
    return {
        header: str(sum(number for fate, number in written.get(kind, {}).items() if fate in (STORED, NOT_KEPT)))
        for kind, header in _HEADERS.items()
    }


def _answer(family: Family, verdict: Verdict) -> Response:
    """Return 204, or 400 where something was not stored; and how much was."""
    headers = _written(family, verdict.written)
    reasons = refused(verdict)
    if not reasons:
        return Response(status_code=204, headers=headers)
    return _error(400, f"some of it was not stored: {shown(reasons)}; the rest is stored", headers)


def _error(status: int, message: str, headers: Mapping[str, str]) -> Response:
    document = {"status": "error", "errorType": _ERROR_TYPES.get(status, "unavailable"), "error": message}
    return Response(json.dumps(document), status, headers, "application/json")
