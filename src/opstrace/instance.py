"""An instance on disk: its home directory, and everything in it but the server's own doing.

    <home>/                 $XDG_DATA_HOME/opstrace/<name>; with `data_dir` that is a link to it
      instance.json         what this directory is, and whether its creation was finished
      config.yaml           the validated config, without what has its default value
      keys.json             SHA-256 of each tenant's keys, and where its token file was written
      removed.json          tenants that were removed and whose data is still there
      probe-secret          from which the keys are made with which the command asks the server
      tls/                  ca.pem (to be trusted by clients), ca-key.pem, server.pem, server-key.pem
      data/                 the storage engine's
      dashboards/           dashboards that tenants keep, and their favourites
      sessions.json         who is logged in: digests, and until when
      kept/, flares/        requests that were not understood; what `agent flare` sent
      server.{pid,lock,log} of the running server

Making an instance again completes what is missing and keeps what is there: same keys, same authority.
"""

import fcntl
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, TypeVar

import msgspec

from opstrace import atomic_file
from opstrace import config as config_document
from opstrace.config import Config, is_label
from opstrace.errors import ConfigError, InstanceError
from opstrace.tenants import Keyring, key_digest, probe_key

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
_PROBE_SECRET_LENGTH: Final = 32

_T = TypeVar("_T")


class Identity(msgspec.Struct, frozen=True, kw_only=True):
    """instance.json."""

    name: str
    format: int = FORMAT
    finished: bool = False
    made_data_dir: bool = False  # it was not there before


class TenantKeys(msgspec.Struct, frozen=True, kw_only=True):
    """One tenant's entry in keys.json."""

    digests: tuple[str, ...] = ()
    token_file: str | None = None


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


@dataclass(frozen=True, slots=True)
class Instance(Place):
    """One instance as read from disk; the functions below return a new one when they change it."""

    config: Config
    keys: dict[str, TenantKeys]
    probe_secret: bytes
    removed: tuple[str, ...] = ()
    stored_is_usable: bool = True  # if not, `config` stands in for the one on disk

    @property
    def keyring(self) -> Keyring:
        """The tenants of the config with their keys."""
        digests = {tenant: self.keys_of(tenant).digests for tenant in self.config.all_tenants}
        return Keyring(digests, self.probe_secret)

    def keys_of(self, tenant: str) -> TenantKeys:
        """What is known of a tenant's keys."""
        return self.keys.get(tenant, TenantKeys())

    def probe_key(self, tenant: str) -> str:
        """The key with which this instance's endpoints of a tenant are probed."""
        return probe_key(self.probe_secret, tenant)

    def check_tenant(self, tenant: str) -> None:
        """Raise InstanceError if there is no such tenant."""
        if tenant not in self.config.all_tenants:
            there = ", ".join(self.config.all_tenants)
            raise InstanceError(f"{self.name} has no tenant {tenant}; it has {there}")

    @property
    def leaving(self) -> tuple[str, ...]:
        """The tenants that are gone from the config by a removal that is not over; all if nobody knows it."""
        staying = self.config.all_tenants if self.stored_is_usable else ()
        return tuple(tenant for tenant in self.removed if tenant not in staying)

    @property
    def host(self) -> str:
        """The host name below which all names of this instance lie."""
        return f"{self.name}.{self.config.domain}"

    @property
    def url(self) -> str:
        """Where a person logs in."""
        return self.url_of(self.host)

    def url_of(self, host: str) -> str:
        """Return the HTTPS address of one of this instance's host names."""
        return f"https://{host}" + ("" if self.config.https_port == 443 else f":{self.config.https_port}")

    @property
    def data_directory(self) -> Path:
        """The storage engine's directory."""
        return self.home / "data"

    @property
    def certificate_file(self) -> Path:
        """The server's certificate chain, PEM."""
        return Path(self.config.cert_file) if self.config.cert_file else self.home / "tls" / "server.pem"

    @property
    def key_file(self) -> Path:
        """The certificate's private key, PEM."""
        return Path(self.config.cert_key_file) if self.config.cert_key_file else self.home / "tls" / "server-key.pem"

    @property
    def trust_anchor_file(self) -> Path | None:
        """The PEM file a client must trust; None if the certificate comes from a public authority."""
        if self.config.cert_issuer == "local-ca":
            return self.home / "tls" / "ca.pem"
        return Path(self.config.cert_ca_file) if self.config.cert_ca_file else None


def instances_directory() -> Path:
    """Return where instances live: $XDG_DATA_HOME/opstrace, ~/.local/share/opstrace by default."""
    base = Path(os.environ.get("XDG_DATA_HOME", ""))
    try:
        return (base if base.is_absolute() else Path.home() / ".local" / "share") / "opstrace"
    except RuntimeError as error:
        raise InstanceError("there is no home directory to keep instances in; set XDG_DATA_HOME") from error


