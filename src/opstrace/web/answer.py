"""What an endpoint found, on its way to the client: JSON piece by piece, compressed where that is welcome.

A query is evaluated, and an answer begun, before the first byte goes out: what fails has its status. The rest of a
large answer is made while it is sent, so its text is never in memory as a whole.
"""

import asyncio
import logging
import math
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator
from contextlib import aclosing
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Message as Sent
from starlette.types import Receive, Scope, Send

from opstrace.errors import BudgetExceeded
from opstrace.store.budget import Budget
from opstrace.web import encode, remote_read
from opstrace.web.encode import Piece

# What is begun before the first byte goes out; a shorter answer goes out as one.
STREAM_FROM_BYTES = 1 << 20
# A client that takes no more of its answer than a piece, some 1 MB, in this time is cut off.
SEND_TIMEOUT_S = 60.0

# An answer that has to be in memory as a whole.
MAX_WHOLE_BYTES = 64 << 20

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Answer:
    """What an endpoint found: the JSON of `data` piece by piece, and remarks."""

    data: Iterable[Piece]
    warnings: tuple[str, ...] = ()
    infos: tuple[str, ...] = ()
    bytes_at_most: Callable[[], float] = lambda: math.inf  # of data


@dataclass(frozen=True, slots=True)
class Message:
    """What an endpoint found, where it is no JSON: a body in Snappy."""

    body: bytes


@dataclass(frozen=True, slots=True)
class Body:
    """The body of an answer: how it begins, and what makes the rest."""

    head: list[Piece]
    rest: Iterator[Piece]
    encoding: str = ""  # by which it is compressed

    @classmethod
    def of(cls, found: Answer | Message, budget: Budget, max_bytes: int, *, may_zip: bool) -> "Body":
        """Begin the body of an answer, or make all of it where it could become larger than it may.

        Raises BudgetExceeded where it is larger than it may, and what the budget's check raises.
        """
        if isinstance(found, Message):
            return cls(list(_within([found.body], max_bytes)), iter(()), "snappy")
        pieces = _within(encode.success(found.data, found.warnings, found.infos), max_bytes)
        body, zipped = encode.gzipped(pieces) if may_zip else (pieces, False)
        head, more = _begun(body, STREAM_FROM_BYTES, budget)
        # The envelope is small, its remarks are limited in number.
        if more and found.bytes_at_most() + STREAM_FROM_BYTES > max_bytes:
            head += _begun(body, math.inf, budget)[0]
        return cls(head, body, "gzip" if zipped else "")


def _within(pieces: Iterable[Piece], max_bytes: int) -> Iterator[Piece]:
    total = 0
    for piece in pieces:
        total += len(piece)
        if total > max_bytes:
            raise BudgetExceeded(f"the answer is larger than {max_bytes} bytes", "answer")
        yield piece


def _begun(pieces: Iterator[Piece], enough: float, budget: Budget) -> tuple[list[Piece], bool]:
    """Make pieces until there are enough bytes; tell whether there may be more."""
    made: list[Piece] = []
    size = 0
    for piece in pieces:
        budget.check()
        made.append(piece)
        size += len(piece)
        if size >= enough:
            return made, True
    return made, False


def accepts_gzip(request: Request) -> bool:
    """Tell whether `Accept-Encoding` names gzip with a weight that is not zero (RFC 9110, section 12.5.3)."""
    for item in request.headers.get("accept-encoding", "").lower().split(","):
        coding, _, weight = item.partition(";")
        if coding.strip() in ("gzip", "*"):
            return weight.replace(" ", "").rstrip("0.") != "q="
    return False


def response(body: Body, pieces_of: Callable[[Iterator[Piece]], AsyncGenerator[Piece]]) -> Response:
    """Return the response that sends a body; `pieces_of` makes its rest, elsewhere than on the event loop."""
    headers = {"vary": "Accept-Encoding"}
    if body.encoding:
        headers["content-encoding"] = body.encoding
    media_type = remote_read.MEDIA_TYPE if body.encoding == "snappy" else "application/json"
    if sum(map(len, body.head)) < STREAM_FROM_BYTES:
        return Response(b"".join(body.head), media_type=media_type, headers=headers)
    return _Streamed(_pieces(body, pieces_of), headers)


async def _pieces(body: Body, pieces_of: Callable[[Iterator[Piece]], AsyncGenerator[Piece]]) -> AsyncGenerator[Piece]:
    """Yield the pieces of a body without keeping those already sent."""
    async with aclosing(pieces_of(body.rest)) as rest:
        body.head.reverse()
        while body.head:
            yield body.head.pop()
        async for piece in rest:
            yield piece


async def _one(piece: Piece) -> AsyncGenerator[Piece]:
    yield piece


class _Streamed(StreamingResponse):
    """An answer in JSON whose client must take it; where it breaks off, the connection ends."""

    def __init__(self, pieces: AsyncGenerator[Piece], headers: dict[str, str]) -> None:
        super().__init__(pieces, media_type="application/json", headers=headers)
        self._pieces = pieces

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the answer piece by piece; whole to a client of HTTP/1.0, which knows no chunks (RFC 9112, 6.1)."""
        if scope["http_version"] == "1.0" and not await self._put_together():
            message = f"an answer of more than {MAX_WHOLE_BYTES} bytes needs HTTP/1.1"
            refusal = Response(encode.error("execution", message), 505, media_type="application/json")
            await refusal(scope, receive, send)
        else:
            await super().__call__(scope, receive, send)

    async def _put_together(self) -> bool:
        """Make one piece of all, and tell its length; say whether it is not too large."""
        whole = bytearray()
        async with aclosing(self._pieces):
            async for piece in self._pieces:
                whole += piece
                if len(whole) > MAX_WHOLE_BYTES:
                    return False
        self.headers["content-length"] = str(len(whole))
        self.body_iterator = _one(bytes(whole))
        return True

    async def stream_response(self, send: Send) -> None:
        async def in_time(message: Sent) -> None:
            async with asyncio.timeout(SEND_TIMEOUT_S):
                await send(message)

        try:
            async with aclosing(self._pieces):
                await super().stream_response(in_time)
        except TimeoutError:
            _log.warning("a client took none of its answer for %.0f s, which was broken off", SEND_TIMEOUT_S)
        except Exception:  # noqa: BLE001  the status has gone out: there is nobody left to tell
            _log.exception("an answer was broken off")
