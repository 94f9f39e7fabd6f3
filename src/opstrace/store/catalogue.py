"""The catalogue of a tenant's metrics: what there is, in both names, and what costs how much."""

from dataclasses import dataclass
from typing import Final

from opstrace.store.engine import Engine, statement

MAX_METRICS: Final = 20_000


@dataclass(frozen=True, slots=True)
class CatalogueEntry:
    """One metric, as it was on the last day it was seen."""

    name: str
    datadog_name: str
    type: str
    unit: str
    interval_s: float  # 0 when not said
    source: str
    series: int
    hosts: int
    last_day_s: int  # the beginning of its last day (UTC)


@dataclass(frozen=True, slots=True)
class LabelCost:
    """One label of a metric."""

    label: str
    values: int
    series: int
    examples: list[str]


class Catalogue:
    """Reads the catalogue of whole days (UTC), named by moments in seconds. Everything raises StoreError."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._metrics = statement("opstrace.store", "catalogue")
        self._labels = statement("opstrace.store", "catalogue_labels")
        self._last = statement("opstrace.store", "catalogue_last")

    def metrics(self, tenant: str, start_s: int, end_s: int, limit: int = MAX_METRICS) -> list[CatalogueEntry]:
        """Return a tenant's metrics, those of the most series first."""
        with self._engine.reader() as connection:
            table = connection.read(self._metrics, tenant=tenant, start_s=start_s, end_s=end_s, limit=limit)
        columns = (table.column(index).to_pylist() for index in range(table.num_columns))
        return [CatalogueEntry(*row) for row in zip(*columns, strict=True)]

    def labels(self, tenant: str, name: str, start_s: int, end_s: int) -> list[LabelCost]:
        """Return the labels of one metric, those of the most values first."""
        with self._engine.reader() as connection:
            table = connection.read(self._labels, tenant=tenant, name=name, start_s=start_s, end_s=end_s)
        columns = (table.column(index).to_pylist() for index in range(table.num_columns))
        return [LabelCost(*row) for row in zip(*columns, strict=True)]

    def last_seen_s(self, tenant: str, name: str, start_s: int) -> float | None:
        """Return when a metric's youngest point since a moment was."""
        with self._engine.reader() as connection:
            table = connection.read(self._last, tenant=tenant, name=name, start_s=start_s)
        last_ms: int = table.column(0)[0].as_py() or 0
        return last_ms / 1000 if last_ms > 0 else None
