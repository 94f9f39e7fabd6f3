"""Statements for one tenant, each within what is left of one query's budget."""

from contextlib import closing
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from opstrace.store.backend import EXACTLY, Manner
from opstrace.store.budget import Budget
from opstrace.store.engine import Engine, Parameter, statement
from opstrace.store.resolved import Resolved
from opstrace.store.samples import Runs
from opstrace.store.selectors import Condition
from opstrace.store.shared_reads import ReadingRoom

# A statement may be 256 KiB long; a longer list of series goes in as a table, which costs some 8 ms.
_MAX_LISTED_SERIES = 2_000


@dataclass(frozen=True, slots=True)
class Wanted:
    """Whose rows are read: those of the series, or unless these are listed of all of their metrics."""

    resolved: Resolved
    listed: bool
    start_ms: int
    end_ms: int
    manner: Manner = EXACTLY


@dataclass(frozen=True, slots=True)
class Reading:
    """Reads one tenant's tables within one query's budget."""

    engine: Engine
    tenant: str
    budget: Budget

    def read(self, name: str, where: Condition, **clauses: str) -> pa.Table:
        """Return the rows of a statement over `series`."""
        sql = _with_clauses(name, {"condition": where.clause, **clauses})
        return self._run(f"{sql} SETTINGS max_threads = 2", where.parameters)

    def column(self, name: str, where: Condition) -> list[str]:
        """Return the one column of such a statement."""
        column: list[str] = self.read(name, where).column(0).to_pylist()
        return column

    def rows(self, name: str, wanted: Wanted, **clauses: str) -> pa.Table:
        """Return the rows of a statement over points."""
        sql, parameters, rows = self._of_points(name, wanted, **clauses)
        parameters["limit"] = self.budget.samples_left + 1
        return self._run(sql, parameters, rows)

    def runs(self, name: str, wanted: Wanted, room: Budget | ReadingRoom) -> Runs:
        """Read such rows while the engine finds them, each accounted for before the next are there."""
        sql, parameters, rows = self._of_points(name, wanted)
        parameters["limit"] = room.samples_left + 1
        runs = Runs()
        with (
            self.budget.waiting(),
            self.engine.reader() as connection,
            closing(connection.batches(self._limited(sql), rows, **parameters)) as batches,
        ):
            for batch in batches:
                room.spend(batch.num_rows)
                runs.add(batch)
        return runs

    def _of_points(
        self, name: str, wanted: Wanted, **clauses: str
    ) -> tuple[str, dict[str, Parameter], pa.Table | None]:
        series = wanted.resolved.series
        parameters: dict[str, Parameter] = {
            "tenant": self.tenant,
            "metrics": np.unique(wanted.resolved.metrics).tolist(),
            "start_ms": wanted.start_ms,
            "end_ms": wanted.end_ms,
        }
        clause, rows = "1", None
        if wanted.listed and len(series) <= _MAX_LISTED_SERIES:
            clause, parameters["series"] = "series IN {series:Array(UInt64)}", series.tolist()
        elif wanted.listed:
            clause = "series IN (SELECT assumeNotNull(series) FROM Python(rows))"
            rows = pa.table({"series": series})
        return _with_clauses(name, {"wanted": clause, **clauses}), parameters, rows

    def _run(self, sql: str, parameters: dict[str, Parameter], rows: pa.Table | None = None) -> pa.Table:
        self.budget.check()
        with self.budget.waiting(), self.engine.reader() as connection:
            table = connection.read(self._limited(sql), rows, **parameters)
        self.budget.check()
        return table

    def _limited(self, sql: str) -> str:
        budget = self.budget
        return f"{sql}, max_execution_time = {budget.seconds_left:.3f}, max_memory_usage = {budget.max_memory_bytes}"


def _with_clauses(name: str, clauses: dict[str, str]) -> str:
    sql = statement("opstrace.store", name)
    for place, text in clauses.items():
        sql = sql.replace(f"{{{place}}}", text)
    return sql
