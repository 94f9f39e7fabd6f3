"""Arguments and options that commands share."""

import math
from pathlib import Path
from typing import Any, Final

import click

from opstrace.errors import BadQuery, InstanceError

DEFAULT_INSTANCE = "default"
HOW_TO_MAKE_ONE: Final = "`opstrace create local NAME -c FILE` makes one, as does `opstrace up`"


class Number(click.FloatRange):
    """A number in a range; NaN, which passes every check of a range, is refused."""

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
    """Return the name of the one instance there is, or of the one that runs."""
    from opstrace import homes

    names = homes.names()
    if not names:
        raise InstanceError(f"there is no instance; {HOW_TO_MAKE_ONE}")
    running = names if len(names) == 1 else [name for name in names if _runs(name)]
    if len(running) != 1:
        raise InstanceError(f"say which instance: there are {', '.join(names)}")
    return running[0]


def _runs(name: str) -> bool:
    from opstrace import homes, server_process

    try:
        return server_process.pid_of(homes.find(name)) is not None
    except InstanceError:
        return False


class Provider(click.Choice[str]):
    """Where an instance runs; there is one such place."""

    def __init__(self) -> None:
        super().__init__(["local"])

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Tell whoever leaves it out."""
        if value != "local":
            command = f"`{ctx.command_path} local {value}`" if ctx else f"local {value}"
            self.fail(f"{value!r} is no provider; write {command}.", param, ctx)
        return "local"


name_argument = click.argument("name")
provider_argument = click.argument("provider", type=Provider())
tenant_argument = click.argument("tenant")
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON for scripts.")
config_option = click.option(
    "-c",
    "--config",
    "config_file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="The config document (YAML; docs/configuration.md).",
)
# Said here, where what the commands run need not be imported to show it.
READY_TIMEOUT_S: Final = 60.0
STOP_TIMEOUT_S: Final = 60.0

timeout_option = click.option(
    "--timeout", "timeout_s", type=Number(min=1, max=1e6), default=READY_TIMEOUT_S, show_default=True,
    metavar="SECONDS",
    help="How long to wait for every endpoint to answer.",
)  # fmt: skip
