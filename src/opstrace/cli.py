"""The opstrace command.

Results go to standard output, log lines to standard error. Exit codes: 0 done, 1 not (one sentence says why), 2 wrong
usage, 130 interrupted. Modules that take long to load are imported by the commands that need them.
"""

import errno
import json
import logging
import math
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from opstrace import log_lines
from opstrace.errors import BadQuery, ConfigError, InstanceError, OpstraceError

if TYPE_CHECKING:
    from opstrace.instance import Instance
    from opstrace.probe import Endpoint, Outcome

log = logging.getLogger("opstrace")

DEFAULT_INSTANCE = "default"
INTERRUPTED = 130  # 128 + SIGINT, as shells count
_REMOVAL_PAUSE_S = 0.1  # between two looks whether a tenant's data is gone


class Opstrace(click.Group):
    """The group of all commands; turns our exceptions into one line and an exit code."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command that was asked for."""
        log_lines.write_to(sys.stderr)
        os.umask(0o077)
        try:
            return super().invoke(ctx)
        except OpstraceError as error:
            log.error("%s", error)
            ctx.exit(1)
        except KeyboardInterrupt:
            log.error("interrupted; the same command, run again, completes what it began")
            ctx.exit(INTERRUPTED)
        except OSError as error:
            if error.filename is not None or error.errno == errno.EPIPE:  # no stream's, or click's to end quietly
                raise
            if isinstance(error, FileNotFoundError):  # what getcwd says, of no file
                log.error("the current directory is not there any more; run the command in another one")
                ctx.exit(1)
            _shut_output()
            log.error("cannot write the output: %s", error.strerror or error)
            ctx.exit(1)


class Number(click.FloatRange):
    """A number in a range: NaN, which no comparison finds outside of one, is none."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the number; whatever is none is wrong usage."""
        number = super().convert(value, param, ctx)
        if math.isnan(number):
            self.fail(f"{value!r} is not a number.", param, ctx)
        return number


def _duration_ms(_context: click.Context, _option: click.Parameter, text: str | None) -> int | None:
    """Return the milliseconds of a duration as PromQL writes it; none, and one of nothing, are wrong usage."""
    from opstrace.promql.duration import parse_duration

    if text is None:
        return None
    try:
        duration_ms = parse_duration(text)
    except BadQuery as error:
        raise click.BadParameter(f"{error}; write 90s, 5m or 1h30m") from error
    if duration_ms == 0:
        raise click.BadParameter(f"{text} leads nowhere; give a longer one, such as 1m")
    return duration_ms


Command = Callable[..., Any]
_name = click.argument("name")
_provider = click.argument("provider", type=click.Choice(["local"]))
_tenant = click.argument("tenant")
_json = click.option("--json", "as_json", is_flag=True, help="Print JSON for scripts.")
_config = click.option(
    "-c",
    "--config",
    "config_file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="The config document (YAML; docs/configuration.md).",
)
_timeout = click.option(
    "--timeout", "timeout_s", type=Number(min=1, max=1e6), default=60.0, show_default=True, metavar="SECONDS",
    help="How long to wait for every endpoint to answer.",
)  # fmt: skip


@click.group(cls=Opstrace, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="opstrace")
def main() -> None:
    """Point your Datadog Agents at your own machine.

    An instance is one server with its data, tenants, keys and certificates. `create` makes one and starts it in the
    background; `up` runs one in the foreground.
    """


@main.command()
@_provider
@_name
@_config
@_timeout
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
    instance = startup.start(instance, timeout_s, _progress)
    log.info("cluster creation finished: %s (%s)", name, provider)
    log.info("Log in here: %s", instance.url)


@main.command()
@click.argument("name", default=DEFAULT_INSTANCE)
@_config
@click.option("--dogstatsd", is_flag=True, help="Hear DogStatsD, too, this time; the config need not say so.")
def up(name: str, config_file: Path | None, dogstatsd: bool) -> None:
    """Run the instance NAME in the foreground, making it if there is none.

    NAME is `default` if it is left out, and so is the tenant of an instance made without a config. With -c the
    config of an existing instance is replaced. Ctrl+C or SIGTERM drains and stops.
    """
    from opstrace import config, instance, server_process, startup

    document = config.load(config_file) if config_file else None
    instance.follow(name, document)
    before = instance.load(name, document).keys if instance.exists(name) else {}
    if document is None and not instance.exists(name):
        document = config.DEFAULT
    prepared = startup.prepare(name, document, Path.cwd(), rewrite_tokens=False)
    if dogstatsd:
        prepared = instance.with_dogstatsd(prepared)
    with server_process.held(prepared):
        _serve(prepared, lambda: _announce(prepared, set(before)))


