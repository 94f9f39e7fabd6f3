"""Series of sketches that were decoded, or made, outside of the engine."""

from collections.abc import Mapping
from typing import Final

import numpy as np
import pyarrow as pa

from opstrace.intake.series.sent_sketches import COLUMNS, numbered
from opstrace.intake.series.tabular_series import TabularSeries
from opstrace.ragged import places
from opstrace.store.engine import Connection, Parameter

_OF_SERIES: Final = (
    "row",
    "body",
    "tenant",
    "sent_name",
    "host",
    "unit",
    "source_type",
    "sent_tags",
    "times",
    "sums",
)


class TabularSketches(TabularSeries):
    """Has the engine look at what the series are; their bins it never sees."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection, "decoded_sketches", more=("row",))

    def read(self, tables: Mapping[int, pa.Table], limits: Mapping[str, Parameter]) -> pa.Table:
        """Return the answer of sent_series.sql over tables, and their sketches with it; raises StoreError."""
        firsts = places(np.array([table.num_rows for table in tables.values()])).tolist()
        numbered = {i: _numbered(tables[i], first) for i, first in zip(tables, firsts, strict=False)}
        found = super().read({i: table.select(_OF_SERIES) for i, table in numbered.items()}, limits)
        own = pa.concat_tables(numbered.values()).select(COLUMNS).take(found["row"])
        for name in COLUMNS:
            found = found.append_column(name, own[name])
        return found


def _numbered(table: pa.Table, first: int) -> pa.Table:
    """Number the rows, from the first number on, and the sketches in their body."""
    lengths = np.diff(table["times"].combine_chunks().offsets.to_numpy()).astype(np.int64)
    rows = np.arange(first, first + table.num_rows, dtype=np.uint64)
    numbers = numbered(table["place"].to_numpy().astype(np.int64), lengths)
    return table.append_column("places", numbers).append_column("row", pa.array(rows))
