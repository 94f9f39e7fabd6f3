"""Connections of TLS from their first moment: event loops tell of one only once its client has shaken hands.

Until then it holds a file all the same, and clients that never do would take all there are.
"""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Callable
from typing import Final

from opstrace.connections import Connection

# An Agent gives its own side 10 s (datadog-intake.md, section 3.4).
HANDSHAKE_S: Final = 10.0
# Where a connection cannot be accepted, as there are no files: the next try.
_PAUSE_S: Final = 0.1


class Handshakes:
    """Accepts the connections of a socket, and makes those of HTTP whose clients shake hands.

    It is to uvicorn what a server of asyncio is.
    """

    def __init__(
        self, listening: socket.socket, context: ssl.SSLContext, connection: Callable[[], Connection]
    ) -> None:
        """`connection` makes the protocol of one, which knows how many there may be."""
        listening.setblocking(False)
        self._listening = listening
        self._context = context
        self._connection = connection
        self._under_way: set[asyncio.Task[None]] = set()
        self._accepting = asyncio.get_running_loop().create_task(self._accept())

    def close(self) -> None:
        """Accept no more; who has yet to shake hands need not any more."""
        for task in (self._accepting, *self._under_way):
            task.cancel()

    async def wait_closed(self) -> None:
        """Return once nothing is under way."""
        await asyncio.gather(self._accepting, *self._under_way, return_exceptions=True)

    async def _accept(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(0)  # who comes by the thousand keeps nobody else from the event loop
            try:
                accepted, _ = await loop.sock_accept(self._listening)
            except OSError:
                await asyncio.sleep(_PAUSE_S)
                continue
            connection = self._connection()
            most = connection.limit_concurrency
            if most is not None and len(connection.connections) + len(self._under_way) + 1 >= most:
                accepted.close()
                continue
            task = loop.create_task(self._shake_hands(accepted, connection))
            self._under_way.add(task)
            task.add_done_callback(self._under_way.discard)

    async def _shake_hands(self, accepted: socket.socket, connection: Connection) -> None:
        accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with contextlib.suppress(OSError):  # it broke off, took too long, or speaks no TLS
            await asyncio.get_running_loop().connect_accepted_socket(
                lambda: connection, accepted, ssl=self._context, ssl_handshake_timeout=HANDSHAKE_S
            )
            return
        accepted.close()
