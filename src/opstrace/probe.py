"""Does an instance answer? A real request to each endpoint of each tenant."""

import http.client
import json
import ssl
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Final

from opstrace.client import Connection, Endpoint

TIMEOUT_S: Final = 5.0
_BODY_BYTES: Final = 65536
_AT_ONCE: Final = 32  # endpoints that are asked side by side


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of asking one endpoint; `fault` is None if all is well."""

    endpoint: Endpoint
    fault: str | None
    elapsed_ms: float


def ask_all(endpoints: Sequence[Endpoint], context: ssl.SSLContext) -> Iterator[Outcome]:
    """Ask endpoints side by side, and yield what came of each, in their order and as soon as it is known."""
    with ThreadPoolExecutor(_AT_ONCE) as threads:
        yield from threads.map(partial(ask, context=context), endpoints)


def ask(endpoint: Endpoint, context: ssl.SSLContext, timeout_s: float = TIMEOUT_S) -> Outcome:
    """Ask one endpoint; whatever happens becomes an Outcome."""
    started = time.monotonic()
    try:
        fault = _fault(endpoint, *_exchange(endpoint, context, timeout_s))
    except ssl.SSLCertVerificationError as error:
        fault = f"its certificate is not valid: {error.verify_message}"
    except TimeoutError:
        fault = f"no answer within {timeout_s:g} s"
    except (OSError, http.client.HTTPException) as error:
        fault = f"no answer: {_one_line(error)}"
    return Outcome(endpoint, fault, (time.monotonic() - started) * 1000)


def _one_line(error: OSError | http.client.HTTPException) -> str:
    text = str(getattr(error, "strerror", None) or error or type(error).__name__)
    return " ".join(text.split())[:200]  # an HTTPException quotes what was sent


def _exchange(endpoint: Endpoint, context: ssl.SSLContext, timeout_s: float) -> tuple[int, bytes]:
    connection = Connection(endpoint, context, timeout_s)
    headers = {"User-Agent": "opstrace-probe", "Connection": "close"}
    if endpoint.key:
        headers["DD-API-KEY"] = endpoint.key
    try:
        connection.request("GET", endpoint.path, headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.read(_BODY_BYTES)
    finally:
        connection.close()


def _fault(endpoint: Endpoint, status: int, body: bytes) -> str | None:
    if status != 200:
        return f"status {status} instead of 200"
    if not endpoint.expected:
        return None
    try:
        answer = json.loads(body)
    except ValueError:
        return "the answer is not JSON"
    right = isinstance(answer, dict) and all(answer.get(key) == value for key, value in endpoint.expected.items())
    return None if right else "the answer is not the expected one"
