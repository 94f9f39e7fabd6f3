"""What commands print, and what they ask."""

import json
import logging
import os
import sys
from pathlib import Path

import click

from opstrace import log_lines
from opstrace.errors import ConfigError

log = logging.getLogger("opstrace")


def print_table(rows: list[list[str]]) -> None:
    """Print rows in columns, the first row being their names; what senders said is made printable."""
    for line in aligned([[*map(log_lines.printable, row)] for row in rows]):
        click.echo(line.rstrip())


def aligned(rows: list[list[str]]) -> list[str]:
    """Return rows as lines whose columns stand below each other."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]) - 1)]
    padded = [[cell.ljust(width) for cell, width in zip(row, widths, strict=False)] for row in rows]
    return ["  ".join([*cells, row[-1]]) for cells, row in zip(padded, rows, strict=True)]


def print_json(value: object) -> None:
    """Print a document for scripts."""
    click.echo(json.dumps(value, indent=2))


def tell(text: str) -> None:
    """Print a text; a server goes on even if standard output is closed."""
    try:
        click.echo(text)
    except OSError as error:
        shut_output()
        log.warning("cannot print the settings of Agents: %s; `opstrace agent-config` does", error.strerror or error)


def open_closed_streams() -> None:
    """Put nothing, and nowhere, in the place of standard streams that are closed.

    Else the next file that is opened would take a stream's number, and whatever writes to that would write into it.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open(mode, encoding="utf-8"))  # noqa: SIM115  (until the end)


def shut_output() -> None:
    """Write to nowhere what standard output did not take: at its end the process would try again, and fail."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


def show_progress(answered: int, total: int) -> None:
    """Say on a terminal how many endpoints answer."""
    if sys.stderr.isatty():
        click.echo(f"\r{answered} of {total} endpoints answer", err=True, nl=answered == total)


def confirm(question: str) -> None:
    """Ask before what cannot be undone, once; raise ConfigError unless the answer is yes."""
    sure = False
    refusal = "nothing was done, as the answer was not yes"
    try:
        answer = click.prompt(f"{question} [y/N]", default="", show_default=False, err=True)
        sure = answer.strip().lower() in ("y", "yes")
    except click.Abort as abort:
        click.echo(err=True)  # ends the question's line
        if isinstance(abort.__context__, KeyboardInterrupt):
            raise KeyboardInterrupt from None
        if not sys.stdin.isatty():
            refusal = "there is nobody to answer, so nothing was done; --yes does not ask"
    else:
        if not sys.stdin.isatty():
            click.echo(err=True)  # as a key would have
    if not sure:
        raise ConfigError(refusal)
