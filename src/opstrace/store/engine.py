"""The embedded columnar engine: the one module that imports it.

One process owns a data directory. A connection serves one thread at a time; the interpreter lock is free while the
engine works, so statements on different connections run in parallel.
"""

import logging
import os
import re
import sys
from collections.abc import Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, TypeAlias

import chdb
import numpy as np
import pyarrow as pa

from opstrace import atomic_file
from opstrace.errors import BadQuery, BudgetExceeded, QueryTimeout, StoreError
from opstrace.store import remains
from opstrace.store.disk_watch import DiskWatch
from opstrace.store.free_space import MIN_FREE_BYTES, OPENING_FREE_BYTES, check_free
from opstrace.store.merged_parts import MergedParts
from opstrace.store.parts import Parts
from opstrace.store.statements import filled

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

logger = logging.getLogger(__name__)

Parameter: TypeAlias = str | int | float | Sequence[int] | Sequence[str]

# Written into the data directory; docs/format.md says what changed when.
SCHEMA_VERSION = 2
_UPGRADED_VERSIONS = ("1",)

# Statements run on two cores beside an event loop: a query never takes both for its whole life, merges stay modest.
_ENGINE_SETTINGS = {
    "background_pool_size": 2,
    "background_merges_mutations_concurrency_ratio": 2,
    "background_schedule_pool_size": 4,
    "mark_cache_size": 64 << 20,
    "uncompressed_cache_size": 0,
    "index_mark_cache_size": 16 << 20,
    # Compiling one at its third use stops a commit for some 50 ms, and gains none that could be measured.
    "compile_expressions": 0,
}

# What the parameter substitution of the engine understands inside a string (it reads values as TSV fields).
_ESCAPES = str.maketrans({"\\": "\\\\", "\n": "\\n", "\t": "\\t", "\r": "\\r", "\0": "\\0", "\b": "\\b", "\f": "\\f"})

# Engine error codes that are the caller's doing (ClickHouse/ClickHouse: src/Common/ErrorCodes.cpp).
_CANNOT_COMPILE_REGEXP = "Code: 427."
_TIMEOUT_EXCEEDED = "Code: 159."
_MEMORY_LIMIT_EXCEEDED = "Code: 241."
_CALLERS_FAULT: dict[str, tuple[type[Exception], str]] = {
    _CANNOT_COMPILE_REGEXP: (BadQuery, "a regular expression in a matcher does not compile"),
    _TIMEOUT_EXCEEDED: (QueryTimeout, "query timed out"),
    _MEMORY_LIMIT_EXCEEDED: (BudgetExceeded, "the query needs more memory than it may use"),
}
# Codes that say that an input file is not what its format says.
_INPUT_FAULT = re.compile(r"Code: (?:25|26|27|32|33|34|72|117|131|436|444)\.")

_MADE = re.compile(r"^CREATE TABLE IF NOT EXISTS (\w+)", re.MULTILINE)

# Of what the engine says when it cannot open a directory.
_MAX_REASON = 1000
# The engine writes one when it makes a table, and not again.
_TABLE_FORMAT = "format_version.txt"
_LOCKED = "Cannot lock file"


@cache
def statement(package: str, name: str) -> str:
    """Return the text of `name`.sql that lies in a package, for example `statement("opstrace.store", "samples")`.

    It is read once: a server whose installation is replaced under it stays of one version.
    """
    return (files(package) / f"{name}.sql").read_text(encoding="utf-8")


def script(package: str, name: str) -> list[str]:
    """Return the statements of `name`.sql, which are parted by semicolons at the ends of lines."""
    parts = f"{statement(package, name)}\n".split(";\n")
    return [part for part in parts if any(line and not line.startswith("--") for line in part.splitlines())]


