"""Sketches of a commit as columns, against dictionaries."""

import math
from collections import Counter
from typing import Any

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from opstrace.intake.series.sent_sketches import SentSketches

KEYS = st.integers(-4, 4) | st.sampled_from([-32768, -32767, -32766, 32766, 32767, 32768])
COUNTS = st.integers(0, 3) | st.sampled_from([2**53, 2**53 + 1])
NUMBERS = st.sampled_from([0.5, -1.0, math.inf, math.nan])


@st.composite
def sketches(draw: st.DrawFn) -> dict[str, Any]:
    keys = draw(st.lists(KEYS, max_size=6))
    if draw(st.booleans()):
        keys = sorted(set(keys))
    counts = draw(st.lists(COUNTS, min_size=len(keys), max_size=len(keys) + draw(st.integers(0, 1))))
    cnt = draw(st.integers(-1, 3) | st.sampled_from([2**53, 2**53 + 1]))
    return {"cnts": cnt, "sums": draw(NUMBERS), "minima": 0.0, "maxima": 1.0, "keys": keys, "counts": counts}


SERIES = st.lists(st.lists(sketches(), max_size=3), max_size=4)
TYPES = {"cnts": pa.int64(), "keys": pa.list_(pa.int32()), "counts": pa.list_(pa.uint64())}


def table(series: list[list[dict[str, Any]]]) -> pa.Table:
    """Return a row a series; places number all sketches."""
    place = iter(range(100))
    numbered = [[{**sketch, "places": next(place)} for sketch in one] for one in series]
    types = {**dict.fromkeys(("sums", "minima", "maxima"), pa.float64()), "places": pa.uint64(), **TYPES}
    return pa.table(
        {
            name: pa.array([[sketch[name] for sketch in one] for one in numbered], pa.list_(kind))
            for name, kind in types.items()
        }
    )


def is_sound(sketch: dict[str, Any]) -> bool:
    return (
        1 <= sketch["cnts"] <= 2**53
        and len(sketch["keys"]) == len(sketch["counts"])
        and any(sketch["counts"])
        and all(-32767 <= key <= 32767 for key in sketch["keys"])
        and all(count <= 2**53 for count in sketch["counts"])
    )


def stored_bins(sketch: dict[str, Any]) -> dict[int, int]:
    bins: Counter[int] = Counter()
    for key, count in zip(sketch["keys"], sketch["counts"], strict=True):
        bins[max(min(key, 32766), -32766)] += count
    return {key: count for key, count in sorted(bins.items()) if count}


@given(SERIES, st.integers(0, 4), st.data())
def test_what_is_sound_is_stored_in_order(series: list[list[dict[str, Any]]], cut: int, data: st.DataObject) -> None:
    tables = [table(series).slice(0, cut), pa.table({"body": [1]}), table(series).slice(cut)]
    found = SentSketches.of(tables)
    sent = [sketch for one in series for sketch in one]
    if not any(series) and found is None:
        return
    assert found is not None
    numbers, unsound = found.numbers()
    assert unsound.tolist() == [not is_sound(sketch) for sketch in sent]
    for number, sketch in zip(numbers.tolist(), sent, strict=True):
        whole = is_sound(sketch) and math.isfinite(sketch["sums"])
        assert number == sketch["cnts"] if whole else math.isnan(number)
    chosen = np.array([is_sound(sketch) and data.draw(st.booleans()) for sketch in sent], dtype=bool)
    rows = found.rows(chosen).to_pylist()
    wanted = [(place, sketch) for place, sketch in enumerate(sent) if chosen[place]]
    assert [row["place"] for row in rows] == [place for place, _ in wanted]
    assert [row["cnt"] for row in rows] == [sketch["cnts"] for _, sketch in wanted]
    bins = [dict(zip(row["keys"], row["counts"], strict=True)) for row in rows]
    assert [list(one.items()) for one in bins] == [list(stored_bins(sketch).items()) for _, sketch in wanted]
