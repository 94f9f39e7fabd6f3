"""Token files: a tenant's key, bare, in `tenant-api-token-<tenant>` of the directory a command was started in.

A key is written once, when it is made, and is known afterwards by its digest only. A file that is there already is
never overwritten: the key in it is accepted for that tenant, so people can bring their own keys.
"""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from opstrace import atomic_file, homes
from opstrace import instance as instances
from opstrace.errors import InstanceError
from opstrace.instance import Instance
from opstrace.tenants import is_key, key_digest, new_key

log = logging.getLogger(__name__)


def name_of(tenant: str) -> str:
    """Return the name of a tenant's token file."""
    return f"tenant-api-token-{tenant}"


def ensure(instance: Instance, directory: Path, *, rewrite: bool) -> Instance:
    """Give every tenant without a key one, written to its token file; return the instance as it is then.

    With `rewrite` a tenant whose token file is not in the directory gets a further key. Raise InstanceError.
    """
    with instances.changing(instance.name) as known:
        for tenant in known.config.all_tenants:
            if rewrite or not known.keys_of(tenant).digests:
                known = give(known, tenant, directory)
    return known


def give(instance: Instance, tenant: str, directory: Path) -> Instance:
    """Give a tenant one more key, written to its token file, or accept the one that is in it. Raise InstanceError.

    For whoever holds the instance's lock.
    """
    return _ensure_one(instance, tenant, directory.absolute() / name_of(tenant))


def rotate(instance: Instance, tenant: str) -> Path:
    """Give a tenant a new key, in the place of the one in its token file; earlier keys stay valid.

    Without a token file, or where its directory is gone, it is written to the working directory. Raise InstanceError.
    """
    path = _place_of(instance, tenant)
    others = [whose for whose in _opened_by(_content(path), instance) if whose != _named(instance, instance, tenant)]
    key = new_key()
    with instances.changing(instance.name) as known, _written(path, key):
        instances.add_key(known, tenant, key, path)
    for whose in others:
        log.warning("%s held the key of %s as well: that one stays valid, and is in this file no more", path, whose)
    return path


def _place_of(instance: Instance, tenant: str) -> Path:
    """Return where a tenant's next key is written."""
    record = instance.keys.get(tenant)
    path = Path(record.token_file) if record and record.token_file else None
    if path and path.parent.is_dir():
        return path
    here = Path(name_of(tenant)).absolute()
    if path:
        log.warning("the directory of the token file %s is gone; the new key goes to %s", path, here)
    return here


def _opened_by(key: str, asking: Instance) -> Iterator[str]:
    """Yield the tenants that a key opens, of any instance of this user."""
    for name in homes.names() if is_key(key) else ():
        try:
            instance = instances.load(name)
        except InstanceError:  # it cannot be asked
            continue
        for tenant in instance.config.all_tenants:
            if key_digest(key) in instance.keys_of(tenant).digests:
                yield _named(asking, instance, tenant)


def _named(asking: Instance, instance: Instance, tenant: str) -> str:
    """Name a tenant, and its instance where that is another one."""
    return f"tenant {tenant}" if instance.name == asking.name else f"tenant {tenant} of instance {instance.name}"


def _content(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii", errors="replace").strip()
    except OSError:
        return ""


def revoke(instance: Instance, tenant: str) -> int:
    """Make every key of a tenant invalid but the newest; return how many those were. Raise InstanceError."""
    with instances.changing(instance.name) as known:
        digests = known.keys_of(tenant).digests
        instances.keep_keys(known, tenant, digests[-1:])
    return max(len(digests) - 1, 0)


def key_of(instance: Instance, tenant: str) -> str | None:
    """Return a tenant's key if the file it was written to still holds it."""
    key, _ = _looked_up(instance, tenant)
    return key


def lack_of(instance: Instance, tenant: str) -> str | None:
    """Say what became of a tenant's key that is not known, in the words that follow its name; None if it is known."""
    _, lack = _looked_up(instance, tenant)
    return lack


def _looked_up(instance: Instance, tenant: str) -> tuple[str | None, str | None]:
    """Return a tenant's key, or what became of it."""
    record = instance.keys.get(tenant)
    if record is None or record.token_file is None:
        return None, "was never written to a file"
    try:
        key = Path(record.token_file).read_text(encoding="ascii", errors="replace").strip()
    except OSError as error:
        return None, f"cannot be read from {record.token_file}: {error.strerror}"
    if is_key(key) and key_digest(key) in record.digests:
        return key, None
    return None, f"is not the one that {record.token_file} holds now"


def _ensure_one(instance: Instance, tenant: str, path: Path) -> Instance:
    if os.path.lexists(path):
        return _adopt(instance, tenant, path)
    another = tenant in instance.keys and bool(instance.keys[tenant].digests)
    key = new_key()
    with _written(path, key):
        pass
    log.info("write api token for tenant %s to file %s%s", tenant, path.name, _ALSO_VALID if another else "")
    return instances.add_key(instance, tenant, key, path)


@contextmanager
def _written(path: Path, key: str) -> Iterator[None]:
    """Have a key in a token file once the block has ended well; the one before stays in it if not."""
    try:
        with atomic_file.replacing(path, key):
            yield
    except OSError as error:
        raise InstanceError(
            f"cannot write the token file {path}: {error.strerror}; run the command in a directory you may write to"
        ) from error


_ALSO_VALID = " (a new token: the file is not here; the one before stays valid)"


def _adopt(instance: Instance, tenant: str, path: Path) -> Instance:
    key = _trusted_text(path).strip()
    if not is_key(key):
        raise InstanceError(f"{path} is there and holds no token of 32 hexadecimal digits; remove or move it")
    instance = instances.add_key(instance, tenant, key, path)
    log.info("use api token for tenant %s from file %s", tenant, path.name)
    return instance


def _trusted_text(path: Path) -> str:
    """Read a token file that only its owner, who is us, could have written."""
    try:
        with path.open(encoding="ascii", errors="replace") as file:
            status = os.fstat(file.fileno())
            text = file.read(4096)
    except OSError as error:
        raise InstanceError(f"cannot read the token file {path}: {error.strerror}; remove or move it") from error
    if status.st_uid not in (0, os.geteuid()) or status.st_mode & 0o022:
        raise InstanceError(
            f"{path} is there and others may have written it; check it, then make it yours alone: chown, chmod 600"
        )
    return text