@main.command(hidden=True)
@_name
@click.argument("lock", type=int)
def serve(name: str, lock: int) -> None:
    """Serve the instance NAME, which `create` or `start` prepared, with the lock inherited from them."""
    from opstrace import instance, server_process

    found = instance.load(name)
    with server_process.inherited(found, lock):
        _serve(found, lambda: None)


@main.command()
@_name
@_config
@_timeout
def start(name: str, config_file: Path | None, timeout_s: float) -> None:
    """Start the instance NAME in the background.

    With -c its config is replaced: new tenants get tokens, the certificate gets their names.
    """
    from opstrace import config, startup

    document = config.load(config_file) if config_file else None
    instance = startup.prepare(name, document, Path.cwd(), rewrite_tokens=False)
    instance = startup.start(instance, timeout_s, _progress)
    log.info("started: %s", name)
    log.info("Log in here: %s", instance.url)


@main.command()
@_name
@click.option(
    "--timeout", "timeout_s", type=Number(min=1, max=1e6), default=60.0, show_default=True, metavar="SECONDS",
    help="How long to wait for the server to drain.",
)  # fmt: skip
def stop(name: str, timeout_s: float) -> None:
    """Stop the instance NAME: it drains what it has accepted, then ends.

    Stopping an instance that does not run is no failure.
    """
    from opstrace import instance, server_process

    ran = server_process.stop(instance.find(name), timeout_s)
    log.info("stopped: %s" if ran else "%s was not running", name)


@main.command()
@_provider
@_name
@_json
def status(provider: str, name: str, as_json: bool) -> None:
    """Ask every endpoint of every tenant of the instance NAME, over TLS, and show what came of it.

    The exit code is 0 if all is well and 1 if not.
    """
    from opstrace import instance, probe, server_process

    found = instance.load(name)
    pid = server_process.pid_of(found)
    summary = _summary(found, pid)
    if not as_json:
        _print_summary(summary)
    asked = probe.endpoints(found) if pid is not None else []
    coming = probe.ask_all(asked, probe.client_context(found)) if asked else iter(())
    outcomes = list(coming if as_json else _printed(asked, coming))
    well = bool(outcomes) and not any(outcome.fault for outcome in outcomes)
    if as_json:
        rows = [_outcome_document(outcome) for outcome in outcomes]
        _print_json({**summary, "provider": provider, "healthy": well, "endpoints": rows})
    if not well:
        raise click.exceptions.Exit(1)


@main.command("list")
@_provider
@_json
def list_instances(provider: str, as_json: bool) -> None:
    """List the instances of this user."""
    from opstrace import instance

    rows = [_listed(name) for name in instance.names()]
    if as_json:
        _print_json([{**row, "provider": provider} for row in rows])
    elif rows:
        cells = [[row["name"], _state(row), row["url"], row["home"]] for row in rows]
        _print_table([["NAME", "STATE", "ADDRESS", "HOME"], *cells])


@main.command()
@_provider
@_name
@click.option("--yes", is_flag=True, help="Do not ask.")
def destroy(provider: str, name: str, yes: bool) -> None:
    """Stop the instance NAME and remove it with all of its data.

    Token files stay where they are: an instance created beside them later accepts the same tokens. An instance whose
    `data_dir` is not there is only forgotten: what that holds stays in it.
    """
    from opstrace import instance, server_process

    if instance.is_lost(name):
        _forget_lost(name, yes)
        return
    found = instance.find(name)
    if not yes:
        _confirm(f"Destroy the instance {name} ({provider}) with all data in {found.home}?")
    server_process.stop(found)
    left = instance.remove(found)
    log.info("destroyed: %s (%s)", name, provider)
    if left:
        log.warning("left in %s, as it is not opstrace's: %s", found.home, ", ".join(entry.name for entry in left))


@main.command("agent-config")
@_name
@click.option("--tenant", help="Whose Agents; the config's first tenant by default.")
@click.option(
    "--format",
    "notation",
    type=click.Choice(["all", "env", "docker", "yaml", "helm"]),
    default="all",
    show_default=True,
    help="env: NAME=value lines; docker: a docker run command; yaml: a datadog.yaml; helm: values of its Helm chart.",
)
def agent_config(name: str, tenant: str | None, notation: str) -> None:
    """Print what makes a Datadog Agent send to the instance NAME, ready to paste.

    The token is in the text if its file is still where it was written; keep the output to yourself then.
    """
    from opstrace import agent_settings, instance

    target = agent_settings.target_of(instance.load(name), tenant)
    if notation == "all":
        click.echo(agent_settings.everything(target), nl=False)
    else:
        click.echo(agent_settings.NOTATIONS[notation](target), nl=False)


