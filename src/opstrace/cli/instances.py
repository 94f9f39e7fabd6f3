"""The life of an instance: `create`, `up`, `start`, `stop`, `status`, `list`, `destroy`."""

import logging
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from opstrace import log_lines
from opstrace.cli.options import (
    DEFAULT_INSTANCE,
    HOW_TO_MAKE_ONE,
    STOP_TIMEOUT_S,
    Number,
    config_option,
    json_option,
    name_argument,
    provider_argument,
    timeout_option,
)
from opstrace.cli.output import aligned, confirm, print_json, print_table, show_progress, tell
from opstrace.errors import InstanceError, OpstraceError

if TYPE_CHECKING:
    from opstrace.client import Endpoint
    from opstrace.instance import Instance
    from opstrace.probe import Outcome

log = logging.getLogger("opstrace")


@click.command()
@provider_argument
@name_argument
@config_option
@timeout_option
def create(provider: str, name: str, config_file: Path | None, timeout_s: float) -> None:
    """Create the instance NAME and start it in the background.

    The config is read from standard input without -c. Tokens are written to files in the current directory. The
    command ends once every endpoint of every tenant has answered; run again after an interruption, it completes what
    is missing and keeps what is there.
    """
    from opstrace import config, startup

    if config_file is None and sys.stdin.isatty():
        log.info("reading the config from standard input; Ctrl+D ends it")
    document = config.load(config_file)
    _stop_unfinished(name)
    instance = startup.prepare(name, document, Path.cwd(), rewrite_tokens=True)
    instance = startup.start(instance, timeout_s, show_progress)
    log.info("cluster creation finished: %s (%s)", name, provider)
    log.info("Log in here: %s", instance.url)


def _stop_unfinished(name: str) -> None:
    """Clear the way for a creation: what an interrupted one left running ends; a finished instance is refused."""
    from opstrace import homes, server_process

    if not homes.exists(name):
        return
    begun = homes.find(name)
    if begun.finished:
        raise InstanceError(
            f"the instance {name} exists already; start it by `opstrace start {name}`, or remove it by "
            f"`opstrace destroy local {name}`"
        )
    server_process.stop(begun, STOP_TIMEOUT_S)


@click.command()
@click.argument("name", default=DEFAULT_INSTANCE)
@config_option
@click.option("--dogstatsd", is_flag=True, help="Listen for DogStatsD in this run, whatever the config says.")
def up(name: str, config_file: Path | None, dogstatsd: bool) -> None:
    """Run the instance NAME in the foreground, making it if there is none.

    NAME is `default` if it is left out, and so is the tenant of an instance made without a config. With -c the
    config of an existing instance is replaced, unless that one was given the last time, too. Ctrl+C or SIGTERM
    drains and stops.
    """
    from opstrace import config, homes, instance, server_process, startup

    document = config.load(config_file) if config_file else None
    homes.follow(name, document)
    before = instance.load(name, document).keys if homes.exists(name) else {}
    if document is None and not homes.exists(name):
        document = config.DEFAULT
    prepared = startup.prepare(name, document, Path.cwd(), rewrite_tokens=False)
    if dogstatsd:
        prepared = instance.with_dogstatsd(prepared)
    with server_process.held(prepared):
        _serve(prepared, lambda: _announce(prepared, set(before)))


def _announce(instance: "Instance", known: set[str]) -> None:
    """Print what a person needs now that the instance serves; tokens only of tenants not `known` before."""
    from opstrace import agent_settings, certificates
    from opstrace import instance as instances

    instances.finish(instance)
    tenant = instance.config.first_tenant
    target = agent_settings.target_of(instance, tenant)
    lines = [f"Log in here:    {instance.url}", f"Agents send to: {target.url}"]
    if target.plain_url:
        lines.append(f"            or: {target.plain_url} (this machine only, without TLS)")
    if anchor := certificates.trust_anchor(instance):
        lines += [f"Trust anchor:   {anchor[0]}", f"       SHA-256: {anchor[1]}"]
    target = target if tenant not in known else agent_settings.without_key(target)
    lines += ["", f"# Settings of an Agent of tenant {tenant}; other forms: opstrace agent-config {instance.name}"]
    tell("\n".join([*lines, agent_settings.environment(target)]))


