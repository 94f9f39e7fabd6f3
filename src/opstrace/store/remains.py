"""What a full disk or a crash left in a data directory, seen to before the engine opens it.

The engine leaves a file empty that it could not write, says nothing, and opens no directory that has one.
"""

import fcntl
import logging
import re
from collections.abc import Collection
from pathlib import Path
from typing import Final

from opstrace.errors import StoreError

logger = logging.getLogger(__name__)

# While a process has the directory open, it holds a lock on this.
_STATUS: Final = "status"
_DEFINITIONS: Final = "store/*/*/*.sql"
_MUTATIONS: Final = "store/*/*/mutation_*.txt"
_ENGINE: Final = re.compile(r"^ENGINE = (\w+)", re.MULTILINE)
_ATTACHING: Final = "attaching_"


def clear(directory: Path, tables: Collection[str]) -> None:
    """Remove what would keep the engine from opening a directory and holds no data; `tables` are those on disk.

    Raises StoreError where the definition of one of those is lost.
    """
    if _is_in_use(directory):
        return  # the engine says so
    for definition in directory.glob(_DEFINITIONS):
        _clear_definition(definition, tables)
    for mutation in directory.glob(_MUTATIONS):
        content = mutation.read_bytes()
        if not (content.startswith(b"format version") and content.endswith(b"\n")):
            logger.warning("removed %s, which the disk did not take; the deletion is asked for again", mutation)
            mutation.unlink()
    for part in directory.glob(f"store/*/*/detached/{_ATTACHING}*"):
        part.rename(part.with_name(part.name.removeprefix(_ATTACHING)))


def _clear_definition(definition: Path, tables: Collection[str]) -> None:
    """Remove a definition of a table that is in memory only: each start makes all of them anew."""
    engine = _ENGINE.search(definition.read_text(encoding="utf-8", errors="replace"))
    if engine is None and definition.stem in tables:
        raise StoreError(
            f"{definition} is empty or cut short, as a full disk leaves it, and should define a table whose data is "
            "there; put it back from a backup of this instance"
        )
    if engine is None or not engine[1].endswith("MergeTree"):
        definition.unlink()


def _is_in_use(directory: Path) -> bool:
    try:
        with (directory / _STATUS).open("rb") as status:
            fcntl.flock(status, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False
