"""How answers are shown, and the command against a running instance."""

import json
import math
import re
import time

import pytest

from end_to_end.instance import Instance, running
from end_to_end.remote_write import HEADERS_V1, snappy, write_request
from opstrace.query_client import Steps, line, series_name, step_of, table


def seconds(first: int, last: int) -> Steps:
    """Return a step a second."""
    return Steps(first * 1000, last * 1000, 1000)


def test_a_line_goes_from_the_lowest_to_the_highest() -> None:
    assert line([(n, n) for n in range(8)], seconds(0, 7)) == "▁▂▃▄▅▆▇█"
    assert line([(0, 5), (1, 5)], seconds(0, 1)) == "▁▁"
    assert line([(0, 1), (1, math.nan), (2, 3)], seconds(0, 2)) == "▁ █"
    assert line([(0, 1), (10, 2), (100, 3)], seconds(0, 100), width=3) == "▁ █"
    assert len(line([(n, n % 7) for n in range(1000)], seconds(0, 999))) == 60
    assert line([(7, math.inf)], seconds(7, 7)) == " "


def test_lines_of_the_same_steps_have_their_samples_below_each_other() -> None:
    steps = seconds(100, 109)
    assert line([(100, 1), (101, 2)], steps) == "▁█        "
    assert line([(108, 1), (109, 2)], steps) == "        ▁█"
    early, late = ({"metric": {}, "values": [[at, "1"], [at + 1, "2"]]} for at in (100, 108))
    rows = table({"resultType": "matrix", "result": [early, late]}, 9)
    assert [row[-1] for row in rows[1:]] == ["▁█        ", "        ▁█"]  # of a range selector
    rows = table({"resultType": "matrix", "result": [early, late]}, 9, steps)
    assert [row[-1] for row in rows[1:]] == ["▁█        ", "        ▁█"]


@pytest.mark.parametrize("samples", range(2, 200))
def test_a_line_has_no_gap_where_no_sample_is_missing(samples: int) -> None:
    first_s = 1_795_521_600
    steps = Steps(first_s * 1000, (first_s + 60 * (samples - 1)) * 1000, 60_000)
    assert " " not in line([(first_s + 60 * n, n) for n in range(samples)], steps)


def test_the_largest_numbers_have_a_line() -> None:
    assert line([(0, -1.7e308), (1, 0), (2, 1.7e308)], seconds(0, 2)) == "▁▅█"
    assert set(line([(n, 1.7e308) for n in range(100)], seconds(0, 99))) == {"▁"}


@pytest.mark.parametrize("value", [0.1, 3000, 1e-320, 1.7976931348623157e308])
@pytest.mark.parametrize("samples", [61, 361, 1441])
def test_a_constant_is_a_flat_line(value: float, samples: int) -> None:
    assert line([(n, value) for n in range(samples)], seconds(0, samples - 1)) == "▁" * 60


def test_steps() -> None:
    assert step_of(3_600_000, None) == 60_000
    assert step_of(1000, None) == 1000
    assert step_of(100_000, None) == 2000
    assert step_of(3_600_000, 15_000) == 15_000


@pytest.mark.parametrize(
    ("range_ms", "step_ms", "times"),
    [
        (3_600_000, None, ("1795520999.789", "1795524599.789", "60.000")),
        (100_000, 30_000, ("1795524509.789", "1795524599.789", "30.000")),
        (1_000, 60_000, ("1795524599.789", "1795524599.789", "60.000")),
    ],
)
def test_a_range_ends_now_after_whole_steps(range_ms: int, step_ms: int | None, times: tuple[str, ...]) -> None:
    assert tuple(Steps.until(1_795_524_599_789, range_ms, step_ms).parameters.values()) == times


def test_names_are_promqls() -> None:
    assert series_name({"__name__": "up", "b": 'q"', "a": "ä"}) == 'up{a="ä", b="q\\""}'
    assert series_name({"__name__": "up"}) == "up"
    assert series_name({}) == "{}"


