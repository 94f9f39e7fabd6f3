import time

from opstrace.store.budget import Budget
from opstrace.store.embedded import Store
from opstrace.store.engine import Engine, script
from opstrace.store.removal import TABLES, Removal
from opstrace.store.writer import Writer
from store.test_store import block, matcher

DAY_MS = 86_400_000


def removed(removal: Removal, tenant: str) -> None:
    removal.begin(tenant)
    while not removal.over(tenant):
        time.sleep(0.01)


def test_every_table_that_has_tenants_is_among_them() -> None:
    """A table that is new is removed from, too."""
    made = [part for part in script("opstrace.store", "schema") if "CREATE TABLE" in part and "tenant " in part]
    names = {part.partition("CREATE TABLE IF NOT EXISTS ")[2].split()[0] for part in made}
    assert names == set(TABLES)


def test_all_days_of_a_tenant_go_and_those_of_others_stay(engine: Engine) -> None:
    writer = Writer(engine)
    store, removal = Store(engine, writer), Removal(engine)
    now_ms = time.time_ns() // 1_000_000
    days = [block([({"__name__": "m"}, [(now_ms - age * DAY_MS, float(age))])]) for age in range(5)]
    # One of the names begins as the other does.
    for tenant in ("t", "t-2"):
        for day in days:
            store.appender(tenant).append(day)
    assert (removal.stored("t")["samples"], removal.stored("t")["series"]) == (5, 5)
    removed(removal, "t")
    assert not any(removal.stored("t").values())
    found = store.querier("t-2", Budget()).select([matcher("__name__=m")], 0, now_ms)
    assert sorted(found.values.tolist()) == [0.0, 1.0, 2.0, 3.0, 4.0]
    removed(removal, "t")  # again, as after a crash
    writer.reload_seen()
    store.appender("t").append(days[0])
    assert store.querier("t", Budget()).select([matcher("__name__=m")], 0, now_ms).values.tolist() == [0.0]