@main.command()
@_name
@click.option("--hours", type=Number(min=0, max=1e6), default=24.0, show_default=True, help="How far to look back.")
@_json
def losses(name: str, hours: float, as_json: bool) -> None:
    """Show what every sender sent to the instance NAME, and what became of it.

    Received is stored, refused, kept or duplicate; what is late was stored. Below stands what is kept as it came,
    because no decoder understands it yet. The instance must run.
    """
    import time

    from opstrace import admin_client, instance

    found = admin_client.ask(instance.load(name), "GET", f"/admin/losses?from={int(time.time() - hours * 3600)}")
    if as_json:
        _print_json(found)
        return
    _print_table(admin_client.losses_table(found["entries"]))
    if found["kept"]:
        click.echo()
        _print_table(admin_client.kept_table(found["kept"]))


@main.command()
@_name
@_json
def replay(name: str, as_json: bool) -> None:
    """Feed what the instance NAME has kept to the decoders of this version, and show what became of it.

    What is stored now is kept no longer; all else stays. The instance must run.
    """
    from opstrace import admin_client, instance

    found = admin_client.ask(instance.load(name), "POST", "/admin/replay")
    if as_json:
        _print_json(found)
    else:
        _print_table(admin_client.replayed_table(found["replayed"]))


@main.command()
@click.argument("expression")
@click.argument("name", required=False)
@click.option("--tenant", help="Whose series; the config's first tenant by default.")
@click.option(
    "--range", "range_ms", callback=_duration_ms, metavar="DURATION", help="Over this long until now: 1h, 90m, 1d."
)
@click.option(
    "--step",
    "step_ms",
    callback=_duration_ms,
    metavar="DURATION",
    help="Between two values; by default they fill a line.",
)
@click.option("--limit", type=click.IntRange(min=1), default=40, show_default=True, help="Series that are shown.")
@_json
def query(
    expression: str,
    name: str | None,
    tenant: str | None,
    range_ms: int | None,
    step_ms: int | None,
    limit: int,
    as_json: bool,
) -> None:
    """Ask PromQL of the instance NAME and show the answer: its value now, or with --range a line a series.

    NAME may be left out where there is one instance. The token is read from the file it was written to.
    """
    import time

    from opstrace import instance, query_client

    if step_ms is not None and range_ms is None:
        raise click.UsageError("--step needs --range")
    found = instance.load(name or _only_instance())
    asked = {"query": expression, "time": f"{time.time():.3f}"}
    endpoint = "query"
    if range_ms is not None:
        times = query_client.times_of(time.time_ns() // 1_000_000, range_ms, step_ms)
        endpoint, asked = "query_range", {"query": expression, **times}
    document = query_client.ask(found, query_client.tenant_of(found, tenant), endpoint, asked)
    if as_json:
        _print_json(document)
        return
    _print_table(query_client.table(document["data"], limit))
    for remark in (*document.get("warnings", []), *document.get("infos", [])):
        log.warning("%s", remark)


def _only_instance() -> str:
    """Return the name of the one instance there is."""
    from opstrace import instance

    names = instance.names()
    if len(names) != 1:
        raise InstanceError(f"say which instance: there are {', '.join(names)}" if names else "there is no instance")
    return names[0]


@main.command("dogstatsd-stats")
@_name
@_json
def dogstatsd_stats(name: str, as_json: bool) -> None:
    """Show the metric names that the DogStatsD server of the instance NAME hears of most.

    LINES are all since it started, RECENT those of the last three buckets of 10 s. The instance must run.
    """
    from opstrace import admin_client, instance

    found = admin_client.ask(instance.load(name), "GET", "/admin/dogstatsd")
    if as_json:
        _print_json(found)
    elif not found.get("enabled", True):  # a server of before does not say
        raise InstanceError(
            f"DogStatsD of {name} is off; set dogstatsd.enabled in its config to true and start it anew, "
            f"or run it by `opstrace up {name} --dogstatsd`"
        )
    else:
        _print_table(admin_client.busiest_table(found["names"]))


@main.group()
def keys() -> None:
    """Work with the tenants' keys."""


@keys.command("list")
@_name
@_json
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
        _print_json(rows)
        return
    table = [[str(row["tenant"]), str(row["keys"]), str(row["token_file"] or "-"), _remark(row)] for row in rows]
    _print_table([["TENANT", "KEYS", "TOKEN FILE", ""], *table])


@keys.command("rotate")
@_name
@_tenant
def keys_rotate(name: str, tenant: str) -> None:
    """Give TENANT of the instance NAME a new key, written over the old one in its token file.

    The old one stays valid until `keys revoke`. A running server knows the new one at once.
    """
    from opstrace import token_files

    found = _with_tenant(name, tenant)
    path = token_files.rotate(found, tenant)
    log.info("write api token for tenant %s to file %s", tenant, path)
    _reload(name)


@keys.command("revoke")
@_name
@_tenant
def keys_revoke(name: str, tenant: str) -> None:
    """Make every key of TENANT of the instance NAME invalid but the newest; sessions opened with them end."""
    from opstrace import token_files

    revoked = token_files.revoke(_with_tenant(name, tenant), tenant)
    log.info("tenant %s: %d %s revoked, the newest stays", tenant, revoked, "key" if revoked == 1 else "keys")
    _reload(name)


@main.group()
def tenants() -> None:
    """Add and remove tenants, also while the server runs."""


@tenants.command("list")
@_name
@click.option("--usage", is_flag=True, help="Count what each has; takes a while where that is much.")
@_json
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
        _print_json({"tenants": held, "leaving": list(found.leaving)})
        return
    table = [[str(row["tenant"]), str(row["keys"]), _own_limits(row["limits"]), str(row["url"])] for row in rows]
    leaving = [[tenant, "0", "-", "removed; its data is still there"] for tenant in found.leaving]
    lines = [["TENANT", "KEYS", "OWN LIMITS", "AGENTS SEND TO"], *table, *leaving]
    has = {"TENANT": "HAS", **{tenant: document["text"] for tenant, document in counted.items()}}
    _print_table([[*line, has.get(line[0], "")] for line in lines] if usage else lines)


@tenants.command("add")
@_name
@_tenant
def tenants_add(name: str, tenant: str) -> None:
    """Add TENANT to the instance NAME, with a key in a token file in the current directory.

    A running server takes its payloads at once, and serves a certificate that has its names.
    """
    from opstrace import roster

    roster.add(name, tenant, Path.cwd())
    _reload(name)
    log.info("added: tenant %s of %s", tenant, name)
    log.info("what its Agents need is printed by: opstrace agent-config %s --tenant %s", name, tenant)


@tenants.command("remove")
@_name
@_tenant
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


@main.group()
def limits() -> None:
    """Look at and set limits and retention, also while the server runs."""


_of_tenant = click.option("--tenant", help="Of this tenant; of all by default.")


@limits.command("show")
@_name
@_of_tenant
@_json
def limits_show(name: str, tenant: str | None, as_json: bool) -> None:
    """Show retention and limits of the instance NAME, or the limits that may be set of one tenant."""
    from dataclasses import asdict

    from opstrace import instance, roster

    found = instance.load(name)
    if tenant is not None:
        roster.check_tenant(found, tenant)
    settings = roster.settings(found.config, tenant)
    waiting = _waiting(found)
    if as_json:
        _print_json([{**asdict(one), "live": one.live, "waiting": one.name in waiting} for one in settings])
        return
    effect = {one.name: "at once" if one.live else "at a start" for one in settings}
    effect |= dict.fromkeys(waiting & effect.keys(), "at the next start; the server has the value before")
    rows = [[one.name, f"{one.value:.15g}", one.origin, effect[one.name]] for one in settings]
    _print_table([["LIMIT", "VALUE", "SET", "TAKES EFFECT"], *rows])


@limits.command("set")
@_name
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
            _confirm(f"Remove {what} of {name} that are older than {days} days?")
    roster.set_limits(name, tenant, values)
    waiting = _reload(name)
    log.info("set for %s: %s", f"tenant {tenant}" if tenant else "all tenants", ", ".join(given))
    if waiting:
        log.warning("the running server takes these in at its next start: %s", ", ".join(waiting))


@main.group()
def grafana() -> None:
    """Work with Grafana."""


def _whole_path(_context: click.Context, _option: click.Parameter, path: Path | None) -> Path | None:
    if path is not None and not path.is_absolute():
        raise click.BadParameter(f"{path} is relative; give the whole path")
    return path


def _web_address(_context: click.Context, _option: click.Parameter, text: str | None) -> str | None:
    from urllib.parse import urlsplit

    try:
        given = urlsplit(text or "")
        right = given.scheme in ("http", "https") and given.hostname and (given.port is None or given.port)
    except ValueError:
        right = False
    if text is not None and not right:
        raise click.BadParameter(f"{text} is no address; write https://HOST:PORT")
    return text


@grafana.command("provision")
@click.argument("directory", type=click.Path(path_type=Path, file_okay=False))
@click.option("--instance", "name", help="Which instance; the only one by default.")
@click.option(
    "--seen-as",
    type=click.Path(path_type=Path),
    callback=_whole_path,
    help="DIRECTORY as Grafana sees it, if it sees it elsewhere.",
)
@click.option(
    "--url", callback=_web_address, help="Where Grafana reaches the server, if not at the address Agents use."
)
def grafana_provision(directory: Path, name: str | None, seen_as: Path | None, url: str | None) -> None:
    """Write data sources and dashboards into DIRECTORY, Grafana's provisioning directory.

    The data sources hold the tenants' keys: keep the directory from others.
    """
    from opstrace import grafana, instance

    written = grafana.provision(instance.load(name or _only_instance()), directory, seen_as, url)
    log.info("wrote %d files; data sources for %s", len(written.files), ", ".join(written.tenants))
    for tenant, lack in written.keyless.items():
        log.warning("no data source for %s: its token %s; `opstrace keys rotate` makes a new one", tenant, lack)


@main.group()
def promql() -> None:
    """Work with PromQL."""


@promql.command("test")
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path, dir_okay=False))
@click.option("-v", "--verbose", is_flag=True, help="Print every failure, not only the first of each file.")
def promql_test(files: tuple[Path, ...], verbose: bool) -> None:
    """Run test scripts in Prometheus's own language against this version's engine and store.

    Prints passed and failed evaluations for each file, its first failure, and the totals last; the exit code is 1 if
    anything failed, or a file is no script.
    """
    from opstrace.promql.engine import Engine
    from opstrace.promql.testscript import FreshTenants, print_reports, run_files
    from opstrace.store.embedded import temporary_store

    with temporary_store() as store:
        code = print_reports(run_files(files, FreshTenants(store), Engine()), sys.stdout, verbose=verbose)
    raise click.exceptions.Exit(code)