def test_tables() -> None:
    vector = {
        "resultType": "vector",
        "result": [{"metric": {"n": str(n)}, "value": [0, "1.23456789"]} for n in range(3)],
    }
    assert table(vector, 2) == [
        ["SERIES", "VALUE"],
        ['{n="0"}', "1.23457"],
        ['{n="1"}', "1.23457"],
        ["… 1 more; --limit shows them", ""],
    ]
    assert table({"resultType": "scalar", "result": [0, "7"]}, 9) == [["VALUE"], ["7"]]
    histogram = {"metric": {}, "histogram": [0, {"count": "3", "sum": "4.5", "buckets": []}]}
    assert table({"resultType": "vector", "result": [histogram]}, 9)[1] == ["{}", "count 3, sum 4.5"]
    matrix = {"metric": {"a": "b"}, "values": [[0, "1"], [1, "NaN"], [2, "3"]]}
    nothing = {"metric": {}, "values": [[0, "NaN"]]}
    assert table({"resultType": "matrix", "result": [matrix, nothing]}, 9)[1:] == [
        ['{a="b"}', "1", "3", "3", "▁ █"],
        ["{}", "-", "-", "NaN", ""],
    ]
    odd = {"metric": {}, "values": [[0, "-Inf"], [1, "1"], [2, "+Inf"]]}
    assert table({"resultType": "matrix", "result": [odd]}, 9)[1] == ["{}", "-Inf", "+Inf", "+Inf", " ▁ "]
    histograms = {"metric": {}, "histograms": [[at, {"count": str(at + 3), "sum": "9"}] for at in range(2)]}
    assert table({"resultType": "matrix", "result": [histograms]}, 9)[1] == [
        "{}",
        "count 3",
        "count 4",
        "count 4",
        "▁█",
    ]


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Instance:
    with running(tmp_path_factory.mktemp("query"), "asked", {"tenants": ["default", "other"]}) as instance:
        at_ms = int(time.time()) * 1000
        samples = [{"timestamp": at_ms - 60_000 * n, "value": 5 - n} for n in range(5)]
        body = write_request({"timeseries": [{"labels": {"__name__": "shown", "a": "b"}, "samples": samples}]})
        headers = {**HEADERS_V1, "DD-API-KEY": instance.key()}
        assert instance.send("POST", "/prometheus/api/v1/write", snappy(body), headers).status == 204
        yield instance  # type: ignore[misc]


def test_the_value_now(asked: Instance) -> None:
    """Without a name, as there is one instance."""
    assert asked.run("query", "shown * 2").stdout.splitlines() == ["SERIES   VALUE", '{a="b"}  10']
    assert json.loads(asked.run("query", "shown", "asked", "--json").stdout)["data"]["result"][0]["value"][1] == "5"


def test_over_a_range(asked: Instance) -> None:
    shown = asked.run("query", "shown", "--range", "10m", "--step", "1m").stdout.splitlines()
    assert shown[0].split() == ["SERIES", "MIN", "MAX", "LAST", "OVER", "TIME"]
    assert shown[1].startswith('shown{a="b"}')
    assert shown[1].split()[1] == "1"


@pytest.mark.parametrize("length", ["1h", "1d"])
def test_a_range_has_the_latest_sample(asked: Instance, length: str) -> None:
    assert asked.run("query", "shown", "--range", length).stdout.splitlines()[1].split()[3] == "5"


def test_tenants_are_apart(asked: Instance) -> None:
    assert asked.run("query", "shown", "--tenant", "other").stdout == ""


@pytest.mark.parametrize(
    ("arguments", "code", "reason"),
    [
        (["up +"], 1, "bad_data: .*parse error"),
        (["up", "nowhere"], 1, "nowhere"),
        (["up", "--tenant", "nobody"], 1, "no tenant nobody"),
        (["up", "--range", "1x"], 2, "'--range': not a valid duration string: \"1x\"; write 90s"),
        (["up", "--range", "0s"], 2, "'--range': 0s leads nowhere"),
        (["up", "--step", "1m"], 2, "--step needs --range"),
        (["up", "--range", "1h", "--step", "0s"], 2, "'--step': 0s leads nowhere"),
        (["up", "--range", "1h", "--step", ""], 2, "'--step': not a valid duration"),
    ],
)
def test_what_goes_wrong_is_said(arguments: list[str], code: int, reason: str, asked: Instance) -> None:
    done = asked.run("query", *arguments, check=False)
    assert (done.returncode, done.stdout) == (code, "")
    assert re.search(reason, done.stderr)


def test_remarks_go_to_standard_error(asked: Instance) -> None:
    done = asked.run("query", "rate(shown[5m])")
    assert "might not be a counter" in done.stderr
    assert "might not be" not in done.stdout
