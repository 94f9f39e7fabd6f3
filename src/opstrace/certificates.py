"""The certificate files of an instance: made when missing, renewed before they end, replaced when names change.

The authority is what clients trust: while `ca.pem` is there, no other one takes its place because its key is gone or
damaged. What it has issued is served without the key as long as it does.

Called at every start, and when tenants come or go. Apart from `instance.py` because the bindings of OpenSSL take a
while to load.
"""

import logging
from datetime import UTC, datetime
from pathlib import Path

from opstrace import atomic_file, homes, tls
from opstrace import instance as instances
from opstrace.config import Config
from opstrace.errors import ConfigError, InstanceError
from opstrace.homes import explained, locked
from opstrace.instance import Instance

log = logging.getLogger(__name__)


def ensure(instance: Instance) -> None:
    """Bring an instance's certificates up to date; raise ConfigError for the user's own, InstanceError for ours."""
    if instance.config.cert_file:
        check(instance.name, instance.config)
        return
    now = datetime.now(UTC)
    with explained(f"cannot write the certificates of instance {instance.name}"), locked(instance.home):
        if lack := _borne_lack(instance.name, instance.home / "tls", instance.config, now):
            log.warning("%s: the certificate of %s cannot be renewed without it", lack, instance.name)
        else:
            _ensure_served(instance, _authority(instance, now), now)


def check(name: str, config: Config) -> None:
    """Raise ConfigError if the user's own certificate does not do for an instance's config.

    Ours is issued anew; raise InstanceError if it has to be and cannot.
    """
    now = datetime.now(UTC)
    if config.cert_file and config.cert_key_file:
        names = tls.names_of(name, config)
        tls.check_files(config.cert_file, config.cert_key_file, config.cert_ca_file, names, now)
    elif homes.exists(name):
        with explained(f"cannot read the certificates of instance {name}"):
            _borne_lack(name, homes.find(name).home / "tls", config, now)


def renew(name: str) -> None:
    """Issue an instance's certificate anew if its names have changed; clients trust what they trusted.

    The config is read under the lock: of two who change it, the later sees the names of both. Raise InstanceError.
    """
    home = instances.load(name).home
    with explained(f"cannot write the certificates of instance {name}"), locked(home):
        known, now = instances.load(name), datetime.now(UTC)
        if known.config.cert_issuer != "local-ca":
            return
        lack = _borne_lack(name, home / "tls", known.config, now)
        if lack is None and (authority := _stored(home / "tls", "ca")):
            _ensure_served(known, authority, now)


def check_reached(instance: Instance, host: str) -> None:
    """Raise ConfigError if clients that trust an instance's anchor alone would not take it for this host."""
    if instance.trust_anchor_file is None:
        return
    try:
        covered = tls.covers(instance.certificate_file.read_bytes(), host)
    except (OSError, ValueError) as error:
        raise ConfigError(f"cannot read the certificate {instance.certificate_file}: {error}") from error
    if not covered:
        raise ConfigError(
            f"the certificate of {instance.name} is not valid for {host}; "
            f"take a name that it has, such as {instance.host} or localhost"
        )


def trust_anchor(instance: Instance) -> tuple[Path, str] | None:
    """Return the file a client must trust and its SHA-256 fingerprint; None for a public authority's certificate."""
    path = instance.trust_anchor_file
    if path is None:
        return None
    try:
        return path, tls.fingerprint(path.read_bytes())
    except (OSError, ValueError) as error:
        raise ConfigError(f"cannot read the trust anchor {path}: {error}") from error


def _lack_of_authority(directory: Path) -> str | None:
    """Say what keeps an authority that clients may trust from issuing; None if nothing does, or there is none."""
    certificate, key = directory / "ca.pem", directory / "ca-key.pem"
    if not certificate.exists():
        return None
    if not key.exists():
        return f"{key} is not there"
    damage = tls.authority_damage(tls.Pair(certificate.read_bytes(), key.read_bytes()))
    if damage == "certificate":
        return f"{certificate} is damaged"
    return f"{key} is damaged, or not the key of {certificate.name}" if damage else None


def _borne_lack(name: str, directory: Path, config: Config, now: datetime) -> str | None:
    """Say what the authority of an instance lacks that needs no other certificate for now; None if nothing.

    Raise InstanceError if the instance needs one.
    """
    lack = _lack_of_authority(directory)
    if lack is None:
        return None
    authority, served, names = directory / "ca.pem", _stored(directory, "server"), tls.names_of(name, config)
    fault = "there is none"
    if served:
        fault = tls.certificate_fault(served, authority.read_bytes(), names, now, renewable=False) or ""
    if fault:
        raise InstanceError(
            f"{lack}, and {name} needs a new certificate: {fault}; put that file back, or remove "
            f"{authority} and start {name} anew to get another authority, which all clients have to trust then"
        )
    return lack


def _authority(instance: Instance, now: datetime) -> tls.Pair:
    directory, names = instance.home / "tls", tls.names_of(instance.name, instance.config)
    stored = _stored(directory, "ca")
    fault = tls.authority_fault(stored, names, now) if stored else None
    if stored and not fault:
        return stored
    if fault:
        log.warning("the trust anchor of %s is replaced, clients must trust the new one: %s", instance.name, fault)
        # First, so that a crash leaves no new key beside it.
        (directory / "ca.pem").unlink()
    return _store(directory, "ca", tls.make_authority(instance.name, names, now))


def _ensure_served(instance: Instance, authority: tls.Pair, now: datetime) -> None:
    directory, names = instance.home / "tls", tls.names_of(instance.name, instance.config)
    stored = _stored(directory, "server")
    fault = tls.certificate_fault(stored, authority.certificate, names, now) if stored else None
    if stored and fault:
        log.info("the certificate of %s is renewed: %s", instance.name, fault)
    if stored is None or fault:
        _store(directory, "server", tls.issue(authority, names, now))


def _stored(directory: Path, name: str) -> tls.Pair | None:
    certificate, key = directory / f"{name}.pem", directory / f"{name}-key.pem"
    return tls.Pair(certificate.read_bytes(), key.read_bytes()) if certificate.exists() and key.exists() else None


def _store(directory: Path, name: str, pair: tls.Pair) -> tls.Pair:
    atomic_file.write(directory / f"{name}-key.pem", pair.key)
    # Readable by all, unlike the directories above it: an Agent's user reads it where it is mounted or copied to.
    atomic_file.write(directory / f"{name}.pem", pair.certificate, mode=0o644)
    return pair
