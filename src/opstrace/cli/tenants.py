"""Tenants and their keys: `tenants`, `keys`."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from opstrace.cli.options import json_option, name_argument, tenant_argument
from opstrace.cli.output import confirm, print_json, print_table
from opstrace.cli.running import reload

if TYPE_CHECKING:
    from opstrace.instance import Instance

log = logging.getLogger("opstrace")
_REMOVAL_PAUSE_S = 0.1  # between two looks whether a tenant's data is gone


@click.group()
def tenants() -> None:
    """Add and remove tenants, also while the server runs."""


@tenants.command("list")
@name_argument
@click.option("--usage", is_flag=True, help="Count what each has; takes a while where that is much.")
@json_option
def tenants_list(name: str, usage: bool, as_json: bool) -> None:
    """Show the tenants of the instance NAME: their keys, limits of their own, and where their Agents send."""
    from opstrace import agent_settings, instance
    from opstrace.config import TenantLimits

    found = instance.load(name)
    rows = [
        {
            "tenant": tenant,
            "keys": len(found.keys[tenant].digests) if tenant in found.keys else 0,
            "limits": found.config.tenant_limits.get(tenant, TenantLimits()).given,
            "url": agent_settings.target_of(found, tenant).url,
        }
        for tenant in found.config.all_tenants
    ]
    counted = _holdings(found, found.config.all_tenants) if usage else {}
    if as_json:
        held = [{**row, "holdings": counted[str(row["tenant"])]} if usage else row for row in rows]
        print_json({"tenants": held, "leaving": list(found.leaving)})
        return
    table = [[str(row["tenant"]), str(row["keys"]), _own_limits(row["limits"]), str(row["url"])] for row in rows]
    leaving = [[tenant, "0", "-", "removed; its data is still there"] for tenant in found.leaving]
    lines = [["TENANT", "KEYS", "OWN LIMITS", "AGENTS SEND TO"], *table, *leaving]
    has = {"TENANT": "HAS", **{tenant: document["text"] for tenant, document in counted.items()}}
    print_table([[*line, has.get(line[0], "")] for line in lines] if usage else lines)


def _own_limits(limits: Any) -> str:
    return ", ".join(f"{name} {value:.15g}" for name, value in limits.items()) or "-"


def _holdings(instance: "Instance", tenants: Sequence[str]) -> dict[str, Any]:
    """Return how much each tenant has: from the server if one runs, else from the store itself."""
    from opstrace import admin_client, estate, server_process

    if server_process.pid_of(instance) is not None:
        return {one: admin_client.ask(instance, "GET", f"/admin/tenants/{one}")["holdings"] for one in tenants}
    with server_process.held(instance), estate.opened(instance) as removal:
        return {one: estate.holdings(instance, removal, one).document for one in tenants}


@tenants.command("add")
@name_argument
@tenant_argument
def tenants_add(name: str, tenant: str) -> None:
    """Add TENANT to the instance NAME, with a key in a token file in the current directory.

    A running server takes its payloads at once, and serves a certificate that has its names.
    """
    from opstrace import certificates, roster

    roster.add(name, tenant, Path.cwd())
    certificates.renew(name)
    reload(name)
    log.info("added: tenant %s of %s", tenant, name)
    log.info("what its Agents need is printed by: opstrace agent-config %s --tenant %s", name, tenant)


@tenants.command("remove")
@name_argument
@tenant_argument
@click.option("--yes", is_flag=True, help="Do not ask.")
def tenants_remove(name: str, tenant: str, yes: bool) -> None:
    """Remove TENANT from the instance NAME with all of its data.

    Its keys open nothing from then on. Its token file stays where it is.
    """
    from opstrace import instance, roster, server_process

    found = instance.load(name)
    roster.check_removable(found, tenant)
    running = server_process.pid_of(found) is not None
    (_remove_running if running else _remove_stopped)(found, tenant, yes)
    log.info("removed: tenant %s of %s", tenant, name)


def _remove_running(instance: "Instance", tenant: str, yes: bool) -> None:
    """Have the server remove a tenant, and wait until its data is gone."""
    import time

    from opstrace import admin_client

    if not yes:
        known = admin_client.ask(instance, "GET", f"/admin/tenants/{tenant}")
        _confirm_removal(instance, tenant, known["holdings"]["text"])
    admin_client.ask(instance, "DELETE", f"/admin/tenants/{tenant}")
    while tenant in admin_client.ask(instance, "GET", "/admin/tenants")["leaving"]:
        time.sleep(_REMOVAL_PAUSE_S)


def _remove_stopped(instance: "Instance", tenant: str, yes: bool) -> None:
    """Remove a tenant while no server runs, and none may be started."""
    from opstrace import estate, roster, server_process

    with server_process.held(instance), estate.opened(instance) as removal:
        if not yes:
            _confirm_removal(instance, tenant, str(estate.holdings(instance, removal, tenant)))
        roster.remove(instance.name, tenant)
        estate.remove_all(instance, removal, tenant)
        roster.forget(instance.name, tenant)


def _confirm_removal(instance: "Instance", tenant: str, holdings: str) -> None:
    confirm(f"Remove tenant {tenant} of {instance.name} with all it has: {holdings}?")


@click.group()
def keys() -> None:
    """Work with the tenants' keys."""


@keys.command("list")
@name_argument
@json_option
def keys_list(name: str, as_json: bool) -> None:
    """Show how many keys each tenant of the instance NAME has, and where its newest was written."""
    from opstrace import instance, token_files

    found = instance.load(name)
    rows = [
        {
            "tenant": tenant,
            "keys": len(found.keys[tenant].digests) if tenant in found.keys else 0,
            "token_file": found.keys[tenant].token_file if tenant in found.keys else None,
            "there": token_files.key_of(found, tenant) is not None,
        }
        for tenant in found.config.all_tenants
    ]
    if as_json:
        print_json(rows)
        return
    table = [[str(row["tenant"]), str(row["keys"]), str(row["token_file"] or "-"), _remark(row)] for row in rows]
    print_table([["TENANT", "KEYS", "TOKEN FILE", ""], *table])


def _remark(row: dict[str, Any]) -> str:
    """Say what there is to know of a tenant's token file."""
    if row["there"] or not row["keys"]:
        return ""
    return "does not hold one of them any more" if row["token_file"] else "never written to a file"


@keys.command("rotate")
@name_argument
@tenant_argument
def keys_rotate(name: str, tenant: str) -> None:
    """Give TENANT of the instance NAME a new key, written over the old one in its token file.

    The old one stays valid until `keys revoke`. A running server knows the new one at once.
    """
    from opstrace import token_files

    found = _with_tenant(name, tenant)
    path = token_files.rotate(found, tenant)
    log.info("write api token for tenant %s to file %s", tenant, path)
    reload(name)


@keys.command("revoke")
@name_argument
@tenant_argument
def keys_revoke(name: str, tenant: str) -> None:
    """Make every key of TENANT of the instance NAME invalid but the newest; sessions opened with them end."""
    from opstrace import token_files

    revoked = token_files.revoke(_with_tenant(name, tenant), tenant)
    log.info("tenant %s: %d %s revoked, the newest stays", tenant, revoked, "key" if revoked == 1 else "keys")
    reload(name)


def _with_tenant(name: str, tenant: str) -> "Instance":
    from opstrace import instance

    found = instance.load(name)
    found.check_tenant(tenant)
    return found
