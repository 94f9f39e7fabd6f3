"""From a request's bytes to a payload's: read with a cap, inflated with a cap.

Encodings and their odd uses: datadog-intake.md, section 2.3.
"""

import asyncio
import gzip
import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Final, cast

import zstandard
from cramjam import DecompressionError, snappy
from starlette.requests import Request
from zlib_ng import zlib_ng

from opstrace.config import Limits
from opstrace.errors import Overloaded, PayloadTooLarge, Undecodable

# Bodies that are larger, as sent or inflated, are inflated off the event loop. To hand over a smaller one, and to
# wait for the interpreter's lock twice, takes longer than to inflate it.
_LARGE_BYTES = 64 * 1024
_LARGE_INFLATED_BYTES = 256 * 1024
_CHUNK_BYTES = 256 * 1024
# What is read of a body at once: zlib copies what it leaves of that.
_SLICE_BYTES = 4 * 1024
# Members of a gzip body; frames and blocks of a zstd body. Each costs something, also one that is empty.
MAX_PARTS: Final = 20_000
# The library's types take the class for an instance.
_DEFLATE_ERROR = cast("type[Exception]", zlib_ng.error)
_GZIP_MAGIC = b"\x1f\x8b"
_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
_SKIPPABLE_MAGIC = b"\x2a\x4d\x18"  # after a first byte from 50 to 5f
_PADDING = re.compile(rb"\0*")

# Chunks of inflated bytes; never more in one chunk than the second argument says.
Inflater = Callable[[bytes, int], Iterator[bytes]]
# A whole body, its encoding, and how large it may become.
Inflate = Callable[[bytes, str, int], bytes]


async def read(request: Request, limits: Limits) -> bytes:
    """Return the request's body as it was sent, also when asked again; raise PayloadTooLarge and Overloaded."""
    if (known := getattr(request.state, "raw", None)) is not None:
        return bytes(known)
    if int(request.headers.get("content-length", "0")) > limits.max_body_bytes:
        raise PayloadTooLarge("payload too large")
    chunks, size = [], 0
    try:
        async with asyncio.timeout(limits.body_timeout_s):
            async for chunk in request.stream():
                size += len(chunk)
                if size > limits.max_body_bytes:
                    raise PayloadTooLarge("payload too large")
                chunks.append(chunk)
    except TimeoutError:
        raise Overloaded(f"the body did not arrive within {limits.body_timeout_s:g} s") from None
    request.state.raw = b"".join(chunks)
    return bytes(request.state.raw)


def raw_of(request: Request) -> bytes:
    """Return the body as it was sent, as far as it was read: all of it or nothing."""
    return bytes(getattr(request.state, "raw", b""))


def held_back(request: Request) -> bool:
    """Say whether a sender waits to be asked for its body, and was not."""
    return "expect" in request.headers and not hasattr(request.state, "raw")


async def inflated(body: bytes, encoding: str, max_bytes: int, undo: Inflate) -> bytes:
    """Return what `inflate` or `inflate_write` returns, without keeping the event loop from others.

    How large a body becomes is not known before: one that turns out to be large begins again on a thread.
    """
    if len(body) <= _LARGE_BYTES:
        with suppress(PayloadTooLarge):
            return undo(body, encoding, min(_LARGE_INFLATED_BYTES, max_bytes))
    return await asyncio.to_thread(undo, body, encoding, max_bytes)


def inflate(body: bytes, encoding: str, max_bytes: int) -> bytes:
    """Return what a body holds once its Content-Encoding is undone.

    A body that does not begin like its encoding is taken as it is: proxies undo an encoding and leave the header.
    Raises PayloadTooLarge beyond `max_bytes` (while inflating, so that a bomb costs no more than the cap) and
    Undecodable for an unknown encoding or a broken stream.
    """
    kept, size = [], 0
    for chunk in _inflated_chunks(body, encoding, max_bytes):
        size += len(chunk)
        if size > max_bytes:
            raise PayloadTooLarge("payload too large")
        kept.append(chunk)
    return b"".join(kept)


def head(body: bytes, encoding: str, max_bytes: int) -> bytes:
    """Return the first bytes of what a body holds; what comes after them is neither inflated nor looked at."""
    kept, size = [], 0
    for chunk in _inflated_chunks(body, encoding, max_bytes):
        kept.append(chunk[: max_bytes - size])
        size += len(chunk)
        if size >= max_bytes:
            break
    return b"".join(kept)


def inflate_write(body: bytes, encoding: str, max_bytes: int) -> bytes:
    """Do the same for remote writes, which come in Snappy's blocks: these begin with the size of what is inside."""
    if encoding != "snappy":
        return inflate(body, encoding, max_bytes)
    if not body:
        return body
    try:
        if snappy.decompress_raw_len(body) > max_bytes:
            raise PayloadTooLarge("payload too large")
        return bytes(snappy.decompress_raw(body))
    except DecompressionError as error:
        raise Undecodable(f"the body is not valid snappy: {error}") from error


def _inflated_chunks(body: bytes, encoding: str, max_bytes: int) -> Iterator[bytes]:
    """Yield what a body holds, and little more at once than is wanted."""
    inflater = _inflater(body, encoding.strip().lower())
    if inflater is None:
        yield body
        return
    try:
        yield from inflater(body, min(_CHUNK_BYTES, max_bytes + 1))
    except (_DEFLATE_ERROR, zstandard.ZstdError, EOFError, gzip.BadGzipFile) as error:
        raise Undecodable(f"the body is not valid {encoding}: {error}") from error


