"""Parts that merges and deletions made, looked at where they lie: the engine takes no notice of a disk that is full.

One that the disk took only in part replaces what it was made of all the same. Its sources lie beside it for a while
(`old_parts_lifetime` in table_settings.sql). In that time they are moved into the table's directory `detached`: that
takes no room, and the engine does not clean up there. Once there is room the torn part is dropped, and the engine
takes its sources again; so it does at a start, where it puts the torn part aside by itself.
"""

import logging
import os
import re
import shutil
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol, Self

import pyarrow as pa

from opstrace import atomic_file
from opstrace.errors import StoreError
from opstrace.store.free_space import OPENING_FREE_BYTES, check_free
from opstrace.store.parts import has_its_files

logger = logging.getLogger(__name__)

# A partition is a day, as a number, or all there is: what the engine puts aside has words before that.
_NAME: Final = re.compile(r"(\d+|all)_(\d+)_(\d+)_(\d+)(?:_(\d+))?")
_IS_ACTIVE: Final = """
SELECT count() FROM system.parts
WHERE database = currentDatabase() AND table = {table:String} AND name = {name:String} AND active AND rows > 0
"""


@dataclass(frozen=True, slots=True)
class Part:
    """What the name of a part says (ClickHouse/ClickHouse: src/Storages/MergeTree/MergeTreePartInfo.cpp)."""

    name: str
    partition: str
    first: int
    last: int
    level: int
    mutation: int

    @classmethod
    def of(cls, name: str) -> Self | None:
        """Read a name; None if it is none of a part."""
        found = _NAME.fullmatch(name)
        return cls(name, found[1], *(int(number or 0) for number in found.groups()[1:])) if found else None

    @property
    def is_merged(self) -> bool:
        """Whether it was made of other parts."""
        return self.level > 0 or self.mutation > 0

    def covers(self, other: "Part") -> bool:
        """Say whether this part was made of another, or of what was made of it."""
        is_within = self.first <= other.first and other.last <= self.last
        is_before = other.level <= self.level and other.mutation <= self.mutation
        return self.partition == other.partition and is_within and is_before and self.name != other.name


class Statements(Protocol):
    """What runs statements: a connection to the engine."""

    def execute(self, sql: str) -> int:
        """Run a statement; raise StoreError when the engine cannot."""

    def read(self, sql: str, *, table: str, name: str) -> pa.Table:
        """Run a query and return its result; raise StoreError when the engine cannot."""


class MergedParts:
    """The merged parts of all tables on disk; not for use by two threads at once."""

    def __init__(self, connection: Statements, directories: Mapping[str, Path]) -> None:
        """Know the directories of the tables on disk by their names."""
        self._connection = connection
        self._directories = directories
        self._whole: dict[str, set[str]] = {table: set() for table in directories}
        self._torn: list[tuple[str, str]] = []  # table and part, whose sources wait to be taken again

    def look(self) -> bool:
        """Move the sources of parts that are torn out of the engine's reach; say whether there were any.

        Raises StoreError and OSError for tables that cannot be looked at, once the others were.
        """
        found, failed = 0, []
        for table in self._directories:
            try:
                found += self._look_at(table)
            except (StoreError, OSError) as error:
                failed.append(error)
        if failed:
            raise failed[0]
        return found > 0

    def mend(self) -> None:
        """Drop parts that are torn and have the engine take their sources again; raises StoreError."""
        for table, name in list(self._torn):
            check_free(self._directories[table], OPENING_FREE_BYTES)
            if self._is_active(table, name):
                self._connection.execute(f"ALTER TABLE {table} DROP PART '{name}'")
            self.attach(table)
            self._torn.remove((table, name))

    def attach(self, table: str) -> None:
        """Have the engine take what was moved away, in its order; raises StoreError."""
        detached = self._directories[table] / "detached"
        for part in sorted(_parts(detached), key=lambda part: (part.partition, part.first)):
            self._connection.execute(f"ALTER TABLE {table} ATTACH PART '{part.name}'")
            logger.warning("took part %s of table %s again, of which a torn one was made", part.name, table)

    def _look_at(self, table: str) -> int:
        listed = [part for part in _parts(self._directories[table]) if part.is_merged]
        known = self._whole[table]
        directory = self._directories[table]
        torn = [part for part in listed if part.name not in known and not has_its_files(directory / part.name)]
        self._whole[table] = {part.name for part in listed} - {part.name for part in torn}
        # Others are used no more, or not yet: the next look sees to those.
        return sum(self._set_aside(table, part) for part in torn if self._is_active(table, part.name))

    def _is_active(self, table: str, name: str) -> bool:
        return bool(self._connection.read(_IS_ACTIVE, table=table, name=name)[0][0].as_py())

    def _set_aside(self, table: str, torn: Part) -> bool:
        """Move what a torn part was made of into `detached`; say whether that was done now."""
        if (table, torn.name) in self._torn:
            return False
        directory = self._directories[table]
        covered = [part for part in _parts(directory) if torn.covers(part)]
        whole = [part for part in covered if has_its_files(directory / part.name)]
        sources = _latest(whole)
        if not sources:
            self._whole[table].add(torn.name)
            logger.error("part %s of table %s is cut short, and what it was made of is gone", torn.name, table)
            return False
        logger.error(
            "the disk took only a part of %s of table %s; what it was made of is taken again: %s",
            *(torn.name, table, ", ".join(part.name for part in sources)),
        )
        for part in whole:
            if part not in sources:  # its rows are in one of them: the next start would find them twice
                shutil.rmtree(directory / part.name)
        for part in sources:
            (directory / part.name).rename(directory / "detached" / part.name)
        self._torn.append((table, torn.name))
        for changed in (directory / "detached", directory):
            atomic_file.sync_directory(changed)
        return True


def _parts(directory: Path) -> list[Part]:
    return [part for name in os.listdir(directory) if (part := Part.of(name))]  # noqa: PTH208 (as in parts.py)


def _latest(parts: Collection[Part]) -> list[Part]:
    """Return those of which no other was made."""
    return [part for part in parts if not any(other.covers(part) for other in parts)]
