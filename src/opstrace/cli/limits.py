"""Limits and retention: `limits`."""

import logging
from collections.abc import Sequence
from typing import Any

import click

from opstrace.cli.options import json_option, name_argument
from opstrace.cli.output import confirm, print_json, print_table
from opstrace.cli.running import reload, waiting_limits

log = logging.getLogger("opstrace")
_of_tenant = click.option("--tenant", help="The limits of this tenant; of all tenants by default.")


@click.group()
def limits() -> None:
    """Look at and set limits and retention, also while the server runs."""


@limits.command("show")
@name_argument
@_of_tenant
@json_option
def limits_show(name: str, tenant: str | None, as_json: bool) -> None:
    """Show retention and limits of the instance NAME, or the limits that may be set of one tenant."""
    from dataclasses import asdict

    from opstrace import instance, roster

    found = instance.load(name)
    if tenant is not None:
        found.check_tenant(tenant)
    settings = roster.settings(found.config, tenant)
    waiting = waiting_limits(found)
    if as_json:
        print_json([{**asdict(one), "live": one.live, "waiting": one.name in waiting} for one in settings])
        return
    effect = {one.name: "at once" if one.live else "at a start" for one in settings}
    effect |= dict.fromkeys(waiting & effect.keys(), "at the next start; the server has the value before")
    rows = [[one.name, f"{one.value:.15g}", one.origin, effect[one.name]] for one in settings]
    print_table([["LIMIT", "VALUE", "SET", "TAKES EFFECT"], *rows])


@limits.command("set")
@name_argument
@click.argument("given", metavar="LIMIT=VALUE...", nargs=-1, required=True)
@_of_tenant
@click.option("--yes", is_flag=True, help="Do not ask where data would go.")
def limits_set(name: str, given: tuple[str, ...], tenant: str | None, yes: bool) -> None:
    """Set limits or the retention of the instance NAME, or limits of one tenant.

    The VALUE `default` is what holds without the setting: the built-in number, or for a tenant what holds for all. A
    running server takes in most at once; the command says which ones wait for the next start.
    """
    from opstrace import instance, roster

    values = _settings(given)
    found = instance.load(name)
    roster.with_limits(found, tenant, values)  # what is refused is no matter for a question
    shortened = roster.shortened(found.config, values) if tenant is None else {}
    for what, days in shortened.items():
        if not yes:
            confirm(f"Remove {what} of {name} that are older than {days} days?")
    roster.set_limits(name, tenant, values)
    waiting = reload(name)
    log.info("set for %s: %s", f"tenant {tenant}" if tenant else "all tenants", ", ".join(given))
    if waiting:
        log.warning("the running server takes these in at its next start: %s", ", ".join(waiting))


def _settings(given: Sequence[str]) -> dict[str, Any]:
    """Return what each NAME=VALUE says; a name that comes twice is wrong usage."""
    values: dict[str, Any] = {}
    for name, value in map(_setting, given):
        if name in values:
            raise click.UsageError(f"{name} is given twice; give it one value")
        values[name] = value
    return values


def _setting(text: str) -> tuple[str, Any]:
    """Return the name and the value of NAME=VALUE; None for the default."""
    import yaml

    name, found, value = text.partition("=")
    if not found:
        raise click.UsageError(f"{text!r} is not LIMIT=VALUE, such as max_series=1000000")
    if not value.strip():
        raise click.UsageError(f"{name} is given no value; {name}=default is what holds without the setting")
    if value == "default":
        return name, None
    try:
        number = yaml.safe_load(value)
    except yaml.YAMLError:
        return name, value
    return name, value if number is None else number  # null is no other word for the default