@click.command(hidden=True)
@name_argument
@click.argument("lock", type=int)
def serve(name: str, lock: int) -> None:
    """Serve the instance NAME, which `create` or `start` prepared, with the lock inherited from them."""
    from opstrace import instance, server_process

    found = instance.load(name)
    with server_process.inherited(found, lock):
        _serve(found, lambda: None)


def _serve(instance: "Instance", announce: Callable[[], None]) -> None:
    from opstrace import unneeded

    unneeded.hide()
    import uvloop

    from opstrace.app import serve

    try:
        uvloop.run(serve(instance, announce))
    except OpstraceError:
        raise
    except Exception as error:
        log.exception("the server of %s broke: %s: %s", instance.name, type(error).__name__, error)
        raise click.exceptions.Exit(1) from error


@click.command()
@name_argument
@config_option
@timeout_option
def start(name: str, config_file: Path | None, timeout_s: float) -> None:
    """Start the instance NAME in the background.

    With -c its config is replaced, unless that one was given the last time, too: what commands changed since stays.
    New tenants get tokens, the certificate gets their names.
    """
    from opstrace import config, startup

    document = config.load(config_file) if config_file else None
    instance = startup.prepare(name, document, Path.cwd(), rewrite_tokens=False)
    instance = startup.start(instance, timeout_s, show_progress)
    log.info("started: %s", name)
    log.info("Log in here: %s", instance.url)


@click.command()
@name_argument
@click.option(
    "--timeout", "timeout_s", type=Number(min=1, max=1e6), default=STOP_TIMEOUT_S, show_default=True,
    metavar="SECONDS",
    help="How long to wait for the server to drain.",
)  # fmt: skip
def stop(name: str, timeout_s: float) -> None:
    """Stop the instance NAME: it drains what it has accepted, then ends.

    Stopping an instance that does not run is no failure.
    """
    from opstrace import homes, server_process

    ran = server_process.stop(homes.find(name), timeout_s)
    log.info("stopped: %s" if ran else "%s was not running", name)


@click.command()
@provider_argument
@name_argument
@json_option
def status(provider: str, name: str, as_json: bool) -> None:
    """Ask every endpoint of every tenant of the instance NAME, over TLS, and show what came of it.

    The exit code is 0 if all is well and 1 if not.
    """
    from opstrace import client, instance, probe, server_process

    found = instance.load(name)
    pid = server_process.pid_of(found)
    summary = _summary(found, pid)
    if not as_json:
        _print_summary(summary)
    asked = client.endpoints(found) if pid is not None else []
    coming = probe.ask_all(asked, client.tls_context(found)) if asked else iter(())
    outcomes = list(coming if as_json else _printed(asked, coming))
    well = bool(outcomes) and not any(outcome.fault for outcome in outcomes)
    if as_json:
        rows = [_outcome_document(outcome) for outcome in outcomes]
        print_json({**summary, "provider": provider, "healthy": well, "endpoints": rows})
    if not well:
        raise click.exceptions.Exit(1)


def _outcome_document(outcome: "Outcome") -> dict[str, Any]:
    return {
        "what": outcome.endpoint.what,
        "tenant": outcome.endpoint.tenant,
        "url": outcome.endpoint.url,
        "ok": outcome.fault is None,
        "fault": outcome.fault,
        "elapsed_ms": round(outcome.elapsed_ms, 1),
    }


def _print_summary(summary: dict[str, Any]) -> None:
    log = summary["log"] or f"standard error of process {summary['pid']}, which `up` runs in the foreground"
    for key, value in {**summary, "state": _state(summary), "log": log}.items():
        if key in ("name", "state", "pid", "url", "home", "log"):
            click.echo(f"{key}: {value or '-'}")