def _stop_unfinished(name: str) -> None:
    """Clear the way for a creation: what an interrupted one left running ends; a finished instance is refused."""
    from opstrace import instance, server_process

    if not instance.exists(name):
        return
    begun = instance.find(name)
    if begun.finished:
        raise InstanceError(
            f"the instance {name} exists already; start it by `opstrace start {name}`, or remove it by "
            f"`opstrace destroy local {name}`"
        )
    server_process.stop(begun)


def _forget_lost(name: str, yes: bool) -> None:
    """Know an instance no longer whose data_dir is not there, and which may be back one day."""
    from opstrace import instance

    if not yes:
        _confirm(f"The data_dir of {name} is not there; is it mounted? Forget the instance?")
    place = instance.forget_lost(name)
    log.warning("forgot %s, whose data_dir is not there; if %s comes back, its data is in it still", name, place)


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


def _announce(instance: "Instance", known: set[str]) -> None:
    """Print what a person needs now that the instance serves; tokens only of tenants not `known` before."""
    from opstrace import agent_settings, certificates
    from opstrace import instance as instances

    instances.finish(instance)
    tenant = instance.config.tenants[0]
    target = agent_settings.target_of(instance, tenant)
    lines = [f"Log in here:    {instance.url}", f"Agents send to: {target.url}"]
    if target.plain_url:
        lines.append(f"            or: {target.plain_url} (this machine only, without TLS)")
    if anchor := certificates.trust_anchor(instance):
        lines += [f"Trust anchor:   {anchor[0]}", f"       SHA-256: {anchor[1]}"]
    target = target if tenant not in known else agent_settings.without_key(target)
    lines += ["", f"# Settings of an Agent of tenant {tenant}; other forms: opstrace agent-config {instance.name}"]
    _tell("\n".join([*lines, agent_settings.environment(target)]))