class Connection:
    """One thread's way into the engine."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._connection: Any = chdb.connect(path)
        self._parts: Parts | None = None

    def watch(self, directories: Mapping[str, Path]) -> None:
        """Have what is written to tables from now on looked at on disk; these are theirs."""
        self._parts = Parts(directories)

    def execute(self, sql: str, rows: pa.Table | None = None, **parameters: Parameter) -> int:
        """Run a statement whose result does not matter and return how many rows it wrote.

        `FROM Python(rows)` in the statement reads the table given as `rows`. Raises StoreError when the engine
        cannot, or the disk did not take all of it: then none of it is there.
        """
        written = int(self._run(sql, "Null", rows, parameters).rows_written())
        if self._parts:
            self._check_parts(self._parts, sql)
        return written

    def read(self, sql: str, rows: pa.Table | None = None, **parameters: Parameter) -> pa.Table:
        """Run a query and return its result."""
        result = self._run(sql, "ArrowStream", rows, parameters)
        return pa.ipc.open_stream(_buffer(result)).read_all()

    def batches(self, sql: str, rows: pa.Table | None = None, **parameters: Parameter) -> "Generator[pa.RecordBatch]":
        """Run a query and yield its result as the engine finds it; to close the generator ends the query."""
        ended = False
        try:
            stream = self._connection.send_query(sql, "ArrowStream", params=_literals(parameters))
            for part in stream:
                with pa.ipc.open_stream(_buffer(part)) as batches:
                    yield from batches
            ended = True
        except RuntimeError as error:
            raise _translated(error) from error
        finally:
            del rows  # the engine finds it by this name in this frame
            if not ended:
                self._reconnect()

    def close(self) -> None:
        """Give the connection back to the engine."""
        self._connection.close()

    def _run(
        self,
        sql: str,
        output: str,
        rows: pa.Table | None,  # noqa: ARG002 (the engine finds it by this name in this frame)
        parameters: Mapping[str, Parameter],
    ) -> Any:
        try:
            return self._connection.query(sql, output, params=_literals(parameters))
        except Exception as error:
            self._reconnect()
            raise _translated(error) from error

    def _check_parts(self, parts: Parts, sql: str) -> None:
        table, torn = parts.torn(sql)
        for name in torn:
            self._run(f"ALTER TABLE {table} DROP PART '{name}'", "Null", None, {})
        if torn:
            raise StoreError(f"the disk took only a part of what was written to {table}; is it full?")

    def _reconnect(self) -> None:
        """Replace the connection: after a failed statement one of chDB 26.9 answers the next query with no rows."""
        broken, self._connection = self._connection, chdb.connect(self._path)
        broken.close()


def _buffer(result: Any) -> pa.Buffer:
    """Return the bytes of a result without a copy; the buffer keeps the result alive."""
    view = np.frombuffer(result.get_memview().view(), dtype=np.uint8)
    return pa.foreign_buffer(view.ctypes.data, view.nbytes, base=result)


def _literals(parameters: Mapping[str, Parameter]) -> dict[str, str]:
    return {name: _literal(value) for name, value in parameters.items()}


def _literal(value: Parameter) -> str:
    if isinstance(value, str):
        return value.translate(_ESCAPES)
    if isinstance(value, int | float):
        return str(value)
    return "[" + ",".join(_element(element) for element in value) + "]"


def _element(element: int | str) -> str:
    if isinstance(element, int):
        return str(element)
    return "'" + element.translate(_ESCAPES).replace("'", "\\'") + "'"


def _translated(error: Exception) -> Exception:
    text = str(error)
    for code, (kind, message) in _CALLERS_FAULT.items():
        if code in text:
            return kind(message)
    # The engine may quote the input, and the Python side may fail to read that quotation.
    input_fault = isinstance(error, UnicodeDecodeError) or _INPUT_FAULT.match(text) is not None
    return StoreError(text.partition("Stack trace")[0].strip(), input_fault=input_fault)


@dataclass(frozen=True, slots=True)
class TableSize:
    """What one table takes on disk."""

    name: str
    rows: int
    size_bytes: int
    parts: int


class Engine:
    """A data directory opened for reading and writing, with a fixed number of readers beside the one writer."""

    def __init__(self, directory: Path, readers: int = 3, *, used_before: bool = False) -> None:
        """Open the directory, making the tables on the first use, which this is unless it was `used_before`.

        Raises StoreError when another process owns it, a newer version wrote it, its disk is full, or what was stored
        in it before is not there.
        """
        found = _found_version(directory)
        if used_before and not found:
            raise StoreError(
                f"what was stored in {directory} is not there: {_marker(directory).name} is missing; mount it, or "
                "put it back from a backup; to begin anew, have `opstrace destroy local` remove the instance"
            )
        directory.mkdir(parents=True, exist_ok=True)
        self.directory = directory
        check_free(directory, OPENING_FREE_BYTES)
        remains.clear(directory, _tables_on_disk())
        settings = "&".join(f"{name}={value}" for name, value in _ENGINE_SETTINGS.items())
        path = f"{directory}?{settings}"
        self.writer = _first_connection(directory, path)
        try:
            self._prepare(found)
        except BaseException:
            self.writer.close()
            raise
        # Writes series while `writer` writes samples; only one of them writes to a table on disk.
        self.registrar = Connection(path)
        self.registrar.watch(self._directories)
        self._connections = [Connection(path) for _ in range(readers)]
        self._idle: SimpleQueue[Connection] = SimpleQueue()
        for connection in self._connections:
            self._idle.put(connection)
        self._cornerstones = [_marker(directory), *(path / _TABLE_FORMAT for path in self._directories.values())]
        self.disk = DiskWatch(Connection(path), directory, self._directories)
        self.disk.start()

    def _prepare(self, found: str) -> None:
        """Make the tables, and bring data of an older format along."""
        for name in ("schema", *([f"upgrade_from_{found}"] if found in _UPGRADED_VERSIONS else [])):
            for part in script("opstrace.store", name):
                self.writer.execute(part)
        self._directories = self._settled_tables()
        self._take_again()
        self.writer.watch(self._directories)
        if found != str(SCHEMA_VERSION):
            atomic_file.write(_marker(self.directory), f"{SCHEMA_VERSION}\n")

    def check_in_place(self) -> None:
        """Raise StoreError if the directory was removed, which the engine does not mind: it makes another."""
        if gone := next((path for path in self._cornerstones if not path.exists()), None):
            raise StoreError(f"{gone} is not there any more: the data was removed, or its disk; restart the server")

    @contextmanager
    def reader(self) -> "Iterator[Connection]":
        """Lend a connection that only reads; waits while all are lent."""
        connection = self._idle.get()
        try:
            yield connection
        finally:
            self._idle.put(connection)

    def tables(self) -> list[TableSize]:
        """Return what each table takes on disk."""
        with self.reader() as connection:
            rows = connection.read(statement("opstrace.store", "tables")).to_pylist()
        return [TableSize(row["name"], row["total_rows"], row["size_bytes"], row["parts"]) for row in rows]

    def merged_rows(self) -> int:
        """Return how many rows merges have read since the start."""
        with self.reader() as connection:
            rows: int = connection.read(statement("opstrace.store", "merged_rows"))[0][0].as_py()
        return rows

    def _settled_tables(self) -> dict[str, Path]:
        """Give the settings that all tables on disk have to those that lack one; return where the tables lie."""
        wanted = re.findall(r"\w+ = (?:\d+|'[^']*')", _settings_of(""))
        tables = self.writer.read(statement("opstrace.store", "tables_with_settings")).to_pylist()
        for row in tables:
            if not all(re.search(rf"\b{re.escape(setting)}(?!\w)", row["settings"]) for setting in wanted):
                self.writer.execute(_settings_of(row["name"]))
        directories = {row["name"]: Path(row["directory"]) for row in tables}
        for name, directory in directories.items():
            aside = directory / "detached"
            if broken := sum(1 for _ in aside.glob("broken*")):
                logger.error("%d parts of table %s could not be read and lie in %s", broken, name, aside)
        return directories

    def _take_again(self) -> None:
        """Take what was saved of torn parts before, if the engine can."""
        parts = MergedParts(self.writer, self._directories)
        for table in self._directories:
            try:
                parts.attach(table)
            except StoreError as error:
                logger.error("what lies in the directory detached of table %s cannot be taken: %s", table, error)

    def close(self) -> None:
        """Close every connection; the directory is free for another process afterwards."""
        self.disk.close()
        for connection in [*self._connections, self.registrar, self.writer]:
            connection.close()


def _first_connection(directory: Path, path: str) -> Connection:
    said: list[str] = []
    try:
        with _listening(said):
            connection = Connection(path)
    except RuntimeError as error:
        reason = next((line for text in said for line in text.splitlines() if line.strip()), str(error))
        if _LOCKED in reason:
            reason = "it is in use by another process"
        raise StoreError(f"the data in {directory} cannot be opened: {reason[:_MAX_REASON]}") from error
    sys.stderr.write("".join(said))
    return connection


@contextmanager
def _listening(said: list[str]) -> "Iterator[None]":
    """Take down what is written to standard error: only there the engine says why it cannot open a directory."""
    with open(os.memfd_create("said"), "r+b", buffering=0) as memory:  # noqa: PTH123 (it has no path)
        before = os.dup(2)
        os.dup2(memory.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(before, 2)
            os.close(before)
            memory.seek(0)
            said.append(memory.read().decode(errors="replace"))


def _settings_of(table: str) -> str:
    """Return the statement that gives a table the settings of all."""
    return filled(statement("opstrace.store", "table_settings"), table=table, min_free_bytes=MIN_FREE_BYTES)


@cache
def _tables_on_disk() -> frozenset[str]:
    """Return the names of the tables that the schema has on disk."""
    made = ((_MADE.search(part), part) for part in script("opstrace.store", "schema"))
    return frozenset(found[1] for found, part in made if found and "MergeTree" in part)


def _marker(directory: Path) -> Path:
    return directory / "opstrace-format-version"


def _found_version(directory: Path) -> str:
    """Return the format of the data in a directory, nothing of a new one; raise StoreError for unknown ones."""
    if not _marker(directory).exists():
        return ""
    found = _marker(directory).read_text(encoding="ascii", errors="replace").strip()
    if found not in (str(SCHEMA_VERSION), *_UPGRADED_VERSIONS):
        raise StoreError(
            f"the data in {directory} has format {found}, this version reads format {SCHEMA_VERSION}; "
            "install the version that wrote it"
        )
    return found
