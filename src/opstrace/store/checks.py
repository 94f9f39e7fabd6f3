"""Service checks, read: how each is now, and when it became so."""

from dataclasses import dataclass

from opstrace.store.engine import Engine, statement


@dataclass(frozen=True, slots=True)
class Run:
    """One run of a service check."""

    check: str
    host: str
    tags: list[str]
    status: int  # 0 OK, 1 warning, 2 critical, 3 unknown
    message: str
    time_ms: int


class Checks:
    """The service checks of all tenants."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._latest = statement("opstrace.store", "select_checks")
        self._changes = statement("opstrace.store", "select_check_changes")

    def latest(self, tenant: str, name: str, host: str, since_ms: int, limit: int) -> list[Run]:
        """Return the latest run of each of a tenant's checks since a moment, what is not OK first.

        An empty name or host is any. Raises StoreError and QueryTimeout.
        """
        with self._engine.reader() as connection:
            table = connection.read(self._latest, tenant=tenant, name=name, host=host, since_ms=since_ms, limit=limit)
        return [
            Run(row["check"], row["host"], row["tags"], row["last_status"], row["last_message"], row["time_ms"])
            for row in table.to_pylist()
        ]

    def changes(self, tenant: str, name: str, host: str, start_ms: int, end_ms: int, limit: int) -> list[Run]:
        """Return the runs of one check that changed its status, and the first one of the range; the youngest first.

        An empty host is any. Raises StoreError and QueryTimeout.
        """
        bounds = {"start_ms": start_ms, "end_ms": end_ms, "limit": limit}
        with self._engine.reader() as connection:
            table = connection.read(self._changes, tenant=tenant, name=name, host=host, **bounds)
        return [
            Run(name, row["host"], row["tags"], row["new_status"], row["new_message"], row["time_ms"])
            for row in table.to_pylist()
        ]
