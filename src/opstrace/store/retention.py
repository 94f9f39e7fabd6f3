"""What is too old goes, a day at a time; hosts go once nothing of them is left."""

import logging
import time
from collections.abc import Callable
from typing import Final

from opstrace.store.engine import Engine, statement
from opstrace.store.host_tag_table import HostTagTable
from opstrace.store.statements import filled
from opstrace.store.writer import Writer

logger = logging.getLogger(__name__)

_DAY_S: Final = 86_400
_FORGET: Final = """
ALTER TABLE {table} DELETE
WHERE has(arrayZip({tenants:Array(String)}, {hosts:Array(String)}), (toString(tenant), host))
SETTINGS mutations_sync = 1
"""
# A statement is 256 KiB at most.
_FORGOTTEN_AT_ONCE: Final = 500


class Retention:
    """Drops the partitions of days before the retention, and the memory of what was in them."""

    def __init__(
        self,
        engine: Engine,
        writer: Writer,
        host_tags: HostTagTable,
        *,
        days: Callable[[], int],
        log_days: Callable[[], int],
    ) -> None:
        self._connection = engine.writer
        self._check_merging = engine.disk.check_merging
        self._writer = writer
        self._host_tags = host_tags
        self._days = {"oldest": days, "oldest_log": log_days}
        self._expired = statement("opstrace.store", "expired_partitions")
        self._forgotten = statement("opstrace.store", "forgotten_hosts")

    def enforce(self) -> None:
        """Drop what is too old now. Needs the writer for itself; raises StoreError when the engine cannot."""
        oldest = {name: _day(time.time() - days() * _DAY_S) for name, days in self._days.items()}
        for row in self._connection.read(self._expired, **oldest).to_pylist():
            self._connection.execute(f"ALTER TABLE {row['table']} DROP PARTITION ID '{row['partition_id']}'")
            logger.info("dropped %s of %s, which is past the retention", row["table"], row["partition"])
        self._writer.reload_seen()
        self._forget_hosts(oldest["oldest"])

    def _forget_hosts(self, oldest: str) -> None:
        """Remove what is known of hosts that are gone: their tables have no partitions to drop."""
        forgotten = self._connection.read(self._forgotten, oldest=oldest)
        if not forgotten.num_rows:
            return
        self._check_merging()
        try:
            for some in forgotten.to_batches(max_chunksize=_FORGOTTEN_AT_ONCE):
                names = {"tenants": some["tenant"].to_pylist(), "hosts": some["host"].to_pylist()}
                for table in ("hosts", "host_tags"):
                    self._connection.execute(filled(_FORGET, table=table), **names)
        finally:
            self._host_tags.forget(forgotten["tenant"].unique().to_pylist())
        logger.info("forgot %d hosts of which nothing is left", forgotten.num_rows)


def _day(moment_s: float) -> str:
    return time.strftime("%Y-%m-%d", time.gmtime(moment_s))
