"""Random queries over random data, asked of Debian's Prometheus and of us.

Questions that once had different answers are in `kept.tsv`, and asked for ever. For more than the ones that always
run: `pytest tests/differential --fresh 5000`; what fails there for our fault belongs into the file.
"""

import http.client
import json
import math
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any
from urllib.parse import urlencode

import pytest
from bench.process import Server
from bench.products import prometheus

from differential.data import MARKER, SPAN_S, Dataset
from differential.grammar import Grammar
from end_to_end.instance import Instance, running
from end_to_end.remote_write import HEADERS_V1, snappy, with_marker, write_request

LINES = (Path(__file__).parent / "kept.tsv").read_text().splitlines()
KEPT = [line.split("\t") for line in LINES if not line.startswith("#")]
ALWAYS = range(400)
OFF_GRID_S = 7  # no subquery's step lies on a window's edge
CONFIG = {"storage": {"tsdb": {"out_of_order_time_window": "3h"}}}
TOLERANCE = 1e-9


@dataclass(frozen=True)
class Judges:
    """The two servers with the same data, and when it begins."""

    reference: Server
    ours: Instance
    start_s: int

    def write(self, body: bytes) -> None:
        sent = snappy(body)
        connection = http.client.HTTPConnection("127.0.0.1", self.reference.port, timeout=30)
        connection.request("POST", "/api/v1/write", sent, HEADERS_V1)
        response = connection.getresponse()
        assert response.status == 204, response.read()
        connection.close()
        key = {"DD-API-KEY": self.ours.key()}
        answer = self.ours.send("POST", "/prometheus/api/v1/write", sent, {**HEADERS_V1, **key})
        assert answer.status == 204, answer

    def ask(self, endpoint: str, parameters: dict[str, str]) -> tuple[Any, Any]:
        """Return what both answer: the result, or None for an error."""
        path = f"/api/v1/{endpoint}?{urlencode(parameters)}"
        connection = http.client.HTTPConnection("127.0.0.1", self.reference.port, timeout=30)
        connection.request("GET", path)
        theirs = json.loads(connection.getresponse().read())
        connection.close()
        ours = self.ours.send("GET", f"/prometheus{path}", headers={"DD-API-KEY": self.ours.key()}).json()
        return _result(theirs), _result(ours)


def _result(answer: Any) -> Any:
    """Return an answer's series with their values by time; None for an error of the execution."""
    if answer["status"] != "success":
        assert answer["errorType"] == "execution", answer
        return None
    return {
        tuple(sorted(row["metric"].items())): {
            at_s: float(value) for at_s, value in row.get("values") or [row["value"]]
        }
        for row in answer["data"]["result"]
    }


@pytest.fixture(scope="module")
def judges(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Judges]:
    start_s = (int(time.time()) - SPAN_S - 60) // 60 * 60
    directory = tmp_path_factory.mktemp("differential")
    with ExitStack() as stack:
        reference = stack.enter_context(prometheus(directory, CONFIG))
        ours = stack.enter_context(running(directory, "differential", {"tenants": ["default"]}))
        found = Judges(reference, ours, start_s)
        for body in Dataset(1, start_s * 1000).bodies():
            found.write(with_marker(write_request(body), MARKER))
        yield found


def test_the_data_is_the_same(judges: Judges) -> None:
    """Every sample, late ones and markers' effects included; and there is something to compare at all."""
    for name, series in (("c", 12), ("g", 12), ("n", 12), ("h_bucket", 15)):
        theirs, ours = judges.ask(*Question(f"{name}[{SPAN_S}s]", SPAN_S).asked(judges.start_s))
        assert len(theirs) == series
        assert _different(theirs, ours) == ""


@dataclass(frozen=True)
class Question:
    """A query and its times, in seconds from the beginning of the data; an instant query has no end."""

    query: str
    start_s: int
    end_s: int | None = None
    step_s: int | None = None

    @classmethod
    def of_seed(cls, seed: int) -> "Question":
        random, query = Random(seed), Grammar(seed).query()
        start_s = random.randrange(0, SPAN_S // 60) * 60 + OFF_GRID_S
        if random.random() < 0.3:
            return cls(query, start_s)
        step_s = random.choice((60, 120, 300))
        return cls(query, start_s, start_s + step_s * random.randrange(1, 40), step_s)

    @classmethod
    def of_line(cls, start: str, end: str, step: str, query: str) -> "Question":
        return cls(query, int(start), int(end), int(step)) if end else cls(query, int(start))

    def asked(self, begin_s: int) -> tuple[str, dict[str, str]]:
        """Return the endpoint and the parameters."""
        if self.end_s is None:
            return "query", {"query": self.query, "time": str(begin_s + self.start_s)}
        bounds = {"start": str(begin_s + self.start_s), "end": str(begin_s + self.end_s), "step": str(self.step_s)}
        return "query_range", {"query": self.query, **bounds}


def test_queries(judges: Judges, fresh: int) -> None:
    """The same labels, the same steps, the same values to the last digits; the same refusals."""
    seeds = [*ALWAYS, *range(1_000_000, 1_000_000 + fresh)]
    questions = [Question.of_line(*line) for line in KEPT] + [Question.of_seed(seed) for seed in seeds]
    failed = []
    answered = 0
    for question in questions:
        theirs, ours = judges.ask(*question.asked(judges.start_s))
        answered += bool(theirs)
        if difference := _different(theirs, ours):
            failed.append(f"{question}\n    {difference}")
    assert failed == [], "\n".join(failed)
    assert answered > len(questions) / 2, "most queries have no answer: nothing was compared"


def _different(theirs: Any, ours: Any) -> str:
    """Say what differs, or nothing."""
    if theirs is None or ours is None:
        return "" if theirs is ours else f"an error of {'Prometheus' if theirs is None else 'ours'} alone"
    if theirs.keys() != ours.keys():
        return f"series: theirs alone {theirs.keys() - ours.keys()}, ours alone {ours.keys() - theirs.keys()}"
    for labels, values in theirs.items():
        if values.keys() != ours[labels].keys():
            return f"steps of {labels}: theirs {list(values)}, ours {list(ours[labels])}"
        for at_s, value in values.items():
            if not _close(value, ours[labels][at_s]):
                return f"{labels} at {at_s}: theirs {value!r}, ours {ours[labels][at_s]!r}"
    return ""


def _close(theirs: float, ours: float) -> bool:
    if math.isnan(theirs) or math.isnan(ours):
        return math.isnan(theirs) and math.isnan(ours)
    return math.isclose(theirs, ours, rel_tol=TOLERANCE, abs_tol=TOLERANCE)
