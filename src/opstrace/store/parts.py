"""What the engine wrote, looked at where it lies: chDB 26.9 takes no notice when the system refuses to write.

A full disk, a quota or a limit on the size of files leaves a part whose files are shorter than its own list of them
says, and the statement has gone well. Parts, and that list, are as ClickHouse's MergeTree has them
(ClickHouse/ClickHouse: src/Storages/MergeTree/{MergeTreePartInfo,MergeTreeDataPartChecksum}.cpp).
"""

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import zstandard

from opstrace.protobuf_wire import number_at

# Partition, first and last block, level 0: a part as an INSERT leaves it.
_INSERTED: Final = re.compile(r".+_(\d+)_\1_0")
_LIST: Final = "checksums.txt"
_COLUMNS: Final = "columns.txt"
_HEADING: Final = b"checksums format version: 4\n"
# A block of the engine's compression begins with a checksum, how it is compressed, and its sizes.
_CHECKSUM_BYTES, _HEADER_BYTES, _HASH_BYTES = 16, 9, 16
_PLAIN, _ZSTD = 0x02, 0x90
_INSERTING: Final = re.compile(r"^INSERT INTO (\w+)", re.MULTILINE)


class Parts:
    """The parts of tables that one connection writes to; not for use by two threads at once."""

    def __init__(self, directories: Mapping[str, Path]) -> None:
        """Know the directories of the tables on disk by their names."""
        self._directories = directories
        self._last = {table: max((block for block, _ in self._inserted(table)), default=0) for table in directories}

    def torn(self, sql: str) -> tuple[str, list[str]]:
        """Return the table that a statement has just written to, and which parts it left there are cut short."""
        found = _INSERTING.search(sql)
        if found is None or found[1] not in self._directories:
            return "", []
        table = found[1]
        last = self._last[table]
        written = [(block, name) for block, name in self._inserted(table) if block > last]
        self._last[table] = max((block for block, _ in written), default=last)
        return table, [name for _, name in written if not is_whole(self._directories[table] / name)]

    def _inserted(self, table: str) -> Iterator[tuple[int, str]]:
        for name in os.listdir(self._directories[table]):  # noqa: PTH208 (thousands of paths would cost a commit)
            if name.endswith("_0") and (part := _INSERTED.fullmatch(name)):
                yield int(part[1]), name


def is_whole(part: Path) -> bool:
    """Say whether the files of a part are as long as its list of them says, and can be looked at."""
    try:
        return has_its_files(part)
    except OSError:
        return False


def has_its_files(part: Path) -> bool:
    """Say the same; raise OSError where the system does not let us look."""
    try:
        listed = listed_sizes((part / _LIST).read_bytes())
        with os.scandir(part) as entries:
            there = {entry.name: entry.stat().st_size for entry in entries}
    except (FileNotFoundError, ValueError, IndexError, UnicodeDecodeError, zstandard.ZstdError):
        return False
    # Some small files are in no list. The engine does without them until it loads the part.
    has_others = _COLUMNS in there and all(size > 0 for name, size in there.items() if name not in listed)
    return bool(listed) and has_others and all(there.get(name) == size for name, size in listed.items())


def listed_sizes(content: bytes) -> dict[str, int]:
    """Return the files that a list of checksums names, with their sizes; raises ValueError and IndexError."""
    if not content.startswith(_HEADING):
        raise ValueError("not a list of checksums")
    text, sizes = _inflated(content[len(_HEADING) :]), {}
    count, at = number_at(text, 0)
    for _ in range(count):
        length, at = number_at(text, at)
        name, at = text[at : at + length].decode(), at + length
        sizes[name], at = number_at(text, at)
        at += _HASH_BYTES
        is_compressed, at = text[at], at + 1
        if is_compressed:
            at = number_at(text, at)[1] + _HASH_BYTES
    if at != len(text):
        raise ValueError("the list of checksums is cut short")
    return sizes


def _inflated(blocks: bytes) -> bytes:
    parts, at = [], 0
    while at < len(blocks):
        header = blocks[at + _CHECKSUM_BYTES :][:_HEADER_BYTES]
        size, inflated = int.from_bytes(header[1:5], "little"), int.from_bytes(header[5:9], "little")
        content = blocks[at + _CHECKSUM_BYTES + _HEADER_BYTES : at + _CHECKSUM_BYTES + size]
        if header[0] == _ZSTD:
            content = zstandard.ZstdDecompressor().decompress(content, max_output_size=inflated)
        elif header[0] != _PLAIN:
            raise ValueError(f"compressed by an unknown method {header[0]:#x}")
        if len(content) != inflated:
            raise ValueError("a block is cut short")
        parts.append(content)
        at += _CHECKSUM_BYTES + size
    return b"".join(parts)
