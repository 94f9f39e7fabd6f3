"""Connections of clients, bounded where uvicorn bounds nothing: the size of a request's head, and the wait for it."""

import asyncio
from http import HTTPStatus
from typing import Any, Final

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from opstrace.transport import unlocked

# Of a request's first line and its headers; of what else comes between two pieces of a body, such as trailers.
MAX_HEAD_BYTES: Final = 64 * 1024


class Connection(HttpToolsProtocol):
    """A connection that is closed when what comes of a head is too much, or too late.

    Without the bounds the parser puts pieces of a header together again and again, while all others wait.
    """

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._head_bytes = 0  # since there was something in what came
        self._waiting: asyncio.TimerHandle | None = None
        self._fault = ""  # of a head

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for a request; close what is one connection too many."""
        super().connection_made(unlocked(transport))
        if self.limit_concurrency is not None and len(self.connections) >= self.limit_concurrency:
            transport.abort()
            return
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no longer."""
        self._stop_waiting()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Read what came, no more of a head than it may have."""
        while data and not self.transport.is_closing():
            room = MAX_HEAD_BYTES + 1 - self._head_bytes
            piece, data = data[:room], data[room:]
            self._head_bytes += len(piece)
            super().data_received(piece)
            if self._head_bytes > MAX_HEAD_BYTES:
                self._refuse()
        if not self._answering:
            self._wait()

    def on_headers_complete(self) -> None:
        """Note that a request begins."""
        self._head_bytes = 0
        self._stop_waiting()
        self._check_host()
        super().on_headers_complete()

    def send_400_response(self, msg: str) -> None:
        """Refuse a request that cannot be read, and say why if that is known; close the connection."""
        super().send_400_response(self._fault or msg)

    def on_body(self, body: bytes) -> None:
        """Note that there is a piece of a body."""
        self._head_bytes = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Note that a request ends."""
        self._head_bytes = 0
        super().on_message_complete()

    def _check_host(self) -> None:
        """Stop the parser at a head without the host it is for, or with two (RFC 9112, section 3.2)."""
        hosts = sum(name == b"host" for name, _ in self.headers)
        if hosts > 1 or (not hosts and self.parser.get_http_version() == "1.1"):
            self._fault = f"a request has one header Host, and this one has {hosts}\n"
            raise ValueError(self._fault)

    def _unsupported_upgrade_warning(self) -> None:
        """Say nothing: an Agent tries a WebSocket, and is answered without one."""

    @property
    def _answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _wait(self) -> None:
        """Close the connection if no request has begun by then; what comes meanwhile does not put it off."""
        if self._waiting is None:
            self._waiting = self.loop.call_later(self.timeout_keep_alive, self.timeout_keep_alive_handler)

    def _stop_waiting(self) -> None:
        if self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None

    def _refuse(self) -> None:
        """Close the connection; say why, unless an answer is under way."""
        if not self._answering and not self.transport.is_closing():
            text = f"the head of a request may have {MAX_HEAD_BYTES} bytes\n".encode()
            head = b"content-type: text/plain; charset=utf-8\r\ncontent-length: %d\r\nconnection: close\r\n\r\n"
            status = STATUS_LINE[HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE]
            self.transport.write(status + head % len(text) + text)
        self.transport.close()
