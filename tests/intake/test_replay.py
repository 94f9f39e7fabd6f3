"""What a replay leaves, and that it keeps nobody waiting."""

import asyncio
import shutil
import threading
from collections.abc import Generator
from itertools import count
from pathlib import Path
from typing import Any, cast

import pytest

from opstrace.config import Limits
from opstrace.errors import Overloaded
from opstrace.intake import replay
from opstrace.intake.ledger import Ledger
from opstrace.intake.payload import STORED, Family, Verdict
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
    one = replay.Replay(cast("Any", None), cast("Any", Between()), kept, Ledger(), lambda _path, _headers: ())
    found = asyncio.run(one.run("t"))
    assert found == [replay.Replayed("t", "/unheard", replay.NOT_UNDERSTOOD, 1200)]
    assert readers
    assert threading.get_ident() not in readers


@pytest.mark.parametrize(
    ("verdict", "fate", "left"),
    [
        (Verdict(points={"too_many_new_series": 5}, series={"too_many_new_series": 2}), "too_many_new_series", 1),
        (Verdict(points={"future": 5, STORED: 1}), STORED, 0),
        (Verdict(logs={"ancient": 1}), "ancient", 1),
        (Verdict(), STORED, 0),
    ],
)
def test_a_request_of_which_nothing_is_stored_stays(tmp_path: Path, verdict: Verdict, fate: str, left: int) -> None:
    kept = KeptRequests(tmp_path, lambda _tenant: Limits())
    kept.append("t", "other", [Record(Kept(time_ms=1, method="POST", path="/unheard"), b"body").encode()])

    class Deciding:
        async def store(self, *_: Any, **__: Any) -> Verdict:
            return verdict

    one = replay.Replay(
        cast("Any", Deciding()), cast("Any", Between()), kept, Ledger(), lambda _path, _headers: (Family.SERIES_V1,)
    )
    assert asyncio.run(one.run("t")) == [replay.Replayed("t", "/unheard", fate, 1)]
    assert sum(segment.records for segment in kept.segments("t")) == left


def test_what_goes_by_a_bound_meanwhile_is_passed_over(tmp_path: Path) -> None:
    kept = KeptRequests(tmp_path, lambda _tenant: Limits())
    kept.append("t", "other", [Record(Kept(time_ms=1, method="POST", path="/unheard"), b"body").encode()])

    class Dropping(Between):
        async def between(self, work: Any) -> Any:
            found = work()
            shutil.rmtree(tmp_path)
            return found

    one = replay.Replay(cast("Any", None), cast("Any", Dropping()), kept, Ledger(), lambda _path, _headers: ())
    assert asyncio.run(one.run("t")) == []


def test_what_has_no_room_now_stays_and_the_rest_is_accounted_for(tmp_path: Path) -> None:
    kept = KeptRequests(tmp_path, lambda _tenant: Limits())
    for path in ("/first", "/second"):
        records = [Record(Kept(time_ms=n, method="POST", path=path), b"body").encode() for n in range(3)]
        kept.append("t", path[1:], records)
    calls = count()

    class Filling:
        async def store(self, *_: Any, **__: Any) -> Verdict:
            if next(calls):
                raise Overloaded("too many payloads wait")
            return Verdict(points={STORED: 5})

    one = replay.Replay(
        cast("Any", Filling()), cast("Any", Between()), kept, Ledger(), lambda _path, _headers: (Family.SERIES_V1,)
    )
    found = asyncio.run(one.run("t"))
    assert {(of.route, of.fate): of.requests for of in found} == {
        ("/first", STORED): 1,
        ("/first", replay.NOT_YET): 2,
        ("/second", replay.NOT_YET): 3,
    }
    assert next(calls) == 3  # those of one piece come together
    assert sum(segment.records for segment in kept.segments("t")) == 5


def test_two_replays_at_once_feed_nothing_twice_and_lose_nothing_that_comes_meanwhile(tmp_path: Path) -> None:
    kept = KeptRequests(tmp_path, lambda _tenant: Limits())

    def keep(path: str) -> None:
        kept.append("t", "other", [Record(Kept(time_ms=1, method="POST", path=path), b"body").encode()])

    keep("/old")

    class Storing:
        async def store(self, *_: Any, **__: Any) -> Verdict:
            keep("/new")
            await asyncio.sleep(0)
            return Verdict(points={STORED: 5})

    one = replay.Replay(
        cast("Any", Storing()),
        cast("Any", Between()),
        kept,
        Ledger(),
        lambda path, _headers: (Family.SERIES_V1,) if path == "/old" else (),
    )

    async def twice() -> list[list[replay.Replayed]]:
        return list(await asyncio.gather(one.run("t"), one.run("t")))

    first, second = asyncio.run(twice())
    assert first == [replay.Replayed("t", "/old", STORED, 1)]
    assert second == [replay.Replayed("t", "/new", replay.NOT_UNDERSTOOD, 1)]
    assert sum(segment.records for segment in kept.segments("t")) == 1
