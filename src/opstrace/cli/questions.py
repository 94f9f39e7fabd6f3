"""What a running server is asked: `losses`, `replay`, `query`, `dogstatsd-stats`."""

import logging

import click

from opstrace.cli.options import Number, duration_ms, json_option, name_argument, only_instance
from opstrace.cli.output import print_json, print_table
from opstrace.errors import InstanceError

log = logging.getLogger("opstrace")


@click.command()
@name_argument
@click.option("--hours", type=Number(min=0, max=1e6), default=24.0, show_default=True, help="How far to look back.")
@json_option
def losses(name: str, hours: float, as_json: bool) -> None:
    """Show what every sender sent to the instance NAME, and what became of it.

    Received is stored, refused, kept or duplicate; what is late was stored. Below stands what is kept as it came,
    because no decoder understands it yet. The instance must run.
    """
    import time

    from opstrace import admin_client, instance

    found = admin_client.ask(instance.load(name), "GET", f"/admin/losses?from={int(time.time() - hours * 3600)}")
    if as_json:
        print_json(found)
        return
    print_table(admin_client.losses_table(found["entries"]))
    if found["kept"]:
        click.echo()
        print_table(admin_client.kept_table(found["kept"]))


@click.command()
@name_argument
@json_option
def replay(name: str, as_json: bool) -> None:
    """Feed what the instance NAME has kept to the decoders of this version, and show what became of it.

    What is stored now is kept no longer; all else stays. The instance must run.
    """
    from opstrace import admin_client, instance

    found = admin_client.ask(instance.load(name), "POST", "/admin/replay")
    if as_json:
        print_json(found)
    elif found["replayed"]:
        print_table(admin_client.replayed_table(found["replayed"]))
    else:
        log.info("nothing is kept")


@click.command()
@click.argument("expression")
@click.argument("name", required=False)
@click.option("--tenant", help="Whose series; the config's first tenant by default.")
@click.option(
    "--range", "range_ms", callback=duration_ms, metavar="DURATION", help="Query a range that ends now: 1h, 90m, 1d."
)
@click.option(
    "--step",
    "step_ms",
    callback=duration_ms,
    metavar="DURATION",
    help="Step of the range; by default as many values as fit the line.",
)
@click.option("--limit", type=click.IntRange(min=1), default=40, show_default=True, help="Series that are shown.")
@json_option
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

    NAME may be left out where there is one instance, or one that runs. The token is read from its file.
    """
    import time

    from opstrace import instance, query_client

    if step_ms is not None and range_ms is None:
        raise click.UsageError("--step needs --range")
    found = instance.load(name or only_instance())
    asked = {"query": expression, "time": f"{time.time():.3f}"}
    endpoint, steps = "query", None
    if range_ms is not None:
        steps = query_client.Steps.until(time.time_ns() // 1_000_000, range_ms, step_ms)
        endpoint, asked = "query_range", {"query": expression, **steps.parameters}
    document = query_client.ask(found, query_client.tenant_of(found, tenant), endpoint, asked)
    if as_json:
        print_json(document)
        return
    if document["data"]["result"]:
        print_table(query_client.table(document["data"], limit, steps))
    else:
        log.info("no series")
    for remark in (*document.get("warnings", []), *document.get("infos", [])):
        log.warning("%s", remark)


@click.command("dogstatsd-stats")
@name_argument
@json_option
def dogstatsd_stats(name: str, as_json: bool) -> None:
    """Show the metric names that the DogStatsD server of the instance NAME hears of most.

    LINES are all since it started, RECENT those of the last three buckets of 10 s. The instance must run.
    """
    from opstrace import admin_client, instance

    found = admin_client.ask(instance.load(name), "GET", "/admin/dogstatsd")
    enabled = found.get("enabled", True)  # a server of before does not say
    if as_json:
        print_json(found)
    elif enabled:
        print_table(admin_client.busiest_table(found["names"]))
    if not enabled:
        raise InstanceError(
            f"DogStatsD of {name} is off; set dogstatsd.enabled in its config to true and start it anew, "
            f"or run it by `opstrace up {name} --dogstatsd`"
        )
