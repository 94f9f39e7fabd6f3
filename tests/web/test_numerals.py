import math
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from opstrace.web import numerals

VALUES = st.floats(width=64)
TIMES_MS = st.integers(-(10**12), 10**13)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (-0.0, "-0"),
        (1.0, "1"),
        (-1.5, "-1.5"),
        (0.1, "0.1"),
        (1 / 3, "0.3333333333333333"),
        (123456789.125, "123456789.125"),
        (1e15, "1000000000000000"),
        (1e15 + 0.5, "1000000000000000.5"),
        (12345678901234567.0, "12345678901234568"),
        (1e20, "100000000000000000000"),
        (1.2345678901234568e20, "123456789012345680000"),
        (1e21, "1e+21"),
        (-1.7976931348623157e308, "-1.7976931348623157e+308"),
        (1e-6, "0.000001"),
        (1.5e-5, "0.000015"),
        (9.9e-7, "9.9e-07"),
        (5e-324, "5e-324"),
        (math.nan, "NaN"),
        (math.inf, "+Inf"),
        (-math.inf, "-Inf"),
    ],
)
def test_numbers(value: float, text: str) -> None:
    assert numerals.format_floats(np.array([value])).to_pylist() == [text]


@given(st.lists(VALUES))
def test_numbers_read_back_and_are_spelled_as_go_spells_them(values: list[float]) -> None:
    for value, text in zip(
        values, numerals.format_floats(np.array(values, dtype=np.float64)).to_pylist(), strict=True
    ):
        assert repr(float(text)) == repr(value) or math.isnan(value)
        exponent = value != 0 and math.isfinite(value) and not 1e-6 <= abs(value) < 1e21
        plain, scientific = r"-?[0-9]+(\.[0-9]*[1-9])?", r"-?[0-9](\.[0-9]*[1-9])?e[+-][0-9]{2,3}"
        pattern = scientific if exponent else plain if math.isfinite(value) else r"NaN|[+-]Inf"
        assert re.fullmatch(pattern, text)
        assert not math.isfinite(value) or len(re.sub(r"\D", "", text).strip("0")) <= 17 + 3


@given(st.lists(TIMES_MS))
def test_times(times_ms: list[int]) -> None:
    texts = numerals.format_times(np.array(times_ms, dtype=np.int64)).to_pylist()
    assert texts == [numerals.format_time(time_ms) for time_ms in times_ms]
    assert [round(float(text) * 1000) for text in texts] == times_ms
    assert all(re.fullmatch(r"-?[0-9]+(\.[0-9]{3})?", text) for text in texts)
