"""How busy hosts are, of series that end and go on."""

import numpy as np
import pytest

from opstrace.datadog.load import loads
from opstrace.store.backend import Block, Labels
from opstrace.store.budget import Budget
from opstrace.store.traits import STALE
from promql.memory_store import MemoryStore

NOW_MS = 1_800_000_000_000


def store_of(*series: tuple[Labels, list[tuple[int, float]]]) -> MemoryStore:
    store = MemoryStore()
    for labels, samples in series:
        times = np.array([NOW_MS - ago_s * 1000 for ago_s, _ in samples], dtype=np.int64)
        values = np.array([value for _, value in samples])
        store.appender("t").append(Block([labels], np.array([0, len(samples)]), times, values))
    return store


@pytest.mark.parametrize("turned", [False, True])
def test_the_latest_sample_counts_whichever_series_has_it(turned: bool) -> None:
    ended = {"__name__": "system_cpu_idle", "instance": "web-1", "env": "a"}, [(300, 90.0), (200, STALE)]
    going_on = {"__name__": "system_cpu_idle", "instance": "web-1", "env": "b"}, [(190, 75.0), (30, 60.0)]
    load = {"__name__": "system_load_norm_15", "instance": "web-1"}, [(20, 0.5)]
    gone = {"__name__": "system_cpu_iowait", "instance": "web-2"}, [(20, STALE)]
    series = (ended, going_on) if turned else (going_on, ended)
    found = loads(store_of(*series, load, gone).querier("t", Budget()), NOW_MS)
    assert found == {"web-1": {"cpu": 40.0, "load": 0.5}}
