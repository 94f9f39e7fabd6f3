"""What others are told to reach an instance: `agent-config`, `grafana`."""

import logging
from pathlib import Path

import click

from opstrace.cli.options import name_argument, only_instance

log = logging.getLogger("opstrace")


@click.command("agent-config")
@name_argument
@click.option("--tenant", help="Whose Agents; the config's first tenant by default.")
@click.option(
    "--format",
    "notation",
    type=click.Choice(["all", "env", "docker", "yaml", "conf", "helm"]),
    default="all",
    show_default=True,
    help="env: NAME=value lines; docker: a docker run command; yaml: a datadog.yaml; conf: a datadog.conf (Agent 5); "
    "helm: values of its Helm chart.",
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


@click.group()
def grafana() -> None:
    """Work with Grafana."""


def _whole_path(_context: click.Context, _option: click.Parameter, path: Path | None) -> Path | None:
    if path is not None and not path.is_absolute():
        raise click.BadParameter(f"{path} is relative; give the whole path")
    return path


def _directory(_context: click.Context, _argument: click.Parameter, text: str) -> Path:
    if not text:
        raise click.BadParameter("it is empty; give Grafana's provisioning directory")
    return Path(text)


def _web_address(_context: click.Context, _option: click.Parameter, text: str | None) -> str | None:
    from urllib.parse import urlsplit

    if text is None:
        return None
    try:
        given = urlsplit(text)
        right = given.scheme in ("http", "https") and given.hostname and (given.port is None or given.port)
    except ValueError:
        right = False
    if not right:
        raise click.BadParameter(f"{text} is no address; write https://HOST:PORT")
    if "@" in given.netloc:
        raise click.BadParameter("it names a user; Grafana logs in with a tenant's key, so write https://HOST:PORT")
    if "?" in text or "#" in text:
        raise click.BadParameter(f"{text} has a query or a fragment; write https://HOST:PORT")
    if given.scheme == "http" and not _is_loopback(str(given.hostname)):
        raise click.BadParameter(f"the keys would go to {given.hostname} in the clear; write https://HOST:PORT")
    return text


def _is_loopback(host: str) -> bool:
    import ipaddress

    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


@grafana.command("provision")
@click.argument("directory", type=click.Path(file_okay=False), callback=_directory)
@click.option("--instance", "name", help="Which instance; the only one, or the only one that runs, by default.")
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

    written = grafana.provision(instance.load(name or only_instance()), directory, seen_as, url)
    log.info("wrote %d files; data sources for %s", len(written.files), ", ".join(written.tenants))
    for tenant, lack in written.keyless.items():
        log.warning("no data source for %s: its token %s; `opstrace keys rotate` makes a new one", tenant, lack)
