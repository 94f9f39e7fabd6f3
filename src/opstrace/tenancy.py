"""Which tenants an instance has, on disk: one comes, one goes, its limits change.

All of it works whether the instance's server runs or not; a running one adopts what is on disk when it is told to.
The data of a tenant that went are the server's to remove: until it has, the tenant stands in removed-tenants.json.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Final

import msgspec

from opstrace import atomic_file, certificates
from opstrace import config as config_document
from opstrace import instance as instances
from opstrace.config import SYSTEM_TENANT, TENANT_LIMITS, TenantLimits
from opstrace.errors import ConfigError, InstanceError
from opstrace.instance import Instance

REMOVED_FILE: Final = "removed-tenants.json"


def add(name: str, tenant: str) -> Instance:
    """Add a tenant to an instance, without a key yet; the certificate gets its names. Raise InstanceError."""
    known = instances.load(name)
    if tenant in known.config.all_tenants:
        raise InstanceError(f"{name} has a tenant {tenant} already")
    if tenant in removed(known):
        raise InstanceError(
            f"the data of the tenant {tenant} that was removed are not gone yet; start {name} and try again"
        )
    changed = _changed(known, {"tenants": [*known.config.tenants, tenant]})
    certificates.ensure(changed)
    return instances.reconfigure(changed, changed.config)


def remove(name: str, tenant: str) -> Instance:
    """Remove a tenant from an instance, with its keys and limits; its data go next. Raise InstanceError."""
    known = instances.load(name)
    _check_removable(known, tenant)
    _note(known, lambda tenants: [*tenants, tenant])
    left = [one for one in known.config.tenants if one != tenant]
    limits = [one for one in known.config.tenant_limits if one.tenant != tenant]
    changed = _changed(known, {"tenants": left, "tenant_limits": limits})
    changed = instances.reconfigure(changed, changed.config)
    with instances.locked(changed.home):
        return instances.keep_keys(changed, tenant, None)


def set_limits(name: str, tenant: str, changes: Mapping[str, int | None]) -> Instance:
    """Give a tenant limits of its own; None is the limit of all again. Raise InstanceError and ConfigError."""
    known = instances.load(name)
    if tenant not in known.config.all_tenants:
        raise InstanceError(f"{name} has no tenant {tenant}; it has {', '.join(known.config.all_tenants)}")
    for limit in changes:
        if limit not in TENANT_LIMITS:
            raise ConfigError(f"{limit} is not a limit of one tenant; these are {', '.join(TENANT_LIMITS)}")
    others = [one for one in known.config.tenant_limits if one.tenant != tenant]
    own = next((one for one in known.config.tenant_limits if one.tenant == tenant), TenantLimits(tenant=tenant))
    wanted = msgspec.structs.replace(own, **changes)
    changed = _changed(known, {"tenant_limits": [*others, wanted] if wanted.given else others})
    return instances.reconfigure(changed, changed.config)


def removed(instance: Instance) -> list[str]:
    """Return the tenants that were removed and may have data yet; raise InstanceError."""
    path = instance.home / REMOVED_FILE
    if not path.exists():
        return []
    try:
        return msgspec.json.decode(path.read_bytes(), type=list[str])
    except msgspec.DecodeError as error:
        raise InstanceError(f"{path} is damaged ({error}); remove it") from error


def forget(instance: Instance, tenant: str) -> None:
    """Note that nothing is left of a tenant that was removed."""
    _note(instance, lambda tenants: [one for one in tenants if one != tenant])


def _check_removable(instance: Instance, tenant: str) -> None:
    config = instance.config
    if tenant == SYSTEM_TENANT:
        raise InstanceError(f"the tenant {tenant} watches the product itself and stays")
    if tenant not in config.tenants:
        raise InstanceError(f"{instance.name} has no tenant {tenant}; it has {', '.join(config.all_tenants)}")
    if len(config.tenants) == 1:
        raise InstanceError(f"{tenant} is the only tenant of {instance.name}; add another one first")
    listeners = config.dogstatsd.listeners if config.dogstatsd.enabled else ()
    if any((one.tenant or config.tenants[0]) == tenant for one in listeners):
        raise InstanceError(
            f"a DogStatsD listener belongs to the tenant {tenant}; give it another one in the config "
            f"(dogstatsd.listeners) and start {instance.name} with it first"
        )


def _changed(instance: Instance, changes: Mapping[str, object]) -> Instance:
    """Return the instance with some keys of its config changed, checked as a whole but not written."""
    document = msgspec.to_builtins(instance.config) | msgspec.to_builtins(changes)
    return replace(instance, config=config_document.parse(config_document.dump(document), instance.home))


def _note(instance: Instance, change: Callable[[list[str]], list[str]]) -> None:
    """Change the list of tenants that were removed."""
    what = f"cannot write the removed tenants of instance {instance.name}"
    with instances.explained(what), instances.locked(instance.home):
        tenants = sorted(set(change(removed(instance))))
        atomic_file.write(instance.home / REMOVED_FILE, msgspec.json.encode(tenants) + b"\n")
