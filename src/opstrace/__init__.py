"""Datadog's protocols in, durable columnar storage, PromQL out."""

from importlib.metadata import version

__version__ = version("opstrace")
