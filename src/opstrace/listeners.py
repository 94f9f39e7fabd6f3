"""The sockets a server listens on, and how its HTTP behaves there."""

import asyncio
import contextlib
import resource
import socket
from collections.abc import AsyncIterator, Iterator
from functools import partial
from typing import Final

import uvicorn
from starlette.types import ASGIApp

from opstrace import ports
from opstrace.connections import Connection
from opstrace.handshakes import Handshakes
from opstrace.instance import Instance

# Agents keep idle connections for 45 s and log a reset of one as an error (datadog-intake.md, section 3.4).
KEEP_ALIVE_S: Final = 75
DRAIN_S: Final = 15
_LAST_RESORT_S: Final = 5  # after that, for requests that do not end when they are told to


# Files that the storage engine, logs and the rest may have open beside connections; of few there are, half.
_OTHER_FILES: Final = 4096
_MOST_OPEN_FILES: Final = 1 << 16


def raise_open_files() -> None:
    """Have as many files open as the system lets the process, within reason: each connection is one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _MOST_OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, _MOST_OPEN_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _most_connections() -> int:
    """Return how many connections all listeners may have: beyond them, new ones are closed."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    files = _MOST_OPEN_FILES if soft == resource.RLIM_INFINITY else soft
    return max(files - _OTHER_FILES, files // 2)


class Listener(uvicorn.Server):
    """One listening socket; signals are the server's business."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to listen; where that is by TLS, by handshakes of our own."""
        context, connection = (
            self.config.ssl,
            partial(Connection, self.config, self.server_state, self.lifespan.state),
        )
        if context is None:
            await super().startup(sockets)
            return
        self.servers = [Handshakes(one, context, connection) for one in sockets or ()]  # type: ignore[misc]
        self.started = True

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals alone."""
        yield


@contextlib.asynccontextmanager
async def listening(instance: Instance, application: ASGIApp) -> AsyncIterator[list[Listener]]:
    """Listen on every port of the config while inside; leaving waits for the requests under way."""
    listeners: list[Listener] = []
    places = ports.listeners(instance.config)
    most_connections = _most_connections() // len(places)
    for at in places:
        secure = at.key == "https_port"
        listener = Listener(
            uvicorn.Config(
                application,
                http=Connection,
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                limit_concurrency=most_connections + 1,  # the connection too many is closed before it asks
                timeout_keep_alive=KEEP_ALIVE_S,
                timeout_graceful_shutdown=DRAIN_S + _LAST_RESORT_S,
                ssl_certfile=instance.certificate_file if secure else None,
                ssl_keyfile=instance.key_file if secure else None,
            )
        )
        listeners.append(listener)
    with contextlib.ExitStack() as bound:
        sockets = [bound.enter_context(ports.bound_tcp(at)) for at in places]
        bound.pop_all()  # they are the listeners' from here on
    tasks = [asyncio.create_task(one.serve([of_one])) for one, of_one in zip(listeners, sockets, strict=True)]
    try:
        while not all(listener.started for listener in listeners):
            done = [task for task in tasks if task.done()]
            for task in done:
                task.result()
            await asyncio.sleep(0.005)
        yield listeners
    finally:
        for listener in listeners:
            listener.should_exit = True
        await asyncio.gather(*tasks)
