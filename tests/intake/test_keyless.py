"""What a body costs that comes without a key."""

import asyncio
import gzip
import json
import threading
import time
from typing import Any

import pytest
from starlette.requests import Request

from intake.storeless import KEY, storeless
from opstrace.config import Limits
from opstrace.intake import routes
from opstrace.intake.routes import MAX_KEYLESS_BODIES, MAX_KEYLESS_BYTES, MAX_KEYLESS_READ, MAX_SMALL_KEYLESS_READ


def statuses(
    *bodies: bytes, path: str = "/intake/", encoding: str = "gzip", content_length: bytes = b""
) -> list[int]:
    """Return how bodies without a key are answered that come together."""
    intake = storeless()
    headers = [(b"content-encoding", encoding.encode())]
    if content_length:
        headers.append((b"content-length", content_length))
    scope = {"type": "http", "method": "POST", "path": path, "query_string": b"", "headers": headers}

    async def answered(body: bytes) -> int:
        async def receive() -> Any:
            return {"type": "http.request", "body": body, "more_body": False}

        return (await intake.answer(Request(scope, receive))).status_code

    async def together() -> list[int]:
        return list(await asyncio.gather(*map(answered, bodies)))

    return asyncio.run(together())


def test_a_key_is_found_in_the_head_of_a_body() -> None:
    filling = "x" * (MAX_KEYLESS_BYTES - 100)
    document = {"filling": filling, "apiKey": KEY}
    assert statuses(gzip.compress(json.dumps(document).encode())) == [202]
    assert statuses(json.dumps(document).encode(), encoding="") == [202]
    assert statuses(gzip.compress(json.dumps({**document, "filling": filling * 2}).encode())) == [403]


@pytest.mark.parametrize("path", ["/intake", "/intake/metrics", "/api/v1/series"])
def test_no_more_is_inflated_of_a_body_than_its_head(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    inflated = []

    def watched(body: bytes, encoding: str, max_bytes: int) -> bytes:
        inflated.append((threading.get_ident(), max_bytes))
        return real(body, encoding, max_bytes)

    real = routes.head
    monkeypatch.setattr(routes, "head", watched)
    # More than any body may be.
    assert statuses(gzip.compress(bytes(Limits().max_inflated_bytes + 1), 1), path=path) == [403]
    assert [most for _, most in inflated] == ([] if path == "/api/v1/series" else [MAX_KEYLESS_BYTES])
    assert threading.get_ident() not in [thread for thread, _ in inflated]


def test_few_bodies_are_searched_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    lock, now, most = threading.Lock(), 0, 0

    def watched(*_: Any) -> bytes:
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
        time.sleep(0.01)
        with lock:
            now -= 1
        return b"{}"

    monkeypatch.setattr(routes, "head", watched)
    assert statuses(*[b"{}"] * 12) == [403] * 12
    assert most <= MAX_KEYLESS_BODIES


def test_few_bodies_are_in_memory_at_once() -> None:
    answered = statuses(*[b"{}"] * (MAX_KEYLESS_READ + 3), encoding="")  # how large they become nobody says
    assert answered == [403] * MAX_KEYLESS_READ + [503] * 3
    small = statuses(*[b"{}"] * (MAX_SMALL_KEYLESS_READ + 3), encoding="", content_length=b"2")
    assert small == [403] * MAX_SMALL_KEYLESS_READ + [503] * 3


def test_a_documents_own_key_counts_and_none_of_what_is_in_it() -> None:
    other = {"events": {"x": [{"apiKey": "2" * 32}]}}
    assert statuses(json.dumps({**other, "apiKey": KEY}).encode(), encoding="") == [202]
    assert statuses(json.dumps({"apiKey": "2" * 32, "x": {"apiKey": KEY}}).encode(), encoding="") == [403]
    assert statuses(json.dumps({"x": [{"apiKey": "2" * 32}, {"apiKey": KEY}]}).encode(), encoding="") == [403]
