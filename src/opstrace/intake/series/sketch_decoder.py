"""Distributions in protobuf: bins are read as they are on the wire, and become arrays here.

For the engine each number of a bin is a step, and an Agent's sketch has thirty bins. What it cannot read so, as where
bins come one by one, it reads number by number.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa

from opstrace.errors import StoreError, Undecodable
from opstrace.intake.payload import Family, Numbered
from opstrace.intake.series.columns import packed, signed
from opstrace.intake.series.protobuf_series_decoder import ProtobufSeriesDecoder
from opstrace.intake.series.protobuf_statement import ProtobufStatement
from opstrace.intake.series.sent_sketches import COLUMNS
from opstrace.ragged import places
from opstrace.store.engine import Connection, statement
from opstrace.store.statements import filled

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from opstrace.intake.series.columns import Narrow

# Keys are sint32 and counts uint32.
_BEYOND: Final = 1 << 32


class SketchDecoder(ProtobufSeriesDecoder):
    """Decodes bodies of sketches."""

    def __init__(self, connection: Connection) -> None:
        by_numbers = _statement("SketchPayload", "Int32", "UInt64")
        super().__init__(connection, Family.SKETCHES, "SketchPayload", by_numbers)
        self._packed = _statement("PackedSketchPayload", "String", "String")

    def _read(self, bodies: Numbered, limits: Mapping[str, float]) -> pa.Table:
        try:
            return _unpacked(self._look(self._packed, bodies, limits))
        except (StoreError, Undecodable) as error:
            if isinstance(error, StoreError) and not error.input_fault:
                raise
            return super()._read(bodies, limits)


def _statement(message: str, key: str, count: str) -> ProtobufStatement:
    """Return the statement that reads keys and counts of these types of the engine."""
    select = filled(statement("opstrace.intake.series", "sketches"), key=key, count=count)
    return ProtobufStatement.of(select, message, more=COLUMNS)


def _unpacked(table: pa.Table) -> pa.Table:
    """Return series with their keys and counts as numbers; raise Undecodable for what is none."""
    for name, is_signed in (("keys", True), ("counts", False)):
        column = _lists(table[name].combine_chunks(), is_signed=is_signed)
        table = table.set_column(table.column_names.index(name), name, column)
    return table


def _content(texts: pa.StringArray) -> "tuple[NDArray[np.uint8], NDArray[np.int64]]":
    """Return the bytes of all texts, and where each begins and the last one ends."""
    if not len(texts):
        return np.zeros(0, dtype=np.uint8), np.zeros(1, dtype=np.int64)
    _, offsets, content = texts.buffers()
    ends = np.frombuffer(offsets, np.int32)[texts.offset : texts.offset + len(texts) + 1].astype(np.int64)
    return np.frombuffer(content or b"", np.uint8)[ends[0] : ends[-1]], ends - ends[0]


def _lists(column: pa.ListArray, *, is_signed: bool) -> pa.ListArray:
    """Return lists of numbers a series and sketch, of lists of packed ones."""
    of_series, of_sketches = column.offsets, column.flatten()
    texts = of_sketches.flatten()
    content, ends = _content(texts)
    bounds = ends[of_sketches.offsets.to_numpy() - of_sketches.offsets[0].as_py()]
    numbers, lengths = packed(content, bounds)
    if numbers.dtype == np.uint64 and int(numbers.max()) >= _BEYOND:
        raise Undecodable("a key or a count is longer than 32 bits")
    values = pa.array(_keys(numbers) if is_signed else numbers)
    offsets = pa.array(places(lengths), pa.int32())
    starts = pa.array(of_series.to_numpy() - of_series[0].as_py(), pa.int32())
    return pa.ListArray.from_arrays(starts, pa.ListArray.from_arrays(offsets, values))


def _keys(numbers: "Narrow") -> "NDArray[np.signedinteger[Any]]":
    """Return keys as 16 bits, as almost all are, or as 32."""
    keys = signed(numbers)
    return keys.astype(np.int16 if keys.itemsize < 4 else np.int32, copy=False)
