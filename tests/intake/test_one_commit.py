"""What comes together, whatever it is: the order in which it came is that in which it counts."""

import json
import time
from itertools import permutations
from pathlib import Path

import pytest

from end_to_end.columnar import payload
from end_to_end.wire import metric_payload
from intake.series.test_series_room import committed, stored, translator
from opstrace.intake.payload import Body, Family

NOW = int(time.time())


def body(family: Family, value: float) -> Body:
    """Return a payload of one series with one point, the same in all forms but for its value."""
    v1 = {"series": [{"metric": "m", "type": "gauge", "points": [[NOW, value]], "tags": ["a:b"]}]}
    v2 = {"series": [{"metric": "m", "type": 3, "points": [{"timestamp": NOW, "value": value}], "tags": ["a:b"]}]}
    v3 = {"series": [{"metric": "m", "type": "gauge", "points": [[NOW, value]], "tags": ["a:b"], "resources": []}]}
    content = {
        Family.SERIES_V1: lambda: json.dumps(v1).encode(),
        Family.SERIES_V2_JSON: lambda: json.dumps(v2).encode(),
        Family.SERIES_V2_PROTOBUF: lambda: metric_payload(v2),
        Family.COLUMNAR: lambda: payload(v3),
    }
    return Body(family, "t", content[family]())


FORMS = (Family.SERIES_V1, Family.SERIES_V2_JSON, Family.SERIES_V2_PROTOBUF, Family.COLUMNAR)


@pytest.mark.parametrize(
    "order", list(permutations(FORMS, 2)), ids=lambda order: " then ".join(one.value for one in order)
)
def test_of_two_points_of_one_time_the_one_that_came_later_counts(
    order: tuple[Family, Family], tmp_path: Path
) -> None:
    with translator(tmp_path) as target:
        verdicts = committed(target, body(order[0], 1.0), body(order[1], 2.0))
        assert [verdict.points for verdict in verdicts] == [{"stored": 1}, {"stored": 1}]
        assert len(set(stored(target, "samples", "series"))) == 1
        assert stored(target, "samples FINAL", "value") == [2.0]


def test_what_is_read_twice_keeps_its_place(tmp_path: Path) -> None:
    """A NaN is no JSON for the engine: it is read again, after all others."""
    series = [{"metric": "m", "type": "gauge", "points": [[NOW, 1.0], [NOW - 9, float("nan")]], "tags": ["a:b"]}]
    first = Body(Family.SERIES_V1, "t", json.dumps({"series": series}).encode())
    with translator(tmp_path) as target:
        committed(target, first, body(Family.SERIES_V1, 2.0))
        assert stored(target, "samples FINAL", "value") == [2.0]
