"""Who goes first where two want the processor and the interpreter: one passes, the other waits a little."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class RightOfWay:
    """The right to go first, taken by one thread at a time; any number of others may give way."""

    def __init__(self) -> None:
        self._clear = threading.Event()
        self._clear.set()

    @contextmanager
    def taken(self) -> Iterator[None]:
        """Go first, for as long as this lasts."""
        self._clear.clear()
        try:
            yield
        finally:
            self._clear.set()

    def give(self, at_most_s: float) -> None:
        """Wait until nobody goes first, but no longer than this."""
        self._clear.wait(at_most_s)
