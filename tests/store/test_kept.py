import errno
import os
import time
from bisect import bisect_right
from itertools import accumulate
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opstrace.config import Limits
from opstrace.store.kept import MAGIC, Kept, KeptRequests, Record, read_records
from opstrace.store.kept_segment import survey

DAY_S = 86_400


def record(body: bytes, path: str = "/api/v2/new") -> Record:
    return Record(Kept(time_ms=1, method="POST", path=path, headers={"content-type": "x"}, version="7"), body)


def opened(directory: Path, max_bytes: int = 1 << 20) -> KeptRequests:
    return KeptRequests(directory, lambda _tenant: Limits(max_kept_bytes=max_bytes))


def bodies(kept: KeptRequests, tenant: str = "t") -> list[bytes]:
    return [found.body for segment in kept.segments(tenant) for found in read_records(segment)]


def test_what_was_appended_is_there_also_after_a_restart(tmp_path: Path) -> None:
    sent = [record(b"first"), record(b"\0\xff"), record(b"")]
    kept = opened(tmp_path)
    kept.append("t", "other", [one.encode() for one in sent[:2]])
    kept.append("t", "other", [sent[2].encode()])
    kept.append("u", "other", [record(b"another tenant's").encode()])
    for store in (kept, opened(tmp_path)):
        (segment,) = store.segments("t")
        assert list(read_records(segment)) == sent
        assert sorted(store.tenants()) == ["t", "u"]
        assert store.take_dropped() == []


@given(st.integers(min_value=0, max_value=400))
def test_a_torn_end_costs_what_is_torn_and_nothing_before_it(
    tmp_path_factory: pytest.TempPathFactory, cut: int
) -> None:
    directory = tmp_path_factory.mktemp("kept")
    records = [record(b"x" * 50).encode(), record(b"y" * 60).encode()]
    kept = opened(directory)
    kept.append("t", "other", records)
    (segment,) = kept.segments("t")
    size = segment.size_bytes
    assert size == len(MAGIC) + sum(map(len, records))
    os.truncate(segment.path, max(size - cut, 0))
    left = size - cut - len(MAGIC)
    whole = (left >= len(records[0])) + (left >= len(records[0]) + len(records[1]))
    again = opened(directory)
    assert bodies(again) == [b"x" * 50, b"y" * 60][:whole]
    again.append("t", "other", [record(b"after").encode()])
    assert bodies(opened(directory)) == [*[b"x" * 50, b"y" * 60][:whole], b"after"]


def test_a_flipped_bit_ends_the_segment_there(tmp_path: Path) -> None:
    kept = opened(tmp_path)
    kept.append("t", "other", [record(b"good").encode(), record(b"flipped").encode()])
    (segment,) = kept.segments("t")
    content = bytearray(segment.path.read_bytes())
    content[-1] ^= 1
    segment.path.write_bytes(content)
    assert bodies(opened(tmp_path)) == [b"good"]


SENT = [b"first", b"x" * 500, b"third" * 20, b'{"time_ms":1' * 9, b"last"]


