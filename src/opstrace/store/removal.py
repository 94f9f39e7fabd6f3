"""What one tenant has stored, and how all of it goes.

Tables are kept by day, not by tenant: the engine writes parts anew that hold rows of the tenant, in the background
and also after a restart. Until that is over the rows take room on disk, and those of the others twice for a moment.
"""

from typing import Final

from opstrace.errors import StoreError
from opstrace.store.engine import Engine, statement
from opstrace.store.statements import filled

TABLES: Final = (
    *(
        "samples",
        "started_samples",
        "series",
        "histograms",
        "sketches",
        "metric_metadata",
        "logs",
        "events",
        "checks",
        "check_messages",
    ),
    *("hosts", "host_tags", "books"),
)
_COUNT: Final = "SELECT count() FROM {table} WHERE tenant = {tenant:String}"
_DELETE: Final = "ALTER TABLE {table} DELETE WHERE tenant = {tenant:String} SETTINGS mutations_sync = 0"


class Removal:
    """Counts and removes what tenants have stored. Its calls raise StoreError when the engine cannot."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._under_way = statement("opstrace.store", "removals_under_way")

    def stored(self, tenant: str) -> dict[str, int]:
        """Return how many rows of a tenant each table has, repeats included."""
        with self._engine.reader() as connection:
            counts = {table: connection.read(filled(_COUNT, table=table), tenant=tenant) for table in TABLES}
        return {table: int(found.column(0)[0].as_py()) for table, found in counts.items()}

    def begin(self, tenant: str) -> None:
        """Have the engine remove every row of a tenant. Needs the writer for itself, and room on the disk."""
        self._engine.disk.check_merging()
        for table in TABLES:
            self._engine.writer.execute(filled(_DELETE, table=table), tenant=tenant)

    def over(self, tenant: str) -> bool:
        """Say whether the engine has removed every row; raise StoreError with its reason while it fails."""
        with self._engine.reader() as connection:
            rows = connection.read(self._under_way, tables=list(TABLES)).to_pylist()
        if reason := next((row["reason"] for row in rows if row["reason"]), ""):
            raise StoreError(f"the data of tenant {tenant} could not be removed yet: {reason}")
        return not rows and self._nothing_is_left(tenant)

    def _nothing_is_left(self, tenant: str) -> bool:
        """Raise StoreError if rows are left: the removal was ended for want of disk, or a part of before is back."""
        self._engine.disk.look()
        if left := sum(self.stored(tenant).values()):
            raise StoreError(f"{left} rows of tenant {tenant} are left; their removal has to be asked for again")
        return True
