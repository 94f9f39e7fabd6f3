import os
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opstrace.config import Limits
from opstrace.store.kept import MAGIC, Kept, KeptRequests, Record, read_records

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
