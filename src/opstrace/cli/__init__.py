"""The opstrace command.

Results go to standard output, log lines to standard error. Exit codes: 0 done, 1 not (one sentence says why), 2 wrong
usage, 130 interrupted. Modules that take long to load are imported by the commands that need them.
"""

import logging
import os
import sys
from typing import Any

import click

from opstrace import log_lines
from opstrace.cli import clients, instances, limits, promql, questions, tenants
from opstrace.cli.output import open_closed_streams, shut_output
from opstrace.errors import OpstraceError

log = logging.getLogger("opstrace")

INTERRUPTED = 130  # 128 + SIGINT, as shells count


class Opstrace(click.Group):
    """The group of all commands; turns our exceptions into one line and an exit code."""

    def main(self, *arguments: Any, **settings: Any) -> Any:
        """Run the command line; output that cannot be written is one line, and that of `--help`, too."""
        open_closed_streams()
        log_lines.write_to(sys.stderr)
        try:
            return super().main(*arguments, **settings)
        except OSError as error:
            if error.filename is not None:  # no stream's
                raise
            if isinstance(error, FileNotFoundError):  # what getcwd says, of no file
                log.error("the current directory is not there any more; run the command in another one")
            else:
                shut_output()
                log.error("cannot write the output: %s", error.strerror or error)
            sys.exit(1)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command that was asked for."""
        os.umask(0o077)
        try:
            return super().invoke(ctx)
        except OpstraceError as error:
            log.error("%s", error)
            ctx.exit(1)
        except KeyboardInterrupt:
            log.error("interrupted; the same command, run again, completes what it began")
            ctx.exit(INTERRUPTED)


@click.group(cls=Opstrace, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="opstrace")
def main() -> None:
    """Point your Datadog Agents at your own machine.

    An instance is one server with its data, tenants, keys and certificates. `create` makes one and starts it in the
    background; `up` runs one in the foreground.
    """


for command in (
    instances.create,
    instances.up,
    instances.serve,
    instances.start,
    instances.stop,
    instances.status,
    instances.list_instances,
    instances.destroy,
    clients.agent_config,
    clients.grafana,
    questions.losses,
    questions.replay,
    questions.query,
    questions.dogstatsd_stats,
    tenants.keys,
    tenants.tenants,
    limits.limits,
    promql.promql,
):
    main.add_command(command)
