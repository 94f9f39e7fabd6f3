"""How busy hosts are now, by the metrics that every Agent sends."""

from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Final

import numpy as np

from opstrace.store.backend import Matcher, MatchOp, Querier

_RECENT_MS: Final = 10 * 60_000
# By metric: what it is called in the answer, and its figure there.
_READINGS: Final[Mapping[str, tuple[str, Callable[[float], float]]]] = {
    "system_cpu_idle": ("cpu", lambda idle: 100.0 - idle),
    "system_cpu_iowait": ("iowait", float),
    "system_load_norm_15": ("load", float),
}


def loads(querier: Querier, now_ms: int) -> dict[str, dict[str, float]]:
    """Return the latest `cpu` and `iowait`, in percent, and `load` a core, by host, where they are known."""
    matcher = Matcher("__name__", MatchOp.REGEX, "|".join(_READINGS))
    block = querier.select([matcher], now_ms - _RECENT_MS, now_ms)
    latest: dict[tuple[str, str], tuple[int, float]] = {}
    for labels, (begin, end) in zip(block.labels, pairwise(block.offsets.tolist()), strict=True):
        # Where a host's tags have changed a series has ended, and another one goes on.
        known = begin + np.flatnonzero(np.isfinite(block.values[begin:end]))
        if len(known):
            series = labels.get("instance", ""), labels["__name__"]
            sample = int(block.timestamps[known[-1]]), float(block.values[known[-1]])
            latest[series] = max(latest.get(series, sample), sample)
    found: dict[str, dict[str, float]] = {}
    for (host, metric), (_, value) in latest.items():
        name, reading = _READINGS[metric]
        found.setdefault(host, {})[name] = reading(value)
    return found
