"""The obvious translation from a Datadog series to its labels, one rule a line: the judge of the fast one."""

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence

from end_to_end.instance import LabelSet

RESERVED = {"__name__", "instance", "job", "type"}


def metric_name(sent: str) -> str:
    """Return the Prometheus name; empty when the series must be refused."""
    name = re.sub("[^a-zA-Z0-9_:]", "_", sent.removeprefix("n_o_i_n_d_e_x."))
    return f"_{name}" if name[:1].isdigit() else name


def label_name(key: str) -> str:
    """Return the label of a tag's key, or of a resource's type."""
    name = re.sub("[^a-zA-Z0-9_]", "_", key)
    name = f"_{name}" if not name or name[0].isdigit() else name
    return f"tag_{name}" if name in RESERVED else name


def pair(tag: str) -> tuple[str, str]:
    """Return key and value of a tag."""
    key, colon, value = tag.partition(":")
    return key, value if colon else "true"


def together(values: set[str]) -> str:
    """Return the value of a key that came with these."""
    if len(values) == 1:
        return next(iter(values))
    return ",".join(sorted({part for value in values for part in value.split(",") if part}))


def labels(
    metric: str, host: str, kind: str, tags: Iterable[str], resources: Sequence[tuple[str, str]] = ()
) -> LabelSet:
    """Return the label set of one series; `resources` are (type, name), without the host, devices included."""
    values: dict[str, set[str]] = defaultdict(set)
    for key, value in [*map(pair, tags), *resources]:
        values[label_name(key)].add(value)
    joined = {name: together(several) for name, several in values.items()}
    ours = {"__name__": metric_name(metric), "instance": host, "job": "ddagent", "type": kind}
    return frozenset((name, value) for name, value in {**joined, **ours}.items() if value)
