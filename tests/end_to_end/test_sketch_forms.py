"""A sketch is the same sketch in every form that protobuf allows for its bins."""

import struct
import time
from collections.abc import Callable, Iterator, Sequence

import pytest

from end_to_end.columnar import varint
from end_to_end.instance import Instance, label_set, running

KEYS, COUNTS = (-1500, 1338, 1339, 1383, 1500), (1, 2, 300, 70_000, 4)


@pytest.fixture(scope="module")
def instance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Instance]:
    with running(tmp_path_factory.mktemp("forms"), "forms", {"tenants": ["default"]}) as started:
        yield started


def zigzag(number: int) -> int:
    return number << 1 ^ number >> 63


def field(number: int, content: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(content)) + content


def packed(number: int, values: Sequence[int]) -> bytes:
    return field(number, b"".join(map(varint, values)))


def in_two_parts(number: int, values: Sequence[int]) -> bytes:
    return packed(number, values[:2]) + packed(number, values[2:])


def one_by_one(number: int, values: Sequence[int]) -> bytes:
    return b"".join(varint(number << 3) + varint(value) for value in values)


def both(number: int, values: Sequence[int]) -> bytes:
    return packed(number, values[:3]) + one_by_one(number, values[3:])


def longer_than_need_be(number: int, values: Sequence[int]) -> bytes:
    """Numbers with septets of nothing at their ends."""
    long = (bytes(b | 0x80 for b in varint(value)) + b"\x80\x00" for value in values)
    return field(number, b"".join(long))


def payload(write: Callable[[int, Sequence[int]], bytes]) -> bytes:
    numbers = b"".join(
        varint(number << 3 | 1) + struct.pack("<d", value) for number, value in ((3, -5.0), (4, 9.0), (6, 700.0))
    )
    sketch = b"\x08" + varint(int(time.time()) - 30) + b"\x10" + varint(sum(COUNTS)) + numbers
    sketch += write(7, [zigzag(key) for key in KEYS]) + write(8, COUNTS)
    tag = f"form:{write.__name__}".encode()
    return field(1, field(1, b"forms.bins") + field(2, b"web-1") + field(4, tag) + field(7, sketch))


FORMS = (packed, in_two_parts, one_by_one, both, longer_than_need_be)


def test_bins_are_the_same_in_every_form(instance: Instance) -> None:
    bodies = [payload(form) for form in FORMS]
    # Each alone, and all of them in one body.
    for body in (*bodies, b"".join(bodies).replace(b"forms.", b"whole.")):
        headers = {"DD-API-KEY": instance.key(), "Content-Type": "application/x-protobuf"}
        assert instance.send("POST", "/api/beta/sketches", body, headers).status == 202
    now = time.time()
    for quantile in (0.0001, 0.004, 0.5, 0.99999):
        found = [instance.vector(f"histogram_quantile({quantile}, {kind}_bins)", now) for kind in ("forms", "whole")]
        assert [len(one) for one in found] == [len(FORMS)] * 2
        assert len({value for one in found for value in one.values()}) == 1, (quantile, found)
    counts = instance.vector('count ({__name__=~"(forms|whole)_bins_count"} == 70307)', now)
    assert counts == {label_set({}): str(2 * len(FORMS))}