def _tell(text: str) -> None:
    """Print what a server that nobody may be reading goes on without."""
    try:
        click.echo(text)
    except OSError as error:
        _shut_output()
        log.warning("cannot print the settings of Agents: %s; `opstrace agent-config` does", error.strerror or error)


def _shut_output() -> None:
    """Write to nowhere what standard output did not take: at its end the process would try again, and fail."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


def _progress(answered: int, total: int) -> None:
    if sys.stderr.isatty():
        click.echo(f"\r{answered} of {total} endpoints answer", err=True, nl=answered == total)


def _with_tenant(name: str, tenant: str) -> "Instance":
    from opstrace import instance, roster

    found = instance.load(name)
    roster.check_tenant(found, tenant)
    return found


def _reload(name: str) -> list[str]:
    """Have a running server take in tenants, keys and limits; return the limits that it takes in at a start only."""
    from opstrace import admin_client, instance, server_process

    found = instance.load(name)
    if server_process.pid_of(found) is None:
        return []
    waiting: list[str] = admin_client.ask(found, "POST", "/admin/reload")["at_restart"]
    return waiting


def _waiting(instance: "Instance") -> set[str]:
    """Return the limits that were set and that a running server takes in at its next start."""
    from opstrace import admin_client, server_process

    if server_process.pid_of(instance) is None:
        return set()
    return {*admin_client.ask(instance, "GET", "/admin/limits")["at_restart"]}


def _holdings(instance: "Instance", tenants: Sequence[str]) -> dict[str, Any]:
    """Return how much each tenant has: from the server if one runs, else from the store itself."""
    from opstrace import admin_client, estate, server_process

    if server_process.pid_of(instance) is not None:
        return {one: admin_client.ask(instance, "GET", f"/admin/tenants/{one}")["holdings"] for one in tenants}
    with server_process.held(instance), estate.opened(instance) as removal:
        return {one: estate.holdings(instance, removal, one).document for one in tenants}


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
    _confirm(f"Remove tenant {tenant} of {instance.name} with all it has: {holdings}?")


def _confirm(question: str) -> None:
    """Ask before what cannot be undone; raise ConfigError unless the answer is yes."""
    sure = False
    refusal = "nothing was done, as the answer was not yes"
    try:
        sure = click.confirm(question, err=True)
    except click.Abort:
        if sys.stdin.isatty():
            raise
        refusal = "there is nobody to answer, so nothing was done; --yes does not ask"
    if not sys.stdin.isatty():
        click.echo(err=True)  # ends the question's line, as a key would have
    if not sure:
        raise ConfigError(refusal)


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


def _own_limits(limits: Any) -> str:
    return ", ".join(f"{name} {value:.15g}" for name, value in limits.items()) or "-"


def _remark(row: dict[str, Any]) -> str:
    """Say what there is to know of a tenant's token file."""
    if row["there"] or not row["keys"]:
        return ""
    return "does not hold one of them any more" if row["token_file"] else "never written to a file"


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
    return {
        "name": instance.name,
        "state": "stopped" if pid is None else "running",
        "finished": instance.finished,
        "pid": pid or None,
        "url": instance.url,
        "tenants": list(instance.config.all_tenants),
        "home": str(instance.home),
        "log": str(instance.log_file),
    }


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
    for key, value in {**summary, "state": _state(summary)}.items():
        if key in ("name", "state", "pid", "url", "home", "log"):
            click.echo(f"{key}: {value or '-'}")


