"""`scripts/bench [--json FILE] [--runs N] [row …]`: measure us and the peers in one go, print one table."""

import argparse
import sys
import tempfile
from collections.abc import Callable
from importlib.metadata import version as package_version
from pathlib import Path

from bench import dogstatsd, families, intake, query, scale, ui
from bench.products import OPSTRACE, PRODUCTS, version
from bench.report import Row, as_json, table

GROUPS: dict[str, Callable[[Path, int], list[Row]]] = {
    "idle": lambda directory, _: intake.idle(directory),
    "intake": intake.throughput,
    "acknowledgement": lambda directory, _: intake.acknowledgement(directory),
    "agents": lambda directory, _: intake.agents(directory),
    "dogstatsd": lambda directory, _: dogstatsd.rows(directory),
    "families": families.families,
    "query": lambda directory, _: query.queries(directory, query.HOUR),
    "query-day": lambda directory, _: query.queries(directory, query.DAY),
    "query-opened": lambda directory, _: query.opened(directory),
    "query-memory": lambda directory, _: query.query_memory(directory),
    "host_tags": lambda directory, _: query.host_tags(directory),
    "beside": lambda directory, _: query.beside_queries(directory),
    "scale": scale.scale,
    "ui": lambda directory, _: ui.pages(directory),
}


def main() -> None:
    """Run the groups that were named, all by default."""
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__)
    parser.add_argument("groups", nargs="*", metavar="group", help=f"of {', '.join(GROUPS)}; all without one")
    parser.add_argument("--runs", type=int, default=3, help="runs of the intake rows, of which the median is shown")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the rows there as JSON, too; - is stdout")
    chosen = parser.parse_args()
    for unknown in set(chosen.groups) - GROUPS.keys():
        parser.error(f"there is no group {unknown}; there are {', '.join(GROUPS)}")
    rows = measure(chosen.groups or list(GROUPS), chosen.runs)
    versions = {
        product: package_version(product) if product == OPSTRACE else version(product)
        for product in PRODUCTS
        if any(product in row.values for row in rows)
    }
    if str(chosen.json) == "-":
        print(as_json(rows, versions))
        return
    print(table(rows))
    print("\n" + ", ".join(f"{name} {number}" for name, number in versions.items()))
    if chosen.json:
        chosen.json.write_text(as_json(rows, versions) + "\n")


def measure(groups: list[str], runs: int) -> list[Row]:
    """Return the rows of the groups, each measured in a directory that is gone afterwards."""
    rows: list[Row] = []
    for group in groups:
        print(f"bench: {group} …", file=sys.stderr, flush=True)
        with tempfile.TemporaryDirectory(prefix="opstrace-bench-") as directory:
            rows += GROUPS[group](Path(directory), runs)
    return rows


if __name__ == "__main__":
    main()
