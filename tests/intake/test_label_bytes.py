"""Bodies whose labels or tags take much more once they are written out: what one commit stores of them is bounded."""

import json
import time

from end_to_end.remote_write import request
from opstrace.intake.payload import Body, Family, Verdict
from opstrace.intake.remote_write.decoder import MAX_COMMIT_LABEL_BYTES
from opstrace.intake.translator import MAX_TAGS_BYTES, Translator

NOW_MS = int(time.time()) * 1000
DAY_MS = 86_400_000


def body(name: str, days: int) -> Body:
    """Return a body of 1 MB of labels for each of some days."""
    labels = {"__name__": name, **{f"label{number}": "v" * 16_000 for number in range(63)}}
    samples = [{"timestamp": NOW_MS - DAY_MS * day, "value": 1} for day in range(days)]
    series = [{"labels": {**labels, "own": str(own)}, "samples": samples} for own in range(2)]
    return Body(Family.REMOTE_WRITE_V2, "weighed", request({"timeseries": series}))


def stored(verdict: Verdict) -> int:
    return 0 if verdict.put_off or verdict.fault else verdict.stored


def test_what_is_too_much_for_one_commit_comes_again(translator: Translator) -> None:
    large, small = 25, 2
    fit = MAX_COMMIT_LABEL_BYTES // (2 * 1_012_000 * large)
    bodies = [*(body(f"large_{number}", large) for number in range(fit + 1)), body("small", small)]
    verdicts, _ = translator.commit(bodies)
    assert sorted(stored(verdict) for verdict in verdicts) == [0, 2 * small, *[2 * large] * fit]
    assert stored(verdicts[-1]) == 2 * small
    [late] = [i for i, verdict in enumerate(verdicts) if verdict.put_off]
    again, _ = translator.commit([bodies[late]])
    assert stored(again[0]) == 2 * large


def test_days_of_one_body_are_bounded(translator: Translator) -> None:
    """Of a body that is too much nothing is stored, and its neighbours are."""
    verdicts, _ = translator.commit([body("many_days", 40), body("few_days", 1)])
    assert "labels take more than" in verdicts[0].fault
    assert [stored(verdict) for verdict in verdicts] == [0, 2]


def datadog_body(name: str, days: int) -> Body:
    """Return a body of a series of 4 MB of tags for each of some days."""
    tags = [f"tag{number}:" + "v" * 16_000 for number in range(248)]
    points = [[NOW_MS // 1000 - 60 - 86_400 * day, 1] for day in range(days)]
    document = {"series": [{"metric": name, "points": points, "tags": tags}]}
    return Body(Family.SERIES_V1, "weighed", json.dumps(document).encode())


def test_tags_of_one_commit_are_bounded(translator: Translator) -> None:
    fit = MAX_TAGS_BYTES // (248 * 16_015 * 28)
    bodies = [*(datadog_body(f"tags_{number}", 28) for number in range(fit + 1)), datadog_body("tags", 1)]
    verdicts, _ = translator.commit(bodies)
    assert sorted(stored(verdict) for verdict in verdicts) == [0, 1, *[28] * fit]
    [late] = [i for i, verdict in enumerate(verdicts) if verdict.put_off]
    again, _ = translator.commit([bodies[late]])
    assert stored(again[0]) == 28


def test_tags_of_one_body_are_bounded(translator: Translator) -> None:
    series = [json.loads(datadog_body(f"tags_of_{number}", 28).content)["series"][0] for number in range(3)]
    large = Body(Family.SERIES_V1, "weighed", json.dumps({"series": series}).encode())
    verdicts, _ = translator.commit([large, datadog_body("tags_beside", 1)])
    assert "tags take more than" in verdicts[0].fault
    assert [stored(verdict) for verdict in verdicts] == [0, 1]