def _printed(asked: Sequence["Endpoint"], outcomes: Iterable["Outcome"]) -> Iterator["Outcome"]:
    """Hand outcomes on, and print a line of a table as each comes."""
    if not asked:
        return
    places = [["ENDPOINT", "TENANT", "ADDRESS"], *([one.what, one.tenant or "-", one.url] for one in asked)]
    head, *lines = _aligned([[*place, ""] for place in places])
    click.echo(f"\n{head}RESULT")
    for line, outcome in zip(lines, outcomes, strict=True):
        click.echo(line + _result(outcome))
        yield outcome


def _result(outcome: "Outcome") -> str:
    text = outcome.fault or f"ok, {outcome.elapsed_ms:.0f} ms"
    return click.style(text, fg="red" if outcome.fault else "green") if log_lines.takes_colour(sys.stdout) else text


def _print_table(rows: list[list[str]]) -> None:
    for line in _aligned([[*map(log_lines.printable, row)] for row in rows]):
        click.echo(line)


def _aligned(rows: list[list[str]]) -> list[str]:
    """Return rows as lines whose columns stand below each other."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]) - 1)]
    padded = [[cell.ljust(width) for cell, width in zip(row, widths, strict=False)] for row in rows]
    return ["  ".join([*cells, row[-1]]) for cells, row in zip(padded, rows, strict=True)]


def _print_json(value: object) -> None:
    click.echo(json.dumps(value, indent=2))