def names() -> list[str]:
    """Return the names of all instances, also of those that cannot be read, or whose data_dir is not there."""
    with explained("cannot look for instances"):
        directory = instances_directory()
        found = list(directory.iterdir()) if directory.is_dir() else []
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
        return _is_lost(home := instances_directory() / _checked(name)) or _has(home, "instance.json")


def is_lost(name: str) -> bool:
    """Say whether an instance lies in a data_dir that is not there: not mounted, or gone for good."""
    return _is_lost(instances_directory() / _checked(name))


def follow(name: str, config: Config | None) -> None:
    """Look for an instance that was moved where a config says that it lies now. Raise InstanceError."""
    entry = instances_directory() / _checked(name)
    if config is None or config.data_dir is None or not _is_lost(entry):
        return
    home = Path(config.data_dir)
    if (home / "instance.json").exists() and _identity(home / "instance.json").name == name:
        with explained(f"cannot make the instance {name}"):
            entry.unlink()
            entry.symlink_to(home.resolve())


def find(name: str) -> Place:
    """Return where an instance lies; raise InstanceError if there is none, or it is of another format."""
    home = instances_directory() / _checked(name)
    _check_not_lost(home)
    if not exists(name):
        raise InstanceError(f"there is no instance {name}; `opstrace list local` shows those that exist")
    home = home.resolve()
    with explained(f"cannot read the instance {name}"):
        identity = _identity(home / "instance.json")
        return Place(name, home, identity.finished, identity.made_data_dir)


def load(name: str, instead: Config | None = None) -> Instance:
    """Read an instance; raise InstanceError if there is none or it is damaged.

    Where the stored config cannot be used, `instead` stands in for it.
    """
    place = find(name)
    home = place.home
    with explained(f"cannot read the instance {name}"):
        config, usable = _config_of(place, instead)
        return Instance(
            name=name,
            home=home,
            config=config,
            keys=_json(home / "keys.json", dict[str, TenantKeys]),
            probe_secret=_probe_secret(home / "probe-secret"),
            finished=place.finished,
            made_data_dir=place.made_data_dir,
            removed=_json(removed, tuple[str, ...]) if (removed := home / "removed.json").exists() else (),
            stored_is_usable=usable,
        )


def make(name: str, config: Config) -> Instance:
    """Make an instance, or complete one that was begun; an existing one gets this config. Raise InstanceError."""
    with explained(f"cannot make the instance {name}", hint="; choose a writable place by data_dir or XDG_DATA_HOME"):
        made = config.data_dir is not None and not Path(config.data_dir).exists()
        home = _claim(_checked(name), config)
        with locked(home):
            atomic_file.write(home / "config.yaml", config_document.render(config))
            if not (home / "keys.json").exists():
                _write_json(home / "keys.json", {})
            if not (home / "probe-secret").exists():
                atomic_file.write(home / "probe-secret", secrets.token_bytes(_PROBE_SECRET_LENGTH))
            for directory in ("data", "tls"):
                (home / directory).mkdir(mode=0o700, exist_ok=True)
            if not (home / "instance.json").exists():
                _write_json(home / "instance.json", Identity(name=name, made_data_dir=made))
    return load(name)


def was_given(instance: Instance, config: Config) -> bool:
    """Say whether a config is the one that was given the last time, whatever was changed since."""
    with explained(f"cannot read the instance {instance.name}"):
        given = instance.home / "given.yaml"
        return given.exists() and given.read_text(encoding="utf-8") == config_document.render(config)


def remember_given(instance: Instance) -> None:
    """Remember the config of an instance as the one that was given."""
    with explained(f"cannot write the config of instance {instance.name}"):
        atomic_file.write(instance.home / "given.yaml", config_document.render(instance.config))


def finish(instance: Instance) -> Instance:
    """Remember that creation came to its end."""
    if not instance.finished:
        identity = Identity(name=instance.name, finished=True, made_data_dir=instance.made_data_dir)
        with explained(f"cannot write what instance {instance.name} is"):
            _write_json(instance.home / "instance.json", identity)
    return replace(instance, finished=True)


def with_dogstatsd(instance: Instance) -> Instance:
    """Return the instance with DogStatsD on, whatever its config says; raise ConfigError if it hears nothing."""
    enabled = msgspec.structs.replace(instance.config.dogstatsd, enabled=True)
    return replace(instance, config=config_document.changed(instance.config, dogstatsd=enabled))


def add_key(instance: Instance, tenant: str, key: str, token_file: Path | None) -> Instance:
    """Accept one more key of a tenant, and remember the file that holds it, if one does; earlier ones stay valid.

    One that opens another tenant is refused; one of a tenant that left the config changes hands. Raise InstanceError.
    """
    digest = key_digest(key)
    _check_unshared(instance, tenant, digest, token_file)
    record = instance.keys_of(tenant)
    digests = record.digests if digest in record.digests else (*record.digests, digest)
    path = str(token_file) if token_file else record.token_file
    others = {
        name: msgspec.structs.replace(other, digests=tuple(one for one in other.digests if one != digest))
        for name, other in instance.keys.items()
    }
    return _with_keys(instance, {**others, tenant: TenantKeys(digests=digests, token_file=path)})


