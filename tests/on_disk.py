"""What tests of instances on disk have in common: configs, and what lies in a directory."""

from pathlib import Path

import msgspec

from opstrace.config import DEFAULT, Config


def config(**changes: object) -> Config:
    """Return a config that differs from the default by these."""
    return msgspec.structs.replace(DEFAULT, **changes)


def files(directory: Path) -> dict[str, bytes]:
    """Return the files below a directory, by their paths."""
    return {str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()}
