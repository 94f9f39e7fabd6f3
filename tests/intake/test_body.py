import asyncio
import gzip
import os
import random
import threading
import tracemalloc
import zlib
from collections.abc import Callable
from typing import Any

import pytest
import zstandard
from cramjam import snappy

from opstrace.errors import PayloadTooLarge, Undecodable
from opstrace.intake import body as body_module
from opstrace.intake.body import MAX_PARTS, Inflate, head, inflate, inflate_write, inflated

PLAIN = b'{"series":[]}' + b" " * 5000 + os.urandom(300_000).hex().encode()
CAP = 10_000_000


def raw_deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(data) + packer.flush()


def gzip_members(data: bytes) -> bytes:
    return gzip.compress(data[:700]) + gzip.compress(b"") + gzip.compress(data[700:])


def zstd_stream(data: bytes) -> bytes:
    """As Agents write it: no content size in the header."""
    packer = zstandard.ZstdCompressor(write_content_size=False, write_checksum=True).compressobj()
    return packer.compress(data) + packer.flush()


def zstd_frames(data: bytes) -> bytes:
    skippable = b"\x53\x2a\x4d\x18" + (5).to_bytes(4, "little") + b"hello"
    return zstd_stream(data[:900]) + skippable + zstandard.compress(data[900:])


def zstd_in_parallel(data: bytes) -> bytes:
    """As pzstd writes it: before each frame one to be skipped, which says how long it is."""
    frames = (zstandard.compress(data[:900]), zstandard.compress(data[900:]))
    return b"".join(b"\x50\x2a\x4d\x18\4\0\0\0" + len(frame).to_bytes(4, "little") + frame for frame in frames)


WAYS: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    "zlib": ("deflate", zlib.compress),
    "raw deflate": ("deflate", raw_deflate),
    "zlib by name": ("zlib", zlib.compress),
    "gzip": ("gzip", gzip.compress),
    "gzip members": ("x-gzip", gzip_members),
    "zstd": ("zstd", zstandard.compress),
    "zstd stream": ("zstd1", zstd_stream),
    "zstd frames": ("zstd", zstd_frames),
    "zstd in parallel": ("zstd", zstd_in_parallel),
}
ways = pytest.mark.parametrize(("encoding", "pack"), WAYS.values(), ids=WAYS)


@ways
def test_what_was_packed_is_unpacked(encoding: str, pack: Callable[[bytes], bytes]) -> None:
    assert inflate(pack(PLAIN), encoding, CAP) == PLAIN
    assert inflate(pack(PLAIN), f" {encoding.upper()} ", CAP) == PLAIN
    assert inflate(pack(b""), encoding, CAP) == b""


