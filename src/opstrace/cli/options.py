"""Arguments and options that commands share."""

import math
from pathlib import Path
from typing import Any

import click

from opstrace.errors import BadQuery, InstanceError

DEFAULT_INSTANCE = "default"


class Number(click.FloatRange):
    """A number in a range: NaN, which no comparison finds outside of one, is none."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the number; whatever is none is wrong usage."""
        number = super().convert(value, param, ctx)
        if math.isnan(number):
            self.fail(f"{value!r} is not a number.", param, ctx)
        return number


def duration_ms(_context: click.Context, _option: click.Parameter, text: str | None) -> int | None:
    """Return the milliseconds of a duration as PromQL writes it; none, and one of nothing, are wrong usage."""
    from opstrace.promql.duration import parse_duration

    if text is None:
        return None
    try:
        milliseconds = parse_duration(text)
    except BadQuery as error:
        raise click.BadParameter(f"{error}; write 90s, 5m or 1h30m") from error
    if milliseconds == 0:
        raise click.BadParameter(f"{text} leads nowhere; give a longer one, such as 1m")
    return milliseconds


def only_instance() -> str:
    """Return the name of the one instance there is."""
    from opstrace import instance

    names = instance.names()
    if len(names) != 1:
        raise InstanceError(f"say which instance: there are {', '.join(names)}" if names else "there is no instance")
    return names[0]


name_argument = click.argument("name")
provider_argument = click.argument("provider", type=click.Choice(["local"]))
tenant_argument = click.argument("tenant")
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON for scripts.")
config_option = click.option(
    "-c",
    "--config",
    "config_file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="The config document (YAML; docs/configuration.md).",
)
timeout_option = click.option(
    "--timeout", "timeout_s", type=Number(min=1, max=1e6), default=60.0, show_default=True, metavar="SECONDS",
    help="How long to wait for every endpoint to answer.",
)  # fmt: skip
