"""A file that is there completely or not at all, also after a power cut."""

import os
import re
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

# The names of temporary files that a crash may leave behind, and the age up to which one may still be in use.
_TEMPORARY: Final = re.compile(r"\..+\.[0-9a-f]{8}")
LEFT_BEHIND_S: Final = 3600.0


def write(path: Path, content: bytes | str, mode: int = 0o600) -> None:
    """Replace a file's content by temporary file, fsync and rename; raise OSError with the old content intact."""
    with replacing(path, content, mode):
        pass


@contextmanager
def replacing(path: Path, content: bytes | str, mode: int = 0o600) -> Iterator[None]:
    """Write what becomes a file's content when the block has ended well; whatever fails, the old one is intact."""
    data = content.encode() if isinstance(content, str) else content
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with _named(path):
            _write_new(temporary, data, mode)
        yield
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_directory(path.parent)


def remove_left_behind(
    directory: Path, temporary: re.Pattern[str] = _TEMPORARY, older_than_s: float = LEFT_BEHIND_S
) -> None:
    """Remove the temporary files of a directory that nobody writes any more; there need not be such a directory."""
    for path in directory.glob(".*"):
        if temporary.fullmatch(path.name) and path.is_file() and not path.is_symlink():
            with suppress(FileNotFoundError):
                if time.time() - path.stat().st_mtime > older_than_s:
                    path.unlink()


def sync_directory(path: Path) -> None:
    """Make a directory's entries durable."""
    _sync(path, os.O_DIRECTORY)


def sync(path: Path) -> None:
    """Make what a file holds durable."""
    _sync(path, 0)


def _sync(path: Path, flags: int) -> None:
    descriptor = os.open(path, os.O_RDONLY | flags)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """Add the path to an error: for a file that is already open, the operating system does not name it."""
    try:
        yield
    except OSError as error:
        error.filename = str(path)
        raise


def _write_new(path: Path, data: bytes, mode: int) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
        os.fchmod(file.fileno(), mode)  # the umask may have taken bits away
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
