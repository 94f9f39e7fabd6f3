"""Work that is done again and again, whatever becomes of it."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from opstrace.errors import OpstraceError
from opstrace.log_lines import Outage

logger = logging.getLogger(__name__)


def watched(work: Coroutine[Any, Any, None], what: str) -> "asyncio.Task[None]":
    """Begin work that is to go on until it is told to end; that it ended by an error is logged at once."""
    task = asyncio.get_running_loop().create_task(work)

    def ended(task: "asyncio.Task[None]") -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.critical("%s has ended; restart the server", what, exc_info=error)

    task.add_done_callback(ended)
    return task


async def every(interval_s: float, what: str, work: Callable[[], Awaitable[None]]) -> None:
    """Run work at multiples of an interval; a failure does not end it. The first is logged, and when that is over."""
    outage = Outage(what)
    while True:
        try:
            await work()
        except (OpstraceError, OSError) as error:
            if outage.failed():
                logger.warning("%s failed: %s", what, error)
        except Exception:
            if outage.failed():
                logger.exception("%s failed", what)
        else:
            outage.worked()
        await asyncio.sleep(interval_s - time.time() % interval_s)
