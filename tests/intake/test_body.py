import gzip
import os
import tracemalloc
import zlib
from collections.abc import Callable

import pytest
import zstandard

from opstrace.errors import PayloadTooLarge, Undecodable
from opstrace.intake.body import inflate

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


WAYS: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    "zlib": ("deflate", zlib.compress),
    "raw deflate": ("deflate", raw_deflate),
    "gzip": ("gzip", gzip.compress),
    "gzip members": ("x-gzip", gzip_members),
    "zstd": ("zstd", zstandard.compress),
    "zstd stream": ("zstd1", zstd_stream),
    "zstd frames": ("zstd", zstd_frames),
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
    with pytest.raises(Undecodable, match="'br' is not one of deflate, gzip"):
        inflate(b"x", "br", CAP)
