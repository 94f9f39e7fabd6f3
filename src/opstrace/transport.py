"""The transport that sends answers: large writes release the interpreter's lock, so other threads go on."""

import asyncio
import math
from typing import Any, Final

# Below this, a write takes less time than to let the others run.
UNLOCKED_FROM_BYTES: Final = 64 * 1024
# A client that takes nothing of the rest of its answers for as long is given up.
TAKEN_WITHIN_S: Final = 30.0


class UnlockedTransport:
    """A socket transport that releases the interpreter's lock while the system takes a large write.

    uvloop keeps it. The thread that makes the next piece of an answer then waits each time: an answer of 74 MB takes
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

    def close(self) -> None:
        """Close once all that was written has been taken; break off where nothing of it is for a while."""
        self._transport.close()
        self._break_off_unless_less(math.inf)

    def _break_off_unless_less(self, before: float) -> None:
        left = self._transport.get_write_buffer_size()
        if left >= before:
            self._transport.abort()
        elif left:
            asyncio.get_running_loop().call_later(TAKEN_WITHIN_S, self._break_off_unless_less, left)

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
