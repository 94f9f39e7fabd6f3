import gzip
import json
from itertools import chain

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from opstrace.promql.engine import Engine, Result
from opstrace.promql.testlanguage import Load, parse_script
from opstrace.promql.testscript import block_of
from opstrace.store.backend import Block
from opstrace.store.budget import Budget
from opstrace.web import encode, numerals
from promql.memory_store import MemoryStore

NAMES = st.text(min_size=1, max_size=5)
LABELS = st.dictionaries(NAMES, st.text(min_size=1, max_size=5), max_size=3)
VALUES = st.floats(width=64)
TIMES_MS = st.integers(-(10**12), 10**13)


@st.composite
def grids(draw: st.DrawFn) -> Result:
    series, steps = draw(st.integers(0, 5)), draw(st.integers(1, 4))
    cells = st.lists(VALUES, min_size=series * steps, max_size=series * steps)
    masks = st.lists(st.booleans(), min_size=series * steps, max_size=series * steps)
    times = sorted(draw(st.sets(TIMES_MS, min_size=steps, max_size=steps)))
    return Result(
        kind=draw(st.sampled_from(("matrix", "vector"))) if steps == 1 else "matrix",
        labels=draw(st.lists(LABELS, min_size=series, max_size=series)),
        timestamps=np.array(times, dtype=np.int64),
        values=np.array(draw(cells), dtype=np.float64).reshape(series, steps),
        present=np.array(draw(masks), dtype=bool).reshape(series, steps),
    )


def obvious(result: Result) -> list[dict[str, object]]:
    """What the result must say, sample after sample."""
    rows: list[dict[str, object]] = []
    for labels, values, present in zip(result.labels, result.values, result.present, strict=True):
        points = [
            [float(numerals.format_time(int(at))), numerals.format_floats(np.array([value])).to_pylist()[0]]
            for at, value, there in zip(result.timestamps, values, present, strict=True)
            if there
        ]
        if points:
            part = {"value": points[0]} if result.kind == "vector" else {"values": points}
            rows.append({"metric": dict(labels), **part})
    return rows


