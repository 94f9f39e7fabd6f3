"""What was booked reaches the books, whatever happens to who writes it."""

import asyncio
import contextlib
import threading
import time
from pathlib import Path

from opstrace.config import Limits
from opstrace.intake.bookkeeper import Bookkeeper
from opstrace.intake.commit import Commit
from opstrace.intake.ledger import Ledger
from opstrace.intake.senders import Sender
from opstrace.store.books import Books
from opstrace.store.engine import Engine
from opstrace.store.kept import KeptRequests
from opstrace.telemetry import Telemetry


async def _stopped_while_the_writer_is_busy(books: Books, kept: KeptRequests) -> None:
    """Book a payload, have it written, and cancel that once it has been taken from the ledger."""
    ledger, telemetry = Ledger(), Telemetry()
    commit = Commit(lambda _bodies, _blocks: ([], 0), telemetry, max_bodies=1, max_bytes=1)
    bookkeeper = Bookkeeper(ledger, books, kept, commit, telemetry)
    ledger.refuse(Sender("default", "web-1", "7"), 10, "too_large")
    go_on = threading.Event()
    # What was dropped is asked for first, then the writer is busy, then it is to write.
    writing = asyncio.ensure_future(bookkeeper.write())
    busy = asyncio.ensure_future(commit.between(go_on.wait))
    await asyncio.sleep(0.2)
    writing.cancel()
    await asyncio.gather(writing, return_exceptions=True)
    assert writing.cancelled()
    go_on.set()
    await busy
    await bookkeeper.write()
    await commit.drain()


def test_what_is_cancelled_while_the_writer_is_busy_is_written_once(tmp_path: Path) -> None:
    with contextlib.closing(Engine(tmp_path / "store", readers=1)) as engine:
        books = Books(engine)
        kept = KeptRequests(tmp_path / "kept", lambda _tenant: Limits())
        asyncio.run(_stopped_while_the_writer_is_busy(books, kept))
        found = books.totals("default", time.time() - 3600, time.time() + 3600)
    assert {(one.unit, one.outcome): one.total for one in found} == {
        ("payloads", "received"): 1,
        ("payloads", "refused"): 1,
        ("bytes", "received"): 10,
        ("bytes", "refused"): 10,
    }
