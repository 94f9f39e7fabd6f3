"""What is too old goes, a day at a time."""

import logging
import time
from typing import Final

from opstrace.store.engine import Engine, statement
from opstrace.store.writer import Writer

logger = logging.getLogger(__name__)

_DAY_S: Final = 86_400


class Retention:
    """Drops the partitions of days before the retention, and the memory of what was in them."""

    def __init__(self, engine: Engine, writer: Writer, *, days: int, log_days: int) -> None:
        self._connection = engine.writer
        self._writer = writer
        self._days = {"oldest": days, "oldest_log": log_days}
        self._expired = statement("opstrace.store", "expired_partitions")

    def enforce(self) -> None:
        """Drop what is too old now. Needs the writer for itself; raises StoreError when the engine cannot."""
        oldest = {name: _day(time.time() - days * _DAY_S) for name, days in self._days.items()}
        for row in self._connection.read(self._expired, **oldest).to_pylist():
            self._connection.execute(f"ALTER TABLE {row['table']} DROP PARTITION ID '{row['partition_id']}'")
            logger.info("dropped %s of %s, which is past the retention", row["table"], row["partition"])
        self._writer.reload_seen()


def _day(moment_s: float) -> str:
    return time.strftime("%Y-%m-%d", time.gmtime(moment_s))
