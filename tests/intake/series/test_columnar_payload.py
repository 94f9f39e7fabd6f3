"""Metrics v3 against a plain encoder, and against everything that lies."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from end_to_end import columnar, wire
from opstrace.errors import Undecodable
from opstrace.intake.series import columnar_payload
from opstrace.intake.series.columnar_payload import ColumnarPayload

# The reference's own body: computed apart from this encoder and this decoder.
REFERENCE = bytes.fromhex(
    "1a93010a170d73797374656d2e6c6f61642e31086170702e68697473121208656e763a70726f6408726f6c653a7765621a05020204010622"
    "0b04686f7374057765622d312a01013201023a010442070653797374656d4a060a0b260a0a00520223125a020202620202026a0202017202"
    "000a7a02010282010780c49fd50c00148a0102080e9201040000c03fba01020201c201020202"
)
DOCUMENT: dict[str, Any] = {
    "series": [
        {
            "metric": "system.load.1",
            "type": "gauge",
            "points": [[1700000000, 1.5]],
            "resources": [["host", "web-1"]],
            "tags": ["env:prod"],
            "source_type_name": "System",
            "origin": [10, 11, 38],
        },
        {
            "metric": "app.hits",
            "type": "rate",
            "interval": 10,
            "points": [[1700000000, 4], [1700000010, 7]],
            "tags": ["env:prod", "role:web"],
            "origin": [10, 10, 0],
        },
    ]
}


@dataclass(frozen=True)
class Rows:
    """What is read of a payload, written out: a row a series."""

    series: pa.Table
    sketches: pa.Table


def rows_of_payload(body: bytes) -> Rows:
    payload = ColumnarPayload.of(body)
    plain, of_sketches = np.flatnonzero(~payload.are_sketches), np.flatnonzero(payload.are_sketches)
    return Rows(
        pa.table({**payload.rows(plain), **payload.numbers()}),
        pa.table({**payload.rows(of_sketches), **payload.sketches()}),
    )


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
names = texts.filter(bool)
times = st.integers(-(2**40), 2**40)
numbers = st.sampled_from([0, 1, -7, 1.5, 0.1, 1e300, 2.0**53, -0.25]) | st.floats(allow_nan=False)
bins = st.dictionaries(st.integers(-32767, 32767), st.integers(0, 2**32 - 1), max_size=5)
sketches = st.builds(
    lambda cnt, total, low, high, bins: {
        "cnt": cnt, "sum": total, "min": low, "max": high, "k": list(bins), "n": list(bins.values())
    },
    st.integers(0, 2**40), numbers, numbers, numbers, bins,
)  # fmt: skip


def series(kinds: st.SearchStrategy[str], values: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries(
        {
            "metric": names,
            "type": kinds,
            "interval": st.integers(0, 2**31),
            "points": st.lists(st.tuples(times, values), max_size=4),
            "tags": st.lists(st.sampled_from(["env:prod", "a:1", "b", "c:2"]) | names, max_size=5),
            "resources": st.lists(st.tuples(st.sampled_from(["host", "device", "rack"]), texts), max_size=3),
            "unit": texts,
            "source_type_name": texts,
            "origin": st.lists(st.integers(0, 50), min_size=3, max_size=3) | st.just([]),
            "no_index": st.booleans(),
        }
    )


documents = st.fixed_dictionaries(
    {
        "series": st.lists(
            series(st.sampled_from(["gauge", "rate", "count"]), numbers) | series(st.just("sketch"), sketches),
            max_size=8,
        )
    }
)


def expected(one: Mapping[str, Any]) -> dict[str, Any]:
    hosts = [name for kind, name in one["resources"] if kind == "host" and name]
    return {
        "sent_name": one["metric"],
        "host": hosts[0] if hosts else "",
        "interval": 0 if one["type"] == "sketch" else one["interval"],
        "unit": one["unit"],
        "source_type": one["source_type_name"],
        "sent_tags": [
            *one["tags"],
            *(f"{kind}:{name}" for kind, name in one["resources"] if kind != "host" and name),
        ],
        "times": [time for time, _ in one["points"]],
    }


def found(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: row[name] for name in expected(SAMPLE)}


SAMPLE = {**DOCUMENT["series"][0], "interval": 0, "unit": ""}


@given(documents)
def test_what_was_encoded_is_decoded(document: dict[str, Any]) -> None:
    rows = rows_of_payload(columnar.payload(document))
    plain = [one for one in document["series"] if one["type"] != "sketch"]
    distributions = [one for one in document["series"] if one["type"] == "sketch"]
    assert [found(row) for row in rows.series.to_pylist()] == [expected(one) for one in plain]
    assert rows.series["type"].to_pylist() == [one["type"] for one in plain]
    assert rows.series["values"].to_pylist() == [[value for _, value in one["points"]] for one in plain]
    assert set(rows.sketches["type"].to_pylist()) <= {"distribution"}
    assert [found(row) for row in rows.sketches.to_pylist()] == [expected(one) for one in distributions]
    columns = {"cnts": "cnt", "sums": "sum", "minima": "min", "maxima": "max", "keys": "k", "counts": "n"}
    for column, name in columns.items():
        wanted = [[value[name] for _, value in one["points"]] for one in distributions]
        assert rows.sketches[column].to_pylist() == wanted, name


def test_the_encoder_writes_the_references_body() -> None:
    assert columnar.payload(DOCUMENT) == REFERENCE


def test_the_references_body_is_read_as_it_says() -> None:
    first, second = rows_of_payload(REFERENCE).series.to_pylist()
    assert (first["sent_name"], first["host"], first["sent_tags"]) == ("system.load.1", "web-1", ["env:prod"])
    assert (first["type"], first["interval"], first["source_type"]) == ("gauge", 0, "System")
    assert (first["times"], first["values"]) == ([1700000000], [1.5])
    assert (second["sent_name"], second["host"], second["sent_tags"]) == ("app.hits", "", ["env:prod", "role:web"])
    assert (second["type"], second["interval"], second["source_type"]) == ("rate", 10, "")
    assert (second["times"], second["values"]) == ([1700000000, 1700000010], [4, 7])


def test_a_message_in_two_parts_is_one() -> None:
    message = wire.COLUMNAR_PAYLOAD.FromString(REFERENCE)
    first, second = wire.COLUMNAR_PAYLOAD(), wire.COLUMNAR_PAYLOAD()
    first.metric_data.types.extend(message.metric_data.types[:1])
    second.CopyFrom(message)
    del second.metric_data.types[:1]
    again = rows_of_payload(first.SerializeToString() + second.SerializeToString())
    assert again.series.equals(rows_of_payload(REFERENCE).series)


def survives(body: bytes) -> None:
    """Whatever it is: rows, or a sentence."""
    try:
        rows = rows_of_payload(body)
    except Undecodable as error:
        complaint = str(error)
    else:
        rows.series.validate(full=True)
        rows.sketches.validate(full=True)
        complaint = ""
    assert len(complaint) < 200


@given(documents, st.data())
def test_a_body_cut_anywhere_is_refused_or_read(document: dict[str, Any], data: st.DataObject) -> None:
    body = columnar.payload(document)
    survives(body[: data.draw(st.integers(0, len(body)))])


@given(documents, st.data())
def test_a_body_with_damaged_bytes_is_refused_or_read(document: dict[str, Any], data: st.DataObject) -> None:
    body = bytearray(columnar.payload(document))
    for _ in range(data.draw(st.integers(1, 4)) if body else 0):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    survives(bytes(body))


COLUMNS = [name for name, (_, kind) in wire.MESSAGES["MetricData"].items() if kind.startswith("repeated")]
LIES = [0, 1, -1, 2, 7, 2**31, -(2**31), 2**62, -(2**63), 2**63 - 1]


@given(documents, st.data())
def test_a_column_that_lies_is_refused_or_read(document: dict[str, Any], data: st.DataObject) -> None:
    """Values taken out, put in or replaced, in columns of lengths and references too."""
    message = wire.COLUMNAR_PAYLOAD.FromString(columnar.payload(document))
    for _ in range(data.draw(st.integers(1, 3))):
        column = getattr(message.metric_data, data.draw(st.sampled_from(COLUMNS)))
        lie(column, data)
    survives(message.SerializeToString())


def lie(column: Any, data: st.DataObject) -> None:
    values = list(column)
    place = data.draw(st.integers(0, len(values)))
    del values[place : place + data.draw(st.integers(0, 2))]
    values[place:place] = data.draw(st.lists(st.sampled_from(LIES), max_size=2))
    del column[:]
    for value in values:
        try:
            column.append(value)
        except ValueError:  # more than this column's type can say
            column.append(0)


def changed(change: Callable[[Any], object]) -> bytes:
    message = wire.COLUMNAR_PAYLOAD.FromString(REFERENCE)
    change(message.metric_data)
    return bytes(message.SerializeToString())


def replace(column: str, values: list[Any]) -> Callable[[Any], None]:
    def change(data: Any) -> None:
        del getattr(data, column)[:]
        getattr(data, column).extend(values)

    return change


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (replace("name_refs", [3, 0]), "column 11 refers to an entry"),
        (replace("name_refs", [-1, 1]), "column 11 refers to an entry"),
        (replace("name_refs", [1]), "column 11 has 1 values, 2 are expected"),
        (replace("tagset_refs", []), "column 12 has 0 values"),
        (replace("tagset_refs", [1, 2]), "column 12 refers"),
        (replace("resources_refs", [2, 0]), "column 13 refers"),
        (replace("intervals", [1, 2, 3]), "column 14 has 3 values"),
        (replace("num_points", [1, 1]), "column 15 do not add up to the 3 values"),
        (replace("num_points", [2**63, 2**63 + 3]), "column 15 do not add up"),
        (replace("num_points", [2**64 - 1, 4]), "column 15 do not add up"),
        (replace("timestamps", [1]), "column 15 do not add up to the 1 values"),
        (replace("vals_sint64", [4, 7, 1]), "column 17 has 3 values, 2 are expected"),
        (replace("vals_float32", []), "column 18 has 0 values, 1 are expected"),
        (replace("vals_float64", [1.0]), "column 19 has 1 values, 0 are expected"),
        (replace("sketch_num_bins", [0]), "column 20 has 1 values, 0 are expected"),
        (replace("sketch_bin_keys", [1]), "column 20 do not add up"),
        (replace("sketch_bin_cnts", [1]), "column 22 has 1 values"),
        (replace("source_type_name_refs", [2, 0]), "column 23 refers"),
        (replace("origin_info_refs", [3, 0]), "column 24 refers"),
        (replace("unit_refs", [1]), "column 26 has 1 values, 0 are expected"),
        (replace("types", [0x43, 0x12]), "column 10 has a type"),
        (replace("types", [0x223, 0x12]), ""),
        (replace("dict_tagsets", [1, 1, 3, -1, 3]), "set that is longer"),
        (replace("dict_tagsets", [-1]), "set that is longer"),
        (replace("dict_tagsets", [1, 3, 2, -1, 3]), "column 3 refers"),
        (replace("dict_tagsets", [1, -1, 2, -1, 3]), "column 3 refers"),
        (replace("dict_resource_len", [2]), "column 5 do not add up"),
        (replace("dict_resource_type", [3]), "column 6 refers"),
        (replace("dict_resource_name", [3]), "column 7 refers"),
        (lambda data: setattr(data, "dict_tag_str", b"\x09\xff"), "dictionary is cut short"),
    ],
)
def test_each_check_says_what_is_wrong(change: Callable[[Any], object], complaint: str) -> None:
    if not complaint:  # a unit that is flagged and not there is none
        assert rows_of_payload(changed(change)).series["unit"].to_pylist() == ["", ""]
        return
    with pytest.raises(Undecodable, match=complaint):
        rows_of_payload(changed(change))


def test_optional_columns_may_be_missing() -> None:
    def without(data: Any) -> None:
        for column in ("source_type_name_refs", "origin_info_refs", "unit_refs"):
            data.ClearField(column)

    assert rows_of_payload(changed(without)).series["source_type"].to_pylist() == ["", ""]


def test_text_that_is_not_utf_8_is_made_legible() -> None:
    def illegible(data: Any) -> None:
        data.dict_tag_str = b"\x03a:\xff\x08role:web"
        data.dict_name_str = b"\x03a.\xff\x08app.hits"

    rows = rows_of_payload(changed(illegible)).series
    assert rows["sent_tags"].to_pylist() == [["a:\ufffd"], ["a:\ufffd", "role:web"]]
    assert rows["sent_name"].to_pylist() == ["a.\ufffd", "app.hits"]


def test_sets_of_sets_are_bounded() -> None:
    """Each set is the one before twice: forty of them would be a million million tags."""

    def tower(data: Any) -> None:
        replace("dict_tagsets", [1, 1, *(n for j in range(1, 40) for n in (2, -j, 0))])(data)
        replace("tagset_refs", [40, 0])(data)

    with pytest.raises(Undecodable, match="stands for more than 4000000 tags"):
        rows_of_payload(changed(tower))


def test_a_long_chain_of_sets_is_resolved() -> None:
    chain = [1, 1, *(n for j in range(1, 20_000) for n in (1, -j))]

    def chained(data: Any) -> None:
        replace("dict_tagsets", chain)(data)
        replace("tagset_refs", [20_000, 0])(data)

    assert rows_of_payload(changed(chained)).series["sent_tags"].to_pylist() == [["env:prod"], ["env:prod"]]


def test_what_a_body_stands_for_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A long tag a thousand times is not much on the wire."""
    many = {"series": [{**DOCUMENT["series"][0], "tags": ["t:" + "x" * 10_000]}] * 1000}
    monkeypatch.setattr(columnar_payload, "MAX_EXPANDED_BYTES", 5_000_000)
    with pytest.raises(Undecodable, match="more than 5000000 bytes of names and tags"):
        rows_of_payload(columnar.payload(many))
    monkeypatch.setattr(columnar_payload, "MAX_EXPANDED_BYTES", 50_000_000)
    assert rows_of_payload(columnar.payload(many)).series.num_rows == 1000
