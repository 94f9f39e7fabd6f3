"""What answers leave by: large writes let the other threads of the process compute meanwhile."""

import asyncio
from typing import Any, Final

# Below this, a write takes less time than to let the others run.
UNLOCKED_FROM_BYTES: Final = 64 * 1024


class UnlockedTransport:
    """A transport of a socket that holds no lock of the interpreter while the system takes much of what is written.

    uvloop holds it. The thread that makes the next piece of an answer then waits each time: an answer of 74 MB takes
    an eighth longer.
    """

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        """Send what the system takes at once; the event loop sends the rest."""
        # What was written before comes first.
        if len(data) >= UNLOCKED_FROM_BYTES and not self._transport.get_write_buffer_size():
            self._transport.write(memoryview(data)[self._sent(data) :])
        else:
            self._transport.write(data)

    def _sent(self, data: bytes) -> int:
        """Return how many bytes were sent; none where that fails, of which the event loop's own write will tell."""
        try:
            with self._transport.get_extra_info("socket").dup() as socket:
                sent: int = socket.send(data)
        except OSError:
            return 0
        return sent


def unlocked(transport: asyncio.Transport) -> asyncio.Transport:
    """Return a transport that writes so, if it is one of a plain socket: what TLS writes is not what it is given."""
    if transport.get_extra_info("sslcontext") is not None:
        return transport
    return UnlockedTransport(transport)  # type: ignore[return-value]  # it has all that the other has