def _printed(asked: Sequence["Endpoint"], outcomes: Iterable["Outcome"]) -> Iterator["Outcome"]:
    """Hand outcomes on, and print a line of a table as each comes."""
    if not asked:
        return
    places = [["ENDPOINT", "TENANT", "ADDRESS"], *([one.what, one.tenant or "-", one.url] for one in asked)]
    head, *lines = aligned([[*place, ""] for place in places])
    click.echo(f"\n{head}RESULT")
    for line, outcome in zip(lines, outcomes, strict=True):
        click.echo(line + _result(outcome))
        yield outcome


def _result(outcome: "Outcome") -> str:
    text = outcome.fault or f"ok, {outcome.elapsed_ms:.0f} ms"
    return click.style(text, fg="red" if outcome.fault else "green") if log_lines.takes_colour(sys.stdout) else text


@click.command("list")
@provider_argument
@json_option
def list_instances(provider: str, as_json: bool) -> None:
    """List the instances of this user."""
    from opstrace import homes

    rows = [_listed(name) for name in homes.names()]
    if as_json:
        print_json([{**row, "provider": provider} for row in rows])
    elif rows:
        cells = [[row["name"], _state(row), row["url"], row["home"]] for row in rows]
        print_table([["NAME", "STATE", "ADDRESS", "HOME"], *cells])
    else:
        log.info("there is no instance of this user; %s", HOW_TO_MAKE_ONE)


def _listed(name: str) -> dict[str, Any]:
    from opstrace import instance, server_process

    try:
        found = instance.load(name)
        return _summary(found, server_process.pid_of(found))
    except OpstraceError as error:
        return {"name": name, "state": "broken", "finished": True, "url": "-", "home": "-", "fault": str(error)}


def _state(summary: dict[str, Any]) -> str:
    if fault := summary.get("fault"):
        return f"broken: {fault}"
    return str(summary["state"]) if summary["finished"] else f"{summary['state']}, creation unfinished"


def _summary(instance: "Instance", pid: int | None) -> dict[str, Any]:
    from opstrace import server_process

    in_file = not pid or server_process.logs_to_file(instance, pid)
    return {
        "name": instance.name,
        "state": "stopped" if pid is None else "running",
        "finished": instance.finished,
        "pid": pid or None,
        "url": instance.url,
        "tenants": list(instance.config.all_tenants),
        "home": str(instance.home),
        "log": str(instance.log_file) if in_file else None,
    }


@click.command()
@provider_argument
@name_argument
@click.option("--yes", is_flag=True, help="Do not ask.")
def destroy(provider: str, name: str, yes: bool) -> None:
    """Stop the instance NAME and remove it with all of its data.

    Token files stay where they are: an instance created beside them later accepts the same tokens. An instance whose
    `data_dir` is not there is only forgotten: what that holds stays in it.
    """
    from opstrace import homes, server_process

    if homes.is_lost(name):
        _forget_lost(name, yes)
        return
    found = homes.find(name)
    if not yes:
        confirm(f"Destroy the instance {name} ({provider}) with all data in {found.home}?")
    server_process.stop(found, STOP_TIMEOUT_S)
    left = homes.remove(found)
    log.info("destroyed: %s (%s)", name, provider)
    if left:
        log.warning("left in %s, as it is not opstrace's: %s", found.home, ", ".join(entry.name for entry in left))


def _forget_lost(name: str, yes: bool) -> None:
    """Know an instance no longer whose data_dir is not there, and which may be back one day."""
    from opstrace import homes

    if not yes:
        confirm(f"The data_dir of {name} is not there; is it mounted? Forget the instance?")
    place = homes.forget_lost(name)
    log.warning("forgot %s, whose data_dir is not there; if %s comes back, its data is in it still", name, place)