@given(grids(), st.integers(1, 3))
def test_results_say_each_sample_whatever_the_slices(result: Result, slice_samples: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(encode, "SLICE_SAMPLES", slice_samples)
        text = b"".join(encode.result_json(result))
    assert json.loads(text) == {"resultType": result.kind, "result": obvious(result)}
    assert len(text) <= encode.bytes_at_most(result)


@given(st.lists(st.lists(st.tuples(TIMES_MS, VALUES), min_size=1, max_size=4), max_size=4), st.integers(1, 3))
def test_raw_samples(series: list[list[tuple[int, float]]], slice_samples: int) -> None:
    samples = list(chain.from_iterable(series))
    block = Block(
        labels=[{"n": str(index)} for index in range(len(series))],
        offsets=np.cumsum([0, *map(len, series)], dtype=np.int64),
        times_ms=np.array([at for at, _ in samples], dtype=np.int64),
        values=np.array([value for _, value in samples], dtype=np.float64),
    )
    empty = np.empty((0, 1))
    result = Result("matrix", [], np.array([0]), empty, empty.astype(bool), raw=block)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(encode, "SLICE_SAMPLES", slice_samples)
        text = b"".join(encode.result_json(result))
    assert len(text) <= encode.bytes_at_most(result)
    found = json.loads(text)["result"]
    assert [one["metric"]["n"] for one in found] == [str(index) for index in range(len(series))]
    texts = [[[float(numerals.format_time(at)), value] for at, value in one] for one in series]
    assert [[at for at, _ in one["values"]] for one in found] == [[at for at, _ in one] for one in texts]
    for one, expected in zip(found, series, strict=True):
        assert [text for _, text in one["values"]] == numerals.format_floats(
            np.array([value for _, value in expected])
        ).to_pylist()


# ---------------------------------------------------------------------------------------------------------------
# Native histograms, from the memory store

HISTOGRAMS = """load 1m
  h{a="1"} {{count:9 sum:2.5 z_bucket:1 z_bucket_w:0.5 offset:1 buckets:[2 0 3] n_buckets:[3]}} 4 _ {{}}
  h{a="2"} _ 5 6
  h{a="3"} {{schema:-53 count:4 sum:NaN custom_values:[1 2] buckets:[1 1 2]}}
"""
FIRST = {
    "count": "9",
    "sum": "2.5",
    "buckets": [[1, "-1", "-0.5", "3"], [3, "-0.5", "0.5", "1"], [0, "1", "2", "2"], [0, "4", "8", "3"]],
}
CUSTOM = {
    "count": "4",
    "sum": "NaN",
    "buckets": [[3, "-Inf", "1", "1"], [0, "1", "2", "1"], [0, "2", "+Inf", "2"]],
}
EMPTY = {"count": "0", "sum": "0"}


def encoded(query: str, *grid_ms: int) -> list[dict[str, object]]:
    store, budget = MemoryStore(), Budget()
    for load in parse_script(HISTOGRAMS):
        assert isinstance(load, Load)
        store.appender("t").append(block_of(load))
    querier = store.querier("t", budget)
    if len(grid_ms) == 1:
        result = Engine().instant(querier, query, grid_ms[0], budget)
    else:
        result = Engine().range(querier, query, *grid_ms, budget)
    found = json.loads(b"".join(encode.result_json(result)))["result"]
    return [{"a": one["metric"]["a"], **{key: one[key] for key in one.keys() - {"metric"}}} for one in found]


def test_histograms_of_an_instant() -> None:
    assert encoded("h", 0) == [{"a": "1", "histogram": [0, FIRST]}, {"a": "3", "histogram": [0, CUSTOM]}]
    assert encoded("h", 60_000) == [
        {"a": "1", "value": [60, "4"]},
        {"a": "2", "value": [60, "5"]},
        {"a": "3", "histogram": [60, CUSTOM]},
    ]


@pytest.mark.parametrize("slice_samples", [1, 3, 100])
def test_histograms_of_a_range_stand_beside_the_floats(slice_samples: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encode, "SLICE_SAMPLES", slice_samples)
    assert encoded("h", 0, 180_000, 60_000) == [
        {"a": "1", "values": [[60, "4"], [120, "4"]], "histograms": [[0, FIRST], [180, EMPTY]]},
        {"a": "2", "values": [[60, "5"], [120, "6"], [180, "6"]]},
        {"a": "3", "histograms": [[at, CUSTOM] for at in (0, 60, 120, 180)]},
    ]


@pytest.mark.parametrize("slice_samples", [1, 2, 100])
def test_raw_histograms(slice_samples: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encode, "SLICE_SAMPLES", slice_samples)
    assert encoded("h[10m]", 180_000) == [
        {"a": "1", "values": [[60, "4"]], "histograms": [[0, FIRST], [180, EMPTY]]},
        {"a": "2", "values": [[60, "5"], [120, "6"]]},
        {"a": "3", "histograms": [[0, CUSTOM]]},
    ]


@given(st.lists(st.text(max_size=3)), st.lists(LABELS))
def test_lists(names: list[str], label_sets: list[dict[str, str]]) -> None:
    assert json.loads(b"".join(encode.list_json(names))) == names
    assert json.loads(b"".join(encode.list_json(label_sets))) == label_sets


def test_a_long_list_is_one_list() -> None:
    names = [str(number) for number in range(25_000)]
    assert json.loads(b"".join(encode.list_json(names))) == names


def test_labels_are_sorted_and_empty_ones_left_out() -> None:
    assert b"".join(encode.list_json([{"b": "1", "a": "", "__name__": "m"}])) == b'[{"__name__":"m","b":"1"}]'


def test_what_utf_8_cannot_say_is_replaced() -> None:
    assert json.loads(encode.json_bytes({"a\udcff": ["\ud800b", 1]})) == {"a\ufffd": ["\ufffdb", 1]}


def test_the_envelope() -> None:
    body = b"".join(encode.success((b"[", b"]"), ["w"], ["i"]))
    assert json.loads(body) == {"status": "success", "data": [], "warnings": ["w"], "infos": ["i"]}
    assert json.loads(encode.error("bad_data", 'a "b"')) == {
        "status": "error",
        "errorType": "bad_data",
        "error": 'a "b"',
    }


@settings(max_examples=20)
@given(st.lists(st.binary(max_size=2_000), max_size=5))
def test_small_answers_stay_as_they_are_and_large_ones_shrink(pieces: list[bytes]) -> None:
    whole = b"".join(pieces)
    sent, zipped = encode.gzipped(iter(pieces))
    assert zipped == (len(whole) >= encode.GZIP_FROM_BYTES)
    assert (gzip.decompress(b"".join(sent)) if zipped else b"".join(sent)) == whole
