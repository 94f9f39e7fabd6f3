"""Answers that are JSON and neither Datadog's nor Prometheus's: documents, and errors as `{"errors": ["…"]}`."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, TypeAlias

import msgspec
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from opstrace.errors import (
    ConfigError,
    InstanceError,
    IntakeError,
    OpstraceError,
    Overloaded,
    QueryError,
    query_verdict,
)

logger = logging.getLogger(__name__)

Document: TypeAlias = Mapping[str, Any]  # iterators in it are lists
Endpoint: TypeAlias = Callable[[Request], Awaitable[Document]]

_HEADERS: Final = {"cache-control": "no-store"}  # keys may be in a document


def answered(endpoint: Endpoint) -> Callable[[Request], Awaitable[Response]]:
    """Return what answers with an endpoint's document, or says why there is none."""

    async def answer(request: Request) -> Response:
        try:
            # What an endpoint leaves to be made here is made beside the event loop.
            return await asyncio.to_thread(document_answer, await endpoint(request))
        except QueryError as error:
            return errors_answer(str(error), query_verdict(error)[0])
        except Overloaded as error:
            refusal = errors_answer(str(error), 503)
            refusal.headers.update(error.headers)
            return refusal
        except (IntakeError, ConfigError) as error:
            return errors_answer(str(error), 400)
        except InstanceError as error:
            logger.error("%s %s failed: %s", request.method, request.url.path, error)
            return errors_answer(str(error), 500)
        except ClientDisconnect:
            return Response(status_code=499)
        except OpstraceError as error:
            logger.error("the store could not answer %s: %s", request.url.path, error)
            return errors_answer("the store could not answer now; try again", 503)

    return answer


def document_answer(document: Document, status: int = 200) -> Response:
    """Return a document as an answer that nobody keeps."""
    body = msgspec.json.encode(document, enc_hook=list)
    return Response(body, status, media_type="application/json", headers=_HEADERS)


def errors_answer(message: str, status: int) -> Response:
    """Return what went wrong."""
    return document_answer({"errors": [message]}, status)
