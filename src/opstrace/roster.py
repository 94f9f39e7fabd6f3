"""The tenants of an instance as its files have them: added and removed, given keys and limits.

Whoever changes the files reads them again under the lock first, so the command and a running server may both do so.
A running server looks at them when it is told to (`administration.py`).
"""

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec

from opstrace import instance as instances
from opstrace import token_files
from opstrace.config import (
    LIVE_LIMITS,
    RETENTION_KEYS,
    SYSTEM_TENANT,
    Config,
    Limits,
    TenantLimits,
    changed,
    check_tenant_name,
    place_for_all,
)
from opstrace.errors import ConfigError, InstanceError
from opstrace.instance import Instance
from opstrace.tenants import new_key

# Of a key's SHA-256: enough to tell a tenant's keys apart.
DIGEST_CHARACTERS: Final = 12


@dataclass(frozen=True, slots=True)
class Setting:
    """One limit, or a retention, as it is now."""

    name: str
    value: float
    default: float  # the built-in one
    fallback: float  # without the setting: the built-in one, or of a tenant what holds for all
    of_tenant: bool = False  # set for the tenant itself

    @property
    def origin(self) -> str:
        """Say who set it."""
        if self.of_tenant:
            return "of the tenant"
        return "by default" if self.value == self.default else "in the config"

    @property
    def live(self) -> bool:
        """Say whether a running server looks at a new value at once."""
        return self.name in LIVE_LIMITS or self.name in RETENTION_KEYS


def add(name: str, tenant: str, directory: Path | None) -> tuple[Instance, str | None]:
    """Add a tenant with a key; return the instance and the key.

    With a directory the key is in the tenant's token file there, made or found, and is not returned. Raise
    ConfigError, InstanceError.
    """
    from opstrace import certificates  # takes a while to load

    certificates.check(name, _with_tenant(instances.load(name), tenant))
    with instances.changing(name) as known:
        config = _with_tenant(known, tenant)
        key = None
        if directory is None:
            known = instances.add_key(known, tenant, key := new_key(), None)
        else:
            known = token_files.give(known, tenant, directory)
        return instances.with_config(known, config), key


def check_removable(instance: Instance, tenant: str) -> None:
    """Raise ConfigError, InstanceError unless a tenant can be removed, or its removal be completed."""
    config = instance.config
    if tenant in instance.leaving:
        return
    if tenant in instance.keys and tenant not in config.all_tenants:
        raise InstanceError(
            f"tenant {tenant} is not in the config of {instance.name} any more; to remove what it has left, "
            f"add it first by `opstrace tenants add {instance.name} {tenant}`"
        )
    instance.check_tenant(tenant)
    if tenant == SYSTEM_TENANT:
        raise ConfigError(f"tenant {SYSTEM_TENANT} always exists and cannot be removed")
    if config.tenants == (tenant,):
        raise ConfigError(f"{tenant} is the only tenant of {instance.name}; add another one first")
    for listener in config.dogstatsd.listeners:
        heard = config.dogstatsd.enabled and (listener.tenant or config.first_tenant) == tenant
        if heard or listener.tenant == tenant:
            raise ConfigError(
                f"the DogStatsD listener {listener.url} is tenant {tenant}'s; "
                "give it another tenant in the config first"
            )


def remove(name: str, tenant: str) -> Instance:
    """Take a tenant out of the config and make its keys invalid; its data is left, and remembered.

    Raise ConfigError, InstanceError.
    """
    with instances.changing(name) as known:
        check_removable(known, tenant)
        if tenant not in known.removed:
            known = instances.with_removed(known, (*known.removed, tenant))
        if tenant in known.config.tenants:
            known = instances.with_config(known, _without_tenant(known.config, tenant))
        return instances.forget_keys(known, tenant)


def forget(name: str, tenant: str) -> Instance:
    """Remember no longer that a tenant has left something: a tenant of this name may be added again."""
    with instances.changing(name) as known:
        # Its keys may be there yet: whoever removed it may have died before they went.
        known = instances.forget_keys(known, tenant)
        return instances.with_removed(known, tuple(one for one in known.removed if one != tenant))


def settle(name: str) -> None:
    """Give up removals that were cut short before the config had them: these tenants are as they were."""
    with instances.changing(name) as known:
        if known.leaving != known.removed:
            instances.with_removed(known, known.leaving)


def check_leaving(instance: Instance, config: Config) -> None:
    """Raise ConfigError if a config names a tenant whose removal is not over."""
    for tenant in config.tenants:
        if tenant in instance.leaving:
            raise ConfigError(
                f"tenants: the data of the tenant {tenant} that was there before is still being removed; "
                f"start {instance.name} without it, and add it once that is over"
            )


def add_key(name: str, tenant: str) -> tuple[Instance, str]:
    """Give a tenant one more key, in no file, and return it. Raise InstanceError."""
    with instances.changing(name) as known:
        known.check_tenant(tenant)
        key = new_key()
        return instances.add_key(known, tenant, key, None), key


