"""Where instances lie: the home of each, how it is found, claimed and given up.

A home is a directory below $XDG_DATA_HOME/opstrace, or with `data_dir` a link to one. A link that leads nowhere is an
instance that is lost, or whose disk is not mounted. What lies in a home: instance.py.
"""

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

import msgspec

from opstrace import atomic_file
from opstrace.config import Config, is_label
from opstrace.errors import ConfigError, InstanceError

FORMAT: Final = 1
# What an instance has in its home, in the order in which it is removed: what makes it known comes last.
_OWN: Final = (
    *(
        "data",
        "kept",
        "flares",
        "dashboards",
        "tls",
        "probe-secret",
        "sessions.json",
        "server.pid",
        "server.lock",
        "server.log",
        "server.log.1",
    ),
    *("removed.json", "keys.json", "given.yaml", "config.yaml", "instance.json", "making.lock"),
)
_LEFT_ALONE: Final = {"lost+found"}  # may lie in an otherwise empty data_dir: the root of a file system has one

_T = TypeVar("_T")


class Identity(msgspec.Struct, frozen=True, kw_only=True):
    """instance.json."""

    name: str
    format: int = FORMAT
    finished: bool = False
    made_data_dir: bool = False  # it was not there before


@dataclass(frozen=True, slots=True)
class Place:
    """Where an instance lies: all that it takes to stop it and to remove it, whatever became of its other files."""

    name: str
    home: Path
    finished: bool  # its creation
    made_data_dir: bool  # so that it goes, too

    @property
    def log_file(self) -> Path:
        """Where a server in the background writes."""
        return self.home / "server.log"


def directory() -> Path:
    """Return where instances live: $XDG_DATA_HOME/opstrace, ~/.local/share/opstrace by default."""
    base = Path(os.environ.get("XDG_DATA_HOME", ""))
    try:
        return (base if base.is_absolute() else Path.home() / ".local" / "share") / "opstrace"
    except RuntimeError as error:
        raise InstanceError("there is no home directory to keep instances in; set XDG_DATA_HOME") from error


def names() -> list[str]:
    """Return the names of all instances, also of those that cannot be read, or whose data_dir is not there."""
    with explained("cannot look for instances"):
        there = directory()
        found = list(there.iterdir()) if there.is_dir() else []
        return sorted(entry.name for entry in found if _is_instance(entry))


def _is_instance(entry: Path) -> bool:
    """Say whether an instance lies here, as far as may be known."""
    try:
        return _has(entry, "instance.json") or _is_lost(entry)
    except InstanceError:
        return is_label(entry.name)


def exists(name: str) -> bool:
    """Say whether an instance of this name has been begun, also if its data_dir is not there."""
    with explained(f"cannot look for instance {name}"):
        return _is_lost(home := directory() / _checked(name)) or _has(home, "instance.json")


def is_lost(name: str) -> bool:
    """Say whether an instance lies in a data_dir that is not there: not mounted, or gone for good."""
    return _is_lost(directory() / _checked(name))


def find(name: str) -> Place:
    """Return where an instance lies; raise InstanceError if there is none, or it is of another format."""
    home = directory() / _checked(name)
    _check_not_lost(home)
    if not exists(name):
        raise InstanceError(f"there is no instance {name}; `opstrace list local` shows those that exist")
    home = home.resolve()
    with explained(f"cannot read the instance {name}"):
        identity = _identity(home / "instance.json")
        return Place(name, home, identity.finished, identity.made_data_dir)


def follow(name: str, config: Config | None) -> None:
    """Look for an instance that was moved where a config says that it lies now. Raise InstanceError."""
    entry = directory() / _checked(name)
    if config is None or config.data_dir is None or not _is_lost(entry):
        return
    home = Path(config.data_dir)
    if (home / "instance.json").exists() and _identity(home / "instance.json").name == name:
        with explained(f"cannot make the instance {name}"):
            entry.unlink()
            entry.symlink_to(home.resolve())


def claim(name: str, config: Config) -> Path:
    """Return the home directory, made if need be, and certain not to be anybody else's."""
    entry = directory() / _checked(name)
    _check_not_lost(entry)
    entry.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if config.data_dir is None and not entry.is_symlink():
        entry.mkdir(mode=0o700, exist_ok=True)
        return entry
    if config.data_dir is None or (entry.exists() and entry.resolve() != Path(config.data_dir).resolve()):
        raise ConfigError(
            f"data_dir: the instance {name} lies in {entry.resolve()} and stays there; "
            f"set data_dir to it, or stop the server, move the directory and link {entry} to it"
        )
    home = _claim_data_dir(name, Path(config.data_dir))
    if not os.path.lexists(entry):
        entry.symlink_to(home)
    return home


