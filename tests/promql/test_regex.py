"""Expressions that RE2 would take minutes for are refused, and those that people write are not."""

import pytest

from opstrace.promql import regex


@pytest.mark.parametrize(
    "pattern",
    [
        "N(?:" + "[a-z]{1,900}" * 150 + ")",
        "(?:" * 3 + "[a-z]" + "{1,9}){1,9}){1,9}" + "x?" + "(?:(?:(?:a{1,10}){1,10}){1,10})" * 20,
        "a{1000}" * 11,
        "(a{100}b{100}){60}",
        "a{1," + "9" * 5000 + "}",
    ],
)
def test_repetitions_are_bounded(pattern: str) -> None:
    assert "too large" in regex.fault(pattern) or "repeat" in regex.fault(pattern)


@pytest.mark.parametrize(
    "pattern",
    [
        "[a-z]{1,63}(?:\\.[a-z]{1,63}){0,10}",
        "|".join(f"host-{number}\\.example\\.com" for number in range(5000)),
        "\\d{1,3}(\\.\\d{1,3}){3}:\\d{2,5}",
        "\\Q{1,1000}\\E" * 20,
        "[{1,1000}]" * 20,
        "\\{1,1000\\}" * 20,
        "(a{1000}){0}" * 3,
        "\\x{10348}{2}",
        "(?P<averylongname>x){1000}",
        "(?i:x){1000}",
        "(?i)x{1000}",
        "\\Qabcdefghijklmnop\\E{1000}",
        "[[:alpha:]\\]{1,1000}x]{2}",
        "[^]{1,1000}]{2}",
        "a{1}" + "[" * 60_000,
        "a{1}" + "(" * 60_000,
        "a{1}" + "{1" * 30_000,
        "{",
        ")",
    ],
)
def test_others_are_not(pattern: str) -> None:
    assert "too large" not in regex.fault(pattern)