@ways
def test_a_body_cut_anywhere_is_undecodable(encoding: str, pack: Callable[[bytes], bytes]) -> None:
    packed = pack(PLAIN)
    whole_frames = {len(packed) - len(pack(b""))} | {
        i for i in range(len(packed)) if pack is zstd_frames and i < 2000
    }
    for end in {1, 5, 20, len(packed) // 2, len(packed) - 9, len(packed) - 1} - whole_frames:
        with pytest.raises(Undecodable):
            inflate(packed[:end], encoding, CAP)


@ways
def test_a_bomb_costs_no_more_than_the_cap(encoding: str, pack: Callable[[bytes], bytes]) -> None:
    bomb = pack(bytes(50_000_000))
    tracemalloc.start()
    with pytest.raises(PayloadTooLarge):
        inflate(bomb, encoding, 1_000_000)
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak_bytes < 8_000_000


@ways
def test_exactly_the_cap_is_taken(encoding: str, pack: Callable[[bytes], bytes]) -> None:
    assert inflate(pack(PLAIN), encoding, len(PLAIN)) == PLAIN
    with pytest.raises(PayloadTooLarge):
        inflate(pack(PLAIN), encoding, len(PLAIN) - 1)


@pytest.mark.parametrize("header", ["deflate", "gzip", "zstd", "zstd1"])
@pytest.mark.parametrize("pack", [bytes, zlib.compress, gzip.compress, zstd_stream])
def test_a_header_that_is_not_true_does_no_harm(header: str, pack: Callable[[bytes], bytes]) -> None:
    assert inflate(pack(PLAIN), header, CAP) == PLAIN


@pytest.mark.parametrize("encoding", ["", "identity"])
def test_no_encoding_is_no_work(encoding: str) -> None:
    assert inflate(b"anything", encoding, CAP) == b"anything"
    with pytest.raises(PayloadTooLarge):
        inflate(b"anything", encoding, 7)


def test_an_unknown_encoding_is_named() -> None:
    with pytest.raises(Undecodable, match="'br' is not one of deflate, zlib, gzip"):
        inflate(b"x", "br", CAP)


SKIPPABLE = b"\x53\x2a\x4d\x18" + bytes(4)
EMPTY_FRAME = zstd_stream(b"")
# A frame without content, and what is before its last block.
FRAME_HEAD, LAST_BLOCK = zstandard.ZstdCompressor(write_content_size=False).compress(b"")[:-3], b"\x01\x00\x00"
EMPTY_BLOCK = b"\x00\x00\x00"
PARTS: dict[str, tuple[str, bytes, bytes, bytes]] = {
    "gzip members": ("gzip", b"", gzip.compress(b""), b""),
    "padded gzip members": ("gzip", b"", gzip.compress(b"") + bytes(9), b""),
    "zlib members": ("deflate", b"", zlib.compress(b""), b""),
    "zstd frames": ("zstd", EMPTY_FRAME, EMPTY_FRAME, b""),
    "skippable frames": ("zstd", EMPTY_FRAME, SKIPPABLE, b""),
    "zstd blocks": ("zstd", FRAME_HEAD, EMPTY_BLOCK, LAST_BLOCK),
}


@pytest.mark.parametrize(("encoding", "first", "part", "last"), PARTS.values(), ids=PARTS)
def test_parts_have_a_bound(encoding: str, first: bytes, part: bytes, last: bytes) -> None:
    """A part that holds nothing costs something, too."""
    assert inflate(first + part * 3000 + last, encoding, CAP) == b""
    with pytest.raises(Undecodable, match=f"more than {MAX_PARTS} parts"):
        inflate(first + part * (MAX_PARTS + 1) + last, encoding, CAP)


@pytest.mark.parametrize("padding", [0, 40, 5000])
def test_a_member_costs_what_is_in_it(padding: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is behind a member is not handed over, nor given back, once more for each of them."""
    handed, given_back = [], []

    class Member:
        def __init__(self, window_bits: int) -> None:
            self._member: Any = zlib.decompressobj(window_bits)

        def decompress(self, data: bytes, max_length: int) -> bytes:
            handed.append(len(data))
            found: bytes = self._member.decompress(data, max_length)
            given_back.append(len(self.unused_data) + len(self.unconsumed_tail))
            return found

        def __getattr__(self, name: str) -> Any:
            return getattr(self._member, name)

    class Library:
        decompressobj = Member

    monkeypatch.setattr(body_module, "zlib_ng", Library)
    members = 3000
    packed = (gzip.compress(b"") + bytes(padding)) * members + gzip.compress(PLAIN)
    assert inflate(packed, "gzip", CAP) == PLAIN
    assert max(handed) <= 4096
    assert max(given_back) <= 4096
    assert sum(handed) < members * 4096 + 3 * len(packed)


@ways
def test_a_head_is_what_comes_first(encoding: str, pack: Callable[[bytes], bytes]) -> None:
    packed = pack(PLAIN)
    assert head(packed, encoding, 1000) == PLAIN[:1000]
    assert head(packed, encoding, CAP) == PLAIN
    # What comes after it may be anything.
    assert head(packed[: len(packed) // 2], encoding, 1000) == PLAIN[:1000]
    with pytest.raises(Undecodable):
        head(packed[: len(packed) // 2], encoding, CAP)


def test_a_head_of_what_is_not_packed() -> None:
    assert head(PLAIN, "", 1000) == head(PLAIN, "gzip", 1000) == PLAIN[:1000]


@ways
def test_a_head_of_a_bomb_costs_the_head(encoding: str, pack: Callable[[bytes], bytes]) -> None:
    bomb = pack(bytes(50_000_000))
    tracemalloc.start()
    assert head(bomb, encoding, 100_000) == bytes(100_000)
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak_bytes < 1_000_000


def snappy_block(data: bytes) -> bytes:
    return bytes(snappy.compress_raw(data))


@pytest.mark.parametrize(
    ("encoding", "pack", "undo"),
    [*((encoding, pack, inflate) for encoding, pack in WAYS.values()), ("snappy", snappy_block, inflate_write)],
    ids=[*WAYS, "snappy"],
)
def test_the_event_loop_inflates_what_is_small_and_no_bombs(
    encoding: str, pack: Callable[[bytes], bytes], undo: Inflate
) -> None:
    loop, done = threading.get_ident(), []

    def watched(packed: bytes, encoding: str, max_bytes: int) -> bytes:
        found = undo(packed, encoding, max_bytes)
        done.append((threading.get_ident() == loop, len(found)))
        return found

    most = 256 * 1024
    for size, on_loop in {1000: True, most: True, most + 1: False, 400_000: False}.items():
        done.clear()
        assert asyncio.run(inflated(pack(bytes(size)), encoding, CAP, watched)) == bytes(size)
        assert done == [(on_loop, size)]
    done.clear()
    large_as_sent = random.Random(1).randbytes(70_000)
    assert asyncio.run(inflated(pack(large_as_sent), encoding, CAP, watched)) == large_as_sent
    assert done == [(False, 70_000)]
    with pytest.raises(PayloadTooLarge):
        asyncio.run(inflated(pack(bytes(1001)), encoding, 1000, watched))
