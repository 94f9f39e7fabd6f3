"""Text that is no UTF-8, where a protobuf field holds it, is legible in the store, and as new as it was."""

import time
from pathlib import Path

from end_to_end import wire
from intake.series.test_series_room import committed, translator
from opstrace.intake.payload import Body, Family

ILLEGIBLE = b"\xff\xfe\x80\xc0"
COLUMNS = "name, metric_name, host, tags, toString(unit) AS unit, toString(source_type) AS source"
AS_SENT = "unhex('612EFFFE80C0'), unhex('FFFE80C0'), 'gauge', 0, [unhex('6BFFFE80C03AFFFE80C0'), unhex('FFFE80C0')]"


def body(now_s: int) -> Body:
    series = {
        "metric": "a.~~~~",
        "points": [{"timestamp": now_s, "value": 1}],
        "resources": [{"type": "host", "name": "~~~~"}],
        "tags": ["k~~~~:~~~~", "~~~~"],
        "unit": "~~~~",
        "source_type_name": "~~~~",
    }
    content = wire.metric_payload({"series": [series]}).replace(b"~~~~", ILLEGIBLE)
    return Body(Family.SERIES_V2_PROTOBUF, "t", content)


def test_it_is_legible_in_the_store_and_makes_the_series_it_made_before(tmp_path: Path) -> None:
    now_s = int(time.time())
    with translator(tmp_path) as target:
        assert committed(target, body(now_s))[0].series == {"stored": 1}
        _, added = target.commit([body(now_s)])
        assert added == 0
        connection = target._connection
        (row,) = connection.read(f"SELECT {COLUMNS} FROM series").to_pylist()
        cleaned = {"metric_name": "a.\ufffd", "host": "\ufffd", "tags": ["k\ufffd:\ufffd", "\ufffd"]}
        assert row == {"name": "a__", **cleaned, "unit": "\ufffd", "source": "\ufffd"}
        same = f"SELECT series = series_of({AS_SENT}), metric = sipHash64(unhex('612EFFFE80C0')) FROM series"
        assert [column.to_pylist() for column in connection.read(same)] == [[1], [1]]