def _claim_data_dir(name: str, home: Path) -> Path:
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    identity = home / "instance.json"
    if identity.exists() and (owner := _identity(identity).name) != name:
        raise ConfigError(f"data_dir: {home} belongs to the instance {owner}; choose another directory")
    if not identity.exists() and {entry.name for entry in home.iterdir()} - _LEFT_ALONE - {*_OWN}:
        raise ConfigError(f"data_dir: {home} is not empty and holds no instance; choose an empty directory")
    (home / "making.lock").touch(mode=0o600)  # before the link to it: an empty directory is one that is not mounted
    return home.resolve()


def remove(instance: Place) -> list[Path]:
    """Remove all that an instance put on disk, what makes it known last; return what lies there and is not ours."""
    link = directory() / instance.name
    with explained(f"cannot remove the instance {instance.name}"):
        for entry in (instance.home / name for name in _OWN if os.path.lexists(instance.home / name)):
            shutil.rmtree(entry) if entry.is_dir() and not entry.is_symlink() else entry.unlink()
        atomic_file.remove_left_behind(instance.home, older_than_s=-1)
        left = list(instance.home.iterdir())
        is_link = link.is_symlink()
        if is_link:
            link.unlink()
        if not left and (instance.made_data_dir or not is_link):
            instance.home.rmdir()
    return left


def forget_lost(name: str) -> Path:
    """Know an instance no longer whose data_dir is not there; return where that was. Raise InstanceError."""
    link = directory() / _checked(name)
    with explained(f"cannot remove the instance {name}"):
        place = link.readlink()
        link.unlink()
    return place


def _is_lost(home: Path) -> bool:
    """Say whether a link leads to nothing, or to a directory without what lay in it before the link was made."""
    return home.is_symlink() and not any(_has(home, name) for name in ("instance.json", "making.lock"))


def _has(home: Path, name: str) -> bool:
    """Say whether a file is there; raise InstanceError if the directory is not for us to look into."""
    try:
        (home / name).stat()
    except PermissionError as error:
        raise InstanceError(
            f"cannot look into the instance {home.name}: {home}: {error.strerror}; run the command as its owner"
        ) from error
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


def _check_not_lost(home: Path) -> None:
    if _is_lost(home):
        raise InstanceError(
            f"the data_dir of instance {home.name}, {home.readlink()}, is not there; is it mounted? "
            f"If it is lost for good, `opstrace destroy local {home.name}` forgets the instance"
        )


def _checked(name: str) -> str:
    if not is_label(name):
        raise InstanceError(
            f"{name!r} cannot be the name of an instance; "
            "it must be lower-case letters, digits and inner hyphens, 63 characters at most"
        )
    return name


def _identity(path: Path) -> Identity:
    identity = read_json(path, Identity)
    if identity.format != FORMAT:
        raise InstanceError(
            f"{path} is of format {identity.format}, and this version of opstrace reads format {FORMAT}; "
            "use the version that wrote it, or a later one"
        )
    return identity


@contextmanager
def locked(home: Path) -> Iterator[None]:
    """Keep two commands from changing one instance's files at once."""
    with explained(f"cannot change the instance in {home}"):
        file = os.fdopen(os.open(home / "making.lock", os.O_WRONLY | os.O_CREAT, 0o600), "w")
    with file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextmanager
def explained(what: str, hint: str = "") -> Iterator[None]:
    """Turn the operating system's refusals into InstanceErrors that say what could not be done, and where."""
    try:
        yield
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        raise InstanceError(f"{what}: {where}{error.strerror or error}{hint}") from error


def read_json(path: Path, kind: type[_T]) -> _T:
    """Return what a file of an instance says; raise InstanceError if it is damaged."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise InstanceError(f"{path} is damaged ({error}); restore it from a backup") from error


def write_json(path: Path, value: object) -> None:
    """Put a file of an instance in the place of what it said before."""
    atomic_file.write(path, msgspec.json.format(msgspec.json.encode(value)) + b"\n")
