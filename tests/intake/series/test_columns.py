"""Columns against the library that senders use."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from end_to_end import wire
from end_to_end.columnar import Strings, differences, varint
from opstrace.errors import Undecodable
from opstrace.intake.series import columns
from opstrace.intake.series.columns import fields, fixed, packed, running, signed, strings, varints

COLUMNS = wire.message_class(
    {
        "Columns": {
            "whole": (1, "repeated uint64"),
            "zigzag": (2, "repeated sint64"),
            "single": (3, "repeated float"),
            "double": (4, "repeated double"),
        }
    },
    "Columns",
)
INT64 = st.integers(-(2**63), 2**63 - 1)
UINT64 = st.integers(0, 2**64 - 1)


def column(content: bytes) -> "np.ndarray[tuple[int], np.dtype[np.uint8]]":
    return np.frombuffer(content, dtype=np.uint8)


@given(
    st.lists(UINT64 | st.integers(0, 127)),
    st.lists(INT64),
    st.lists(st.floats(width=32, allow_nan=False)),
    st.lists(st.floats(allow_nan=False)),
)
def test_columns_are_read_as_the_library_wrote_them(
    whole: list[int], zigzag: list[int], single: list[float], double: list[float]
) -> None:
    message = COLUMNS(whole=whole, zigzag=zigzag, single=single, double=double).SerializeToString()
    parts = {number: column(bytes(content)) for number, content in fields(memoryview(message))}
    nothing = column(b"")
    assert varints(parts.get(1, nothing)).tolist() == whole
    assert signed(varints(parts.get(2, nothing))).tolist() == zigzag
    assert fixed(parts.get(3, nothing), "<f4").tolist() == single
    assert fixed(parts.get(4, nothing), "<f8").tolist() == double


def lists_of(numbers: st.SearchStrategy[int]) -> st.SearchStrategy[list[list[int]]]:
    return st.lists(st.lists(numbers, max_size=4), max_size=5)


# All of one byte, and all of two, are read faster.
SHORT, PAIRS = st.integers(0, 127), st.integers(128, (1 << 14) - 1)


@given(
    lists_of(st.integers(0, 20_000) | SHORT | UINT64) | lists_of(SHORT) | lists_of(PAIRS) | lists_of(SHORT | PAIRS)
)
def test_many_packed_columns_are_read_at_once(lists: list[list[int]]) -> None:
    contents = [b"".join(map(varint, numbers)) for numbers in lists]
    bounds = np.cumsum([0, *map(len, contents)])
    numbers, lengths = packed(column(b"".join(contents)), bounds)
    assert numbers.tolist() == [number for one in lists for number in one]
    assert signed(numbers).tolist() == [number >> 1 ^ -(number & 1) for one in lists for number in one]
    assert lengths.tolist() == [len(one) for one in lists]


@given(st.lists(st.integers(0, 20_000), max_size=20))
def test_short_numbers(whole: list[int]) -> None:
    assert varints(column(b"".join(map(varint, whole)))).tolist() == whole


def test_a_column_does_not_end_in_the_next_one() -> None:
    with pytest.raises(Undecodable, match="does not end"):
        packed(column(b"\x01\x80\x01"), np.array([0, 2, 3]))


@given(st.lists(st.binary(max_size=300).filter(bool), unique=True))
def test_string_tables_are_read_as_they_were_written(texts: list[bytes]) -> None:
    table = Strings()
    assert [table.index(text) for text in texts] == list(range(1, len(texts) + 1))
    assert strings(table.table()).to_pylist() == [b"", *texts]


@given(st.lists(st.lists(st.integers(-(2**40), 2**40), max_size=5)))
def test_differences_start_again_at_each_run(lists: list[list[int]]) -> None:
    flat = [difference for numbers in lists for difference in differences(numbers)]
    lengths = np.array([len(numbers) for numbers in lists], dtype=np.int64)
    found = running(np.array(flat, dtype=np.int64), lengths)
    assert found.tolist() == [number for numbers in lists for number in numbers]


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"\x80", "does not end"),
        (b"\x01\xff\xff", "does not end"),
        (b"\x80" * 10 + b"\x01", "longer than ten bytes"),
    ],
)
def test_numbers_that_are_none_are_refused(content: bytes, complaint: str) -> None:
    with pytest.raises(Undecodable, match=complaint):
        varints(column(content))


@pytest.mark.parametrize(
    "content",
    [
        b"\x0a",
        b"\x0a\x02a",
        b"\x0b",
        b"\x0c",
        b"\x0e",
        b"\x0f",
        b"\x09\x00",
        b"\x0d\x00\x00",
        b"\x00\x00",
        b"\xff" * 11,
    ],
)
def test_messages_that_are_none_are_refused(content: bytes) -> None:
    with pytest.raises(Undecodable):
        list(fields(memoryview(content)))


def test_cut_tables_and_columns_are_refused() -> None:
    with pytest.raises(Undecodable, match="string of a dictionary is cut"):
        strings(b"\x03ab")
    with pytest.raises(Undecodable, match="number of a column is cut"):
        fixed(column(b"\x00" * 5), "<f4")


def test_columns_and_dictionaries_have_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(columns, "MAX_COLUMN_VALUES", 3)
    monkeypatch.setattr(columns, "MAX_TABLE_STRINGS", 3)
    monkeypatch.setattr(columns, "MAX_MESSAGE_FIELDS", 3)
    assert len(varints(column(varint(300) * 3))) == 3
    with pytest.raises(Undecodable, match="more than 3 values"):
        varints(column(varint(300) * 4))
    with pytest.raises(Undecodable, match="more than 3 strings"):
        strings(b"\x00" * 4)
    with pytest.raises(Undecodable):
        list(fields(memoryview(b"\x08\x01" * 4)))