@given(st.data())
def test_a_damaged_byte_costs_the_record_it_is_in_and_that_is_booked(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    directory = tmp_path_factory.mktemp("kept")
    encoded = [record(body).encode() for body in SENT]
    kept = opened(directory)
    kept.append("t", "other", encoded)
    (segment,) = kept.segments("t")
    content = bytearray(segment.path.read_bytes())
    place = data.draw(st.integers(0, len(content) - len(encoded[-1]) - 1))
    content[place] ^= 1 << data.draw(st.integers(0, 7))
    segment.path.write_bytes(content)
    os.utime(segment.path, (1000, 1000))
    again = opened(directory)
    ends = list(accumulate(map(len, encoded), initial=len(MAGIC)))
    hit = bisect_right(ends, place) - 1
    left = [body for number, body in enumerate(SENT) if number != hit]
    assert bodies(again) == left
    (dropped,) = again.take_dropped()
    assert (dropped.tenant, dropped.reason) == ("t", "damaged")
    assert (dropped.records > 0) == (hit >= 0)
    assert [one.newest for one in again.segments("t")] == [1000]
    (aside,) = directory.glob("t/other/*.damaged")
    assert aside.read_bytes() == (content[slice(*ends[hit : hit + 2])] if hit >= 0 else content[: len(MAGIC)])
    once_more = opened(directory)
    assert (bodies(once_more), once_more.take_dropped()) == (left, [])


def test_damage_is_told_and_what_is_put_aside_has_a_bound_and_an_age(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    kept = opened(tmp_path)
    for route in ("one", "two"):
        kept.append("t", route, [record(b"lost" * 5000).encode(), record(b"left").encode()])
    for segment in kept.segments("t"):
        content = bytearray(segment.path.read_bytes())
        content[300] ^= 1
        segment.path.write_bytes(content)
    again = opened(tmp_path)
    assert bodies(again) == [b"left", b"left"]
    assert [(one.reason, one.records, one.body_bytes) for one in again.take_dropped()] == [("damaged", 1, 20_000)] * 2
    said = [one.getMessage().partition(" is ")[2] for one in caplog.records]
    assert said == ["damaged; requests lost: 1, left: 1"] * 2
    assert len(list(tmp_path.rglob("*.damaged"))) == 1  # a second one is more than the bound
    for segment in again.segments("t"):
        again.replace(segment, [])
    opened(tmp_path).drop_old(time.time() + 8 * DAY_S)
    assert list(tmp_path.rglob("*.damaged")) == []


def test_a_segment_that_cannot_be_mended_is_left_and_does_not_prevent_a_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = opened(tmp_path)
    kept.append("t", "other", [record(b"lost").encode(), record(b"left").encode()])
    (segment,) = kept.segments("t")
    content = bytearray(segment.path.read_bytes())
    content[30] ^= 1
    segment.path.write_bytes(content)

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("opstrace.atomic_file.write", full)
        again = opened(tmp_path)
    assert bodies(again) == []
    again.append("t", "other", [record(b"next").encode()])
    assert segment.path.read_bytes() == content
    assert bodies(opened(tmp_path)) == [b"left", b"next"]


def test_a_hostile_body_behind_damage_costs_no_more_than_so_many_tries(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("opstrace.store.kept_segment._MAX_TRIES", 3)
    tried = []
    monkeypatch.setattr("opstrace.store.kept_segment.checksum", lambda *_: tried.append(1))
    survey(MAGIC + (b"\1\0\0\0" * 3 + b'{"time_ms":') * 100)
    assert len(tried) <= 5


def test_the_route_that_takes_the_most_makes_room_and_what_goes_is_counted(tmp_path: Path) -> None:
    kept = opened(tmp_path, max_bytes=100_000)
    kept.append("t", "rare", [record(b"rare").encode()])
    for number in range(200):
        kept.append("t", "loud", [record(b"%03d" % number * 500).encode()])
    size = sum(segment.size_bytes for segment in kept.segments("t"))
    assert size <= 100_000
    assert b"rare" in bodies(kept)
    assert bodies(kept)[-1] == b"199" * 500
    dropped = kept.take_dropped()
    assert {(one.tenant, one.reason) for one in dropped} == {("t", "space")}
    assert sum(one.records for one in dropped) == 201 - len(bodies(kept))
    assert sum(one.body_bytes for one in dropped) == 201 * 1500 - 1496 - sum(map(len, bodies(kept)))
    assert kept.take_dropped() == []


def test_what_is_too_old_goes_and_is_counted(tmp_path: Path) -> None:
    kept = opened(tmp_path)
    kept.append("t", "other", [record(b"1").encode(), record(b"2").encode()])
    kept.drop_old(time.time() + 6 * DAY_S)
    assert len(bodies(kept)) == 2
    kept.drop_old(time.time() + 8 * DAY_S)
    assert bodies(kept) == []
    assert [(one.reason, one.records, one.body_bytes) for one in kept.take_dropped()] == [("age", 2, 2)]


def test_what_goes_is_counted_in_bytes_of_bodies_after_a_restart_and_a_replay_too(tmp_path: Path) -> None:
    kept = opened(tmp_path)
    kept.append("t", "other", [record(b"done").encode(), record(b"left").encode()])
    (segment,) = kept.segments("t")
    kept.replace(segment, [record(b"left")])
    for store in (kept, opened(tmp_path)):
        assert [segment.body_bytes for segment in store.segments("t")] == [4]


def test_replacing_leaves_what_is_left_and_what_came_since(tmp_path: Path) -> None:
    kept = opened(tmp_path)
    kept.append("t", "other", [record(b"done").encode(), record(b"left").encode()])
    (read,) = kept.segments("t")
    kept.append("t", "other", [record(b"new").encode()])
    kept.replace(read, [record(b"left")])
    assert bodies(kept) == bodies(opened(tmp_path)) == [b"left", b"new"]
    (read,) = kept.segments("t")
    kept.replace(read, [])
    assert bodies(kept) == []
    assert not read.path.exists()
    kept.replace(read, [])  # it went by a bound meanwhile


def test_bounds_that_become_tighter_drop_what_exceeds_them_and_a_tenant_can_be_forgotten(tmp_path: Path) -> None:
    most = {"t": 100_000, "u": 100_000}
    kept = KeptRequests(tmp_path, lambda tenant: Limits(max_kept_bytes=most[tenant]))
    for tenant in most:
        for number in range(20):
            kept.append(tenant, f"route-{number}", [record(b"x" * 2000).encode()])
    most["t"] = 20_000
    kept.make_room()
    assert sum(segment.size_bytes for segment in kept.segments("t")) <= 20_000
    assert len(kept.segments("u")) == 20
    kept.forget("u")
    assert kept.segments("u") == []
    assert kept.tenants() == ["t"]
