"""What has changed of an instance's tenants, keys and limits, in words for the server's log; never a key."""

from collections.abc import Iterator

from opstrace.config import Config, TenantLimits
from opstrace.instance import Instance
from opstrace.roster import DIGEST_CHARACTERS, settings


def told(before: Instance, after: Instance) -> Iterator[str]:
    """Yield a sentence for each change; keys of a tenant that was removed went with it."""
    for tenant in after.config.all_tenants:
        if tenant not in before.config.all_tenants:
            yield f"tenant {tenant} was added"
    for tenant in before.config.all_tenants:
        if tenant not in after.config.all_tenants:
            yield f"tenant {tenant} was removed"
    for tenant in after.config.all_tenants:
        yield from _of_keys(tenant, before, after)
    yield from _of_all(before.config, after.config)
    for tenant in after.config.all_tenants:
        yield from _of_tenant(tenant, before.config, after.config)


def _of_keys(tenant: str, before: Instance, after: Instance) -> Iterator[str]:
    known, now = (one.keys_of(tenant).digests for one in (before, after))
    for what, digests in (
        ("added", [one for one in now if one not in known]),
        ("revoked", [one for one in known if one not in now]),
    ):
        yield from (f"key {digest[:DIGEST_CHARACTERS]} of tenant {tenant} was {what}" for digest in digests)


def _of_all(before: Config, after: Config) -> Iterator[str]:
    for was, now in zip(settings(before), settings(after), strict=True):
        if was.value != now.value:
            when = "" if now.live else ", from the next start on"
            yield f"{now.name} of all tenants is {now.value:.15g} and was {was.value:.15g}{when}"


def _of_tenant(tenant: str, before: Config, after: Config) -> Iterator[str]:
    known, now = (one.tenant_limits.get(tenant, TenantLimits()).given for one in (before, after))
    for name in sorted({*known, *now}):
        if known.get(name) != now.get(name):
            yield f"{name} of tenant {tenant} is {_own(now.get(name))} and was {_own(known.get(name))}"


def _own(value: float | None) -> str:
    return "that of all tenants" if value is None else f"{value:.15g}"
