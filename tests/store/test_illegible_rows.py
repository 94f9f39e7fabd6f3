"""Rows of earlier versions whose text is no UTF-8."""

import time

from opstrace.store.budget import Budget
from opstrace.store.catalogue import Catalogue
from opstrace.store.embedded import Store
from opstrace.store.engine import Engine
from opstrace.store.host_tag_table import HostTagTable
from opstrace.store.hosts import Hosts

INSERT = """
INSERT INTO series SELECT
    toDate32(now('UTC')), 't', 'a_', 'samples', 1, number, number, map('job', 'ddagent'),
    concat('a.', unhex('fffe80c0')), if(number = 0, 'h', concat('h', unhex(['ff', 'fe'][number]))), [unhex('ff')],
    'gauge', 10, unhex('ff'), unhex('ff')
FROM numbers(3)
"""
NOW_S = int(time.time())


def test_they_can_be_read(engine: Engine, store: Store) -> None:
    engine.writer.execute(INSERT)
    (told,) = store.querier("t", Budget()).metadata()
    assert (told.metric, told.unit) == ("a_", "\ufffd")
    (entry,) = Catalogue(engine).metrics("t", NOW_S - 3600, NOW_S)
    assert (entry.datadog_name, entry.unit, entry.source, entry.hosts) == ("a.\ufffd", "\ufffd", "\ufffd", 3)
    hosts = Hosts(engine, HostTagTable(engine)).heard_of("t", 0, NOW_S * 1000)
    assert [(host.name, host.metrics) for host in hosts] == [("h", 1), ("h\ufffd", 1)]
