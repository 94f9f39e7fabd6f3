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

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import msgspec

from opstrace import atomic_file, homes
from opstrace import config as config_document
from opstrace.config import Config
from opstrace.errors import ConfigError, InstanceError
from opstrace.homes import Identity, Place, explained, locked
from opstrace.tenants import Keyring, key_digest, probe_key

_PROBE_SECRET_LENGTH: Final = 32


class TenantKeys(msgspec.Struct, frozen=True, kw_only=True):
    """One tenant's entry in keys.json."""

    digests: tuple[str, ...] = ()
    token_file: str | None = None


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


def load(name: str, instead: Config | None = None) -> Instance:
    """Read an instance; raise InstanceError if there is none or it is damaged.

    Where the stored config cannot be used, `instead` stands in for it.
    """
    place = homes.find(name)
    home = place.home
    with explained(f"cannot read the instance {name}"):
        config, usable = _config_of(place, instead)
        return Instance(
            name=name,
            home=home,
            config=config,
            keys=homes.read_json(home / "keys.json", dict[str, TenantKeys]),
            probe_secret=_probe_secret(home / "probe-secret"),
            finished=place.finished,
            made_data_dir=place.made_data_dir,
            removed=homes.read_json(removed, tuple[str, ...]) if (removed := home / "removed.json").exists() else (),
            stored_is_usable=usable,
        )


def make(name: str, config: Config) -> Instance:
    """Make an instance, or complete one that was begun; an existing one gets this config. Raise InstanceError."""
    with explained(f"cannot make the instance {name}", hint="; choose a writable place by data_dir or XDG_DATA_HOME"):
        made = config.data_dir is not None and not Path(config.data_dir).exists()
        home = homes.claim(name, config)
        with locked(home):
            atomic_file.write(home / "config.yaml", config_document.render(config))
            if not (home / "keys.json").exists():
                homes.write_json(home / "keys.json", {})
            if not (home / "probe-secret").exists():
                atomic_file.write(home / "probe-secret", secrets.token_bytes(_PROBE_SECRET_LENGTH))
            for directory in ("data", "tls"):
                (home / directory).mkdir(mode=0o700, exist_ok=True)
            if not (home / "instance.json").exists():
                homes.write_json(home / "instance.json", Identity(name=name, made_data_dir=made))
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
            homes.write_json(instance.home / "instance.json", identity)
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
        homes.write_json(instance.home / "removed.json", removed)
    return replace(instance, removed=removed)


def _with_keys(instance: Instance, keys: dict[str, TenantKeys]) -> Instance:
    with explained(f"cannot write the keys of instance {instance.name}"):
        homes.write_json(instance.home / "keys.json", keys)
    return replace(instance, keys=keys)


@contextmanager
def changing(name: str) -> Iterator[Instance]:
    """Hold an instance's lock, and give the instance as its files have it meanwhile. Raise InstanceError."""
    with locked(homes.find(name).home):
        yield load(name)


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
