from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opstrace.errors import BadQuery
from opstrace.web.parameters import EARLIEST_MS, LATEST_MS, MAX_FIELDS, Parameters
from opstrace.web.series_endpoints import unescape_name


@pytest.mark.parametrize(
    ("text", "time_ms"),
    [
        ("0", 0),
        ("1435781451.781", 1_435_781_451_781),
        ("1435781451.7815", 1_435_781_451_782),
        ("-1.5", -1500),
        (".5", 500),
        ("1e3", 1_000_000),
        ("2015-07-01T20:10:51.781Z", 1_435_781_451_781),
        ("2015-07-01T20:10:51Z", 1_435_781_451_000),
        ("2015-07-01T22:10:51.78+02:00", 1_435_781_451_780),
        ("2015-07-01T20:10:51.781999999Z", 1_435_781_451_781),
        ("1969-12-31T23:59:59.25Z", -750),
        ("1e300", LATEST_MS),
        ("-1e300", EARLIEST_MS),
        ("-9223372036854775.808", EARLIEST_MS),
        ("0001-01-01T00:00:00Z", EARLIEST_MS),
        ("9999-12-31T23:59:59Z", LATEST_MS),
    ],
)
def test_times(text: str, time_ms: int) -> None:
    assert Parameters([("time", text)]).time_ms("time", 7) == time_ms


@pytest.mark.parametrize(
    "text",
    [
        "x",
        "1 ",
        "1_0",
        "NaN",
        "Inf",
        "0x10",
        "2015-07-01",
        "2015-13-01T00:00:00Z",
        "2015-07-01T25:00:00Z",
        "2015-07-01T20:10:51",
        "٣",
    ],
)
def test_no_times(text: str) -> None:
    with pytest.raises(BadQuery, match=r'invalid parameter "time": cannot parse .* to a valid timestamp'):
        Parameters([("time", text)]).time_ms("time", 7)


@pytest.mark.parametrize(
    ("text", "duration_ms"),
    [
        ("15", 15_000),
        ("0.5", 500),
        ("-1", -1000),
        ("1m30s", 90_000),
        ("0", 0),
        ("1e-9", 0),
        ("0.0019", 1),
        ("0.99999", 999),
        ("-0.0019", -1),
    ],
)
def test_durations(text: str, duration_ms: int) -> None:
    assert Parameters([("step", text)]).duration_ms("step", 7) == duration_ms


@pytest.mark.parametrize("text", ["x", "1 m", "m", "NaN", "1e300", "-1m", "99999999y", "9" * 6000])
def test_no_durations(text: str) -> None:
    with pytest.raises(BadQuery, match='invalid parameter "step": cannot parse'):
        Parameters([("step", text)]).duration_ms("step", 7)


@pytest.mark.parametrize("text", ["-1", "x", "1.5", "9" * 6000, "٣"])
def test_no_counts(text: str) -> None:
    with pytest.raises(BadQuery, match='invalid parameter "limit"'):
        Parameters([("limit", text)]).count("limit")


def test_absent_and_empty_take_the_default() -> None:
    for parameters in (Parameters([]), Parameters([("p", "")])):
        assert parameters.time_ms("p", 7) == 7
        assert parameters.duration_ms("p", 8) == 8
        assert parameters.count("p") == 0
        assert parameters.text("p") == ""


def test_the_form_wins_and_repeated_ones_add_up() -> None:
    parameters = Parameters.read("query=a&match[]=x", "query=b&match%5B%5D=y")
    assert parameters.text("query") == "b"
    assert parameters.every("match[]") == ["y", "x"]


def test_fields_are_bounded() -> None:
    with pytest.raises(BadQuery, match="form values"):
        Parameters.read("&".join(["a=1"] * (MAX_FIELDS + 1)))


@given(st.text(), st.text())
def test_any_text_has_parameters(query_string: str, form: str) -> None:
    parameters = Parameters.read(query_string, form)
    for read in (parameters.time_ms, parameters.duration_ms):
        with suppress(BadQuery):
            assert EARLIEST_MS <= read("a", 0) <= LATEST_MS


@given(st.integers(EARLIEST_MS // 2**10, LATEST_MS // 2**10))
def test_times_keep_their_milliseconds(time_ms: int) -> None:
    sign, seconds, rest = "-" if time_ms < 0 else "", *divmod(abs(time_ms), 1000)
    assert Parameters([("t", f"{sign}{seconds}.{rest:03d}")]).time_ms("t", 0) == time_ms


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("job", "job"),
        ("U__sy_2e_stem", "sy.stem"),
        ("U__a__b", "a_b"),
        ("U__snow_2603_", "snow\u2603"),
        ("U__bad_FFFFFF_", "U__bad_FFFFFF_"),
        ("U__", ""),
        ("U___", "U___"),
        ("U__my_zz_label", "U__my_zz_label"),
    ],
)
def test_escaped_names(text: str, name: str) -> None:
    assert unescape_name(text) == name