def _check_unshared(instance: Instance, tenant: str, digest: str, token_file: Path | None) -> None:
    """Raise InstanceError if a key opens another tenant."""
    for other in instance.config.all_tenants:
        if other != tenant and digest in instance.keys_of(other).digests:
            raise InstanceError(
                f"the key of tenant {tenant}{f' in {token_file}' if token_file else ''} opens tenant {other} "
                "already, and a key opens one tenant only; put another one there, or remove the file to get a new one"
            )


def keep_keys(instance: Instance, tenant: str, digests: tuple[str, ...]) -> Instance:
    """Accept no keys of a tenant but these from now on."""
    kept = TenantKeys(digests=digests, token_file=instance.keys_of(tenant).token_file)
    return _with_keys(instance, {**instance.keys, tenant: kept})


def forget_keys(instance: Instance, tenant: str) -> Instance:
    """Know no key of a tenant any more."""
    return _with_keys(instance, {name: record for name, record in instance.keys.items() if name != tenant})


def with_config(instance: Instance, config: Config) -> Instance:
    """Give an instance another config, on disk, too."""
    with explained(f"cannot write the config of instance {instance.name}"):
        atomic_file.write(instance.home / "config.yaml", config_document.render(config))
    return replace(instance, config=config)


def with_removed(instance: Instance, removed: tuple[str, ...]) -> Instance:
    """Remember which tenants were removed and have left something."""
    with explained(f"cannot write to the instance {instance.name}"):
        _write_json(instance.home / "removed.json", removed)
    return replace(instance, removed=removed)


def remove(instance: Place) -> list[Path]:
    """Remove all that an instance put on disk, what makes it known last; return what lies there and is not ours."""
    link = instances_directory() / instance.name
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
    link = instances_directory() / _checked(name)
    with explained(f"cannot remove the instance {name}"):
        place = link.readlink()
        link.unlink()
    return place


def _with_keys(instance: Instance, keys: dict[str, TenantKeys]) -> Instance:
    with explained(f"cannot write the keys of instance {instance.name}"):
        _write_json(instance.home / "keys.json", keys)
    return replace(instance, keys=keys)


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


def _claim(name: str, config: Config) -> Path:
    """Return the home directory, made if need be, and certain not to be anybody else's."""
    entry = instances_directory() / name
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


@contextmanager
def locked(home: Path) -> Iterator[None]:
    """Keep two commands from changing one instance's files at once."""
    with explained(f"cannot change the instance in {home}"):
        file = os.fdopen(os.open(home / "making.lock", os.O_WRONLY | os.O_CREAT, 0o600), "w")
    with file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextmanager
def changing(name: str) -> Iterator[Instance]:
    """Hold an instance's lock, and give the instance as its files have it meanwhile. Raise InstanceError."""
    with locked(find(name).home):
        yield load(name)


@contextmanager
def explained(what: str, hint: str = "") -> Iterator[None]:
    """Turn the operating system's refusals into InstanceErrors that say what could not be done, and where."""
    try:
        yield
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        raise InstanceError(f"{what}: {where}{error.strerror or error}{hint}") from error


def _identity(path: Path) -> Identity:
    identity = _json(path, Identity)
    if identity.format != FORMAT:
        raise InstanceError(
            f"{path} is of format {identity.format}, and this version of opstrace reads format {FORMAT}; "
            "use the version that wrote it, or a later one"
        )
    return identity


def _probe_secret(path: Path) -> bytes:
    secret = path.read_bytes()
    if len(secret) != _PROBE_SECRET_LENGTH:
        raise InstanceError(
            f"{path} is damaged ({len(secret)} bytes instead of {_PROBE_SECRET_LENGTH}); restore it from a backup"
        )
    return secret


def _config_of(place: Place, instead: Config | None) -> tuple[Config, bool]:
    """Return the stored config and True, or `instead` and False where that one cannot be used."""
    try:
        return config_document.load(place.home / "config.yaml"), True
    except ConfigError as error:
        if instead is not None:
            return instead, False
        raise InstanceError(
            f"the stored config of {place.name} cannot be used: {error}; mend that file, or replace it by "
            f"`opstrace start {place.name} -c FILE`"
        ) from error


def _json(path: Path, kind: type[_T]) -> _T:
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise InstanceError(f"{path} is damaged ({error}); restore it from a backup") from error


def _write_json(path: Path, value: object) -> None:
    atomic_file.write(path, msgspec.json.format(msgspec.json.encode(value)) + b"\n")
