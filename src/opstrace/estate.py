"""What a tenant leaves behind: its rows in the store and its files, counted and removed."""

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from opstrace.errors import InstanceError
from opstrace.instance import Instance
from opstrace.store.engine import Engine
from opstrace.store.removal import Removal

_DIRECTORIES: Final = ("kept", "flares", "dashboards")
_PAUSE_S: Final = 0.05  # between two looks whether the engine is done


@dataclass(frozen=True, slots=True)
class Holdings:
    """How much a tenant has."""

    rows: dict[str, int]  # by table
    kept_bytes: int
    flares: int
    dashboards: int

    @property
    def document(self) -> dict[str, Any]:
        """As the API and the command answer it."""
        return {**asdict(self), "text": str(self)}

    def __str__(self) -> str:
        """Say it as a person would ask for it; what there is none of is left out."""
        named = {
            "sample": self.rows["samples"] + self.rows["histograms"] + self.rows["sketches"],
            "log": self.rows["logs"],
            "event": self.rows["events"],
            "kept byte": self.kept_bytes,
            "flare": self.flares,
            "dashboard": self.dashboards,
        }
        counted = [f"{number:,} {what}{'s' if number > 1 else ''}" for what, number in named.items() if number]
        return ", ".join(counted) or "nothing"


def holdings(instance: Instance, removal: Removal, tenant: str) -> Holdings:
    """Return how much a tenant has; raise StoreError."""
    files = {name: list(_files(instance.home / name / tenant)) for name in _DIRECTORIES}
    return Holdings(
        removal.stored(tenant),
        sum(path.stat().st_size for path in files["kept"]),
        len(files["flares"]),
        len([path for path in files["dashboards"] if path.name != "stars.json"]),
    )


@contextmanager
def opened(instance: Instance) -> Iterator[Removal]:
    """Open the store of an instance whose server does not run, which nobody else may start meanwhile."""
    engine = Engine(instance.data_directory, readers=1, used_before=instance.finished)
    try:
        yield Removal(engine)
    finally:
        engine.close()


def remove_all(instance: Instance, removal: Removal, tenant: str) -> None:
    """Remove all that a tenant has, and return once it is gone; raise StoreError, InstanceError."""
    removal.begin(tenant)
    while not removal.over(tenant):
        time.sleep(_PAUSE_S)
    remove_files(instance, tenant)


def remove_files(instance: Instance, tenant: str) -> None:
    """Remove what a tenant has beside the store; raise InstanceError."""
    for directory in (instance.home / name / tenant for name in _DIRECTORIES):
        try:
            if directory.is_dir():
                shutil.rmtree(directory)
        except OSError as error:
            raise InstanceError(f"cannot remove {error.filename}: {error.strerror}") from error


def _files(directory: Path) -> Iterator[Path]:
    if directory.is_dir():
        yield from (path for path in directory.rglob("*") if path.is_file() and not path.name.startswith("."))
