"""A replay of much that is not understood keeps nobody waiting."""

import asyncio
import threading
from collections.abc import Generator
from pathlib import Path
from typing import Any, cast

import pytest

from opstrace.config import Limits
from opstrace.intake import replay
from opstrace.intake.ledger import Ledger
from opstrace.store.kept import Kept, KeptRequests, Record, Segment, read_records


class Between:
    """A commit that does nothing but what is asked of it."""

    async def between(self, work: Any) -> Any:
        return work()


def test_records_are_read_elsewhere_than_on_the_event_loop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = KeptRequests(tmp_path, lambda _tenant: Limits())
    record = Record(Kept(time_ms=1, method="POST", path="/unheard"), b"body").encode()
    kept.append("t", "other", [record] * 1200)
    readers: set[int] = set()

    def reading(segment: Segment) -> Generator[Record]:
        for one in read_records(segment):
            readers.add(threading.get_ident())
            yield one

    monkeypatch.setattr(replay, "read_records", reading)
    one = replay.Replay(cast("Any", None), cast("Any", Between()), kept, Ledger(), lambda _path: ())
    found = asyncio.run(one.run("t"))
    assert found == [replay.Replayed("t", "/unheard", replay.NOT_UNDERSTOOD, 1200)]
    assert readers
    assert threading.get_ident() not in readers