def revoke_key(name: str, tenant: str, digest: str) -> Instance:
    """Make the key of which the digest begins so invalid. Raise ConfigError, InstanceError."""
    with instances.changing(name) as known:
        known.check_tenant(tenant)
        digests = known.keys_of(tenant).digests
        meant = [one for one in digests if one.startswith(digest)] if len(digest) >= DIGEST_CHARACTERS else []
        if len(meant) != 1:
            raise ConfigError(f"tenant {tenant} has no key {digest}; look at the keys it has now")
        if len(digests) == 1:
            raise ConfigError(f"this is the only key of tenant {tenant}; give it another one first")
        return instances.keep_keys(known, tenant, tuple(one for one in digests if one != meant[0]))


def set_limits(name: str, tenant: str | None, given: Mapping[str, Any]) -> Instance:
    """Set limits of all tenants or of one, or retention; None means the default. Raise ConfigError, InstanceError."""
    with instances.changing(name) as known:
        return instances.with_config(known, with_limits(known, tenant, given))


def with_limits(instance: Instance, tenant: str | None, given: Mapping[str, Any]) -> Config:
    """Return the config of an instance with other limits, as `set_limits` writes it; raise what that does."""
    if tenant is None:
        return _with_limits(instance.config, given)
    instance.check_tenant(tenant)
    return _with_tenant_limits(instance.config, tenant, given)


def settings(config: Config, tenant: str | None = None) -> list[Setting]:
    """Return the retention and the limits of all tenants, or the limits that may be set of one."""
    defaults = msgspec.structs.asdict(Limits())
    if tenant is not None:
        own = config.tenant_limits.get(tenant, TenantLimits()).given
        values = {name: value for name, value in msgspec.structs.asdict(config.limits).items() if name in LIVE_LIMITS}
        return [
            Setting(name, own.get(name, value), defaults[name], fallback=value, of_tenant=name in own)
            for name, value in values.items()
        ]
    fields = {field.name: field.default for field in msgspec.structs.fields(Config)}
    defaults = {name: fields[name] for name in RETENTION_KEYS} | defaults
    values = {name: getattr(config, name) for name in RETENTION_KEYS} | msgspec.structs.asdict(config.limits)
    return [Setting(name, value, defaults[name], fallback=defaults[name]) for name, value in values.items()]


def shortened(config: Config, given: Mapping[str, Any]) -> dict[str, int]:
    """Return what new settings would make the retention drop, with the days from which on."""
    fields = {field.name: field.default for field in msgspec.structs.fields(Config)}
    days = {name: fields[name] if given[name] is None else given[name] for name in RETENTION_KEYS if name in given}
    what = dict(zip(RETENTION_KEYS, ("samples", "logs"), strict=True))
    return {what[name]: new for name, new in days.items() if isinstance(new, int) and new < getattr(config, name)}


def _with_tenant(instance: Instance, tenant: str) -> Config:
    check_tenant_name(tenant)
    if tenant in instance.config.all_tenants:
        raise ConfigError(f"{instance.name} has a tenant {tenant} already")
    if tenant in instance.leaving:
        raise ConfigError(
            f"the data of the tenant {tenant} that was there before is still being removed; add it once that is over"
        )
    return changed(instance.config, tenants=(*instance.config.tenants, tenant))


def _without_tenant(config: Config, tenant: str) -> Config:
    left = {name: limits for name, limits in config.tenant_limits.items() if name != tenant}
    return changed(config, tenants=tuple(one for one in config.tenants if one != tenant), tenant_limits=left)


def _with_limits(config: Config, given: Mapping[str, Any]) -> Config:
    defaults = {field.name: field.default for field in msgspec.structs.fields(Config) if field.name in RETENTION_KEYS}
    defaults |= msgspec.structs.asdict(Limits())
    _check_names(given, list(defaults))
    values = {name: defaults[name] if value is None else value for name, value in given.items()}
    retention = {name: values.pop(name) for name in RETENTION_KEYS if name in values}
    return changed(config, limits=msgspec.structs.replace(config.limits, **values), **retention)


def _with_tenant_limits(config: Config, tenant: str, given: Mapping[str, Any]) -> Config:
    for name in given:
        if place_for_all(name):
            raise ConfigError(f"{name} is the same for all tenants; set it without naming one")
    _check_names(given, sorted(LIVE_LIMITS))
    own = msgspec.structs.replace(config.tenant_limits.get(tenant, TenantLimits()), **given)
    others = {name: limits for name, limits in config.tenant_limits.items() if name != tenant}
    return changed(config, tenant_limits={**others, tenant: own} if own.given else others)


def _check_names(given: Mapping[str, Any], known: list[str]) -> None:
    for name in given:
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            raise ConfigError(
                f"{name} is no limit; "
                + (f"the closest one is {close[0]}" if close else "docs/limits.md has them all")
            )
