"""The opstrace command."""

import click


@click.group()
@click.version_option(package_name="opstrace")
def main() -> None:
    """Point your Datadog Agents at your own machine."""