def _inflater(body: bytes, encoding: str) -> Inflater | None:
    if encoding in ("", "identity") or not body:
        return None
    if encoding not in _INFLATERS:
        raise Undecodable(f"Content-Encoding {encoding[:40]!r} is not one of {', '.join(_INFLATERS)}, identity")
    looks_like, inflater = _INFLATERS[encoding]
    return inflater if looks_like(body) else _plain_or_fail(body, inflater)


def _plain_or_fail(body: bytes, inflater: Inflater) -> Inflater | None:
    for looks_like, other in _INFLATERS.values():
        if looks_like(body):
            return other
    # Of all that are known, raw deflate alone has no magic; what is shorter than one may be one that is cut.
    has_magic = inflater is not _inflate_deflate and len(body) >= _LONGEST_MAGIC
    is_plain = has_magic or body[:1] in _FIRST_OF_PLAIN
    return None if is_plain or body.lstrip()[:1] in (b"{", b"[") else inflater


def _inflate_zlib_members(body: bytes, chunk_bytes: int, window_bits: int) -> Iterator[bytes]:
    at = members = 0
    while at < len(body):
        members = _one_more(members)
        member, rest = zlib_ng.decompressobj(window_bits), b""
        while not member.eof:
            if not rest:
                rest = body[at : at + _SLICE_BYTES]
                at += len(rest)
            data = member.decompress(rest, chunk_bytes)
            if not data and not rest and not member.eof:
                raise EOFError("the stream ends early")
            yield data
            rest = member.unconsumed_tail
        at = _end_of_padding(body, at - len(member.unused_data))


def _end_of_padding(body: bytes, start: int) -> int:
    padding = _PADDING.match(body, start)
    return padding.end() if padding else start


def _one_more(parts: int) -> int:
    if parts >= MAX_PARTS:
        raise Undecodable(f"the body has more than {MAX_PARTS} parts, each compressed by itself")
    return parts + 1


def _inflate_gzip(body: bytes, chunk_bytes: int) -> Iterator[bytes]:
    return _inflate_zlib_members(body, chunk_bytes, 31)


def _inflate_deflate(body: bytes, chunk_bytes: int) -> Iterator[bytes]:
    """Undo deflate, which always means zlib's wrapper, except at senders that took the word at its letter."""
    wrapped = body[0] & 0x0F == 8 and int.from_bytes(body[:2], "big") % 31 == 0
    return _inflate_zlib_members(body, chunk_bytes, 15 if wrapped else -15)


def _inflate_zstd(body: bytes, chunk_bytes: int) -> Iterator[bytes]:
    """Undo zstd: Agents write frames without a content size, and several of them in a body."""
    reader = zstandard.ZstdDecompressor(max_window_size=1 << 27).stream_reader(body, read_across_frames=True)
    while data := reader.read(chunk_bytes):
        yield data
    _check_zstd_ends(body)


def _check_zstd_ends(body: bytes) -> None:
    """Raise EOFError unless the last frame is whole, which the library does not say of a stream.

    Walks the blocks' headers as RFC 8878, section 3.1.1, lays them out.
    """
    at = parts = 0
    while at < len(body):
        parts = _one_more(parts)
        if _is_skippable(body[at : at + 4]):
            at += 8 + int.from_bytes(body[at + 4 : at + 8], "little")
            continue
        frame = zstandard.get_frame_parameters(body[at : at + 18])
        at += zstandard.frame_header_size(body[at : at + 18])
        last = False
        while not last:
            parts = _one_more(parts)
            if at + 3 > len(body):
                raise EOFError("the stream ends early")
            header = int.from_bytes(body[at : at + 3], "little")
            last, run_length = bool(header & 1), (header >> 1) & 3 == 1
            at += 3 + (1 if run_length else header >> 3)
        at += 4 if frame.has_checksum else 0
    if at > len(body):
        raise EOFError("the stream ends early")


def _is_skippable(magic: bytes) -> bool:
    """Say whether a frame of zstd that holds nothing for us begins so, as all that parallel packers write do."""
    return magic[1:] == _SKIPPABLE_MAGIC and 0x50 <= magic[0] <= 0x5F


def _is_gzip(body: bytes) -> bool:
    return body[:2] == _GZIP_MAGIC


def _is_zstd(body: bytes) -> bool:
    return body[:4] == _ZSTD_MAGIC or _is_skippable(body[:4])


def _is_zlib(body: bytes) -> bool:
    return body[:1] == b"\x78" and int.from_bytes(body[:2], "big") % 31 == 0


_LONGEST_MAGIC = 4
# JSON, after a byte order mark too; and messages of protobuf, by the keys of their first fields.
_FIRST_OF_PLAIN = b'{[\n"\xef\x12\x1a'
_INFLATERS: dict[str, tuple[Callable[[bytes], bool], Inflater]] = {
    "deflate": (_is_zlib, _inflate_deflate),
    "zlib": (_is_zlib, _inflate_deflate),
    "gzip": (_is_gzip, _inflate_gzip),
    "x-gzip": (_is_gzip, _inflate_gzip),
    "zstd": (_is_zstd, _inflate_zstd),
    "zstd1": (_is_zstd, _inflate_zstd),
}
