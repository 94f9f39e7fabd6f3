import pytest
from hypothesis import given
from hypothesis import strategies as st

from opstrace.errors import BadQuery
from opstrace.promql.duration import parse_duration


@pytest.mark.parametrize(
    ("text", "duration_ms"),
    [
        ("0", 0),
        ("0s", 0),
        ("5m", 300_000),
        ("1h30m", 5_400_000),
        ("10s53ms", 10_053),
        ("1y2w3d4h5m6s7ms", 365 * 86_400_000 + 17 * 86_400_000 + 4 * 3_600_000 + 306_007),
        ("90000000000ms", 90_000_000_000),
    ],
)
def test_reads(text: str, duration_ms: int) -> None:
    assert parse_duration(text) == duration_ms


@pytest.mark.parametrize(
    "text", ["", "1", "5", "m", "-5m", "5m1h", "5m5m", "1.5h", "5 m", "5M", "5m ", "300y", "٣m", "9" * 5000 + "s"]
)
def test_refuses(text: str) -> None:
    with pytest.raises(BadQuery):
        parse_duration(text)


@given(st.integers(0, 10**12), st.integers(0, 10**6))
def test_adds_up(milliseconds: int, seconds: int) -> None:
    assert parse_duration(f"{seconds}s{milliseconds}ms") == seconds * 1000 + milliseconds
