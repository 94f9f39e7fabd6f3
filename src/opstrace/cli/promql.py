"""PromQL without a server: `promql`."""

import sys
from pathlib import Path

import click


@click.group()
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
