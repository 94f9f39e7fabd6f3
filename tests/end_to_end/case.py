"""A case of the corpus: requests, their answers, and the series that must come of them (tests/corpus/README.md)."""

import base64
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from end_to_end import columnar, wire
from end_to_end.instance import Answer, Instance, LabelSet, Samples, label_set

CORPUS = Path(__file__).parents[1] / "corpus"
CASE_KEYS = {"about", "config", "tenant", "send", "series", "absent", "counted", "asks", "logs"}
REQUEST_KEYS = {
    "headers",
    "json",
    "text",
    "hex",
    "protobuf",
    "sketches",
    "columnar",
    "encode",
    "cut",
    "chunked",
    "keyless",
    "answer",
}
METHODS = {"get", "post", "put", "patch", "delete", "head", "options"}
# What is shown of a log that says nothing but a message.
NOTHING_SAID: dict[str, Any] = {
    "host": "",
    "service": "",
    "source": "",
    "status": "info",
    "tags": [],
    "message": "",
    "attributes": {},
}
CHUNK = 1000
LONGEST_COMPLAINT = 400  # a refusal lands in the sender's log

_MOMENT = re.compile(r"now(?:([+-])([0-9]+)(?:\.([0-9]{1,3}))?)?")
_PLACEHOLDER = re.compile(r"<(now[^>]*|key(?: [a-z]+)?|basic|.\*[0-9]+)>", re.DOTALL)

# The answer of a route that took what it got (docs: the Datadog API's own answers, recorded). First match wins.
TAKEN: list[tuple[str, int, Any]] = [
    (r"/api/v1/validate", 200, {"valid": True}),
    (r"/api/v1/(series|check_run|distribution_points)", 202, {"status": "ok"}),
    (r"/intake(/.*)?", 202, {"status": "ok"}),
    (r"/api/v2/series|/api/beta/sketches|/api/intake/metrics/.*", 202, {"errors": []}),
    (r"/v1/input(/.*)?", 200, {}),
    (r"/.*", 202, {}),
]


@dataclass(frozen=True)
class Moment:
    """The whole second a case counts its times from, and the keys it may use."""

    now_s: int
    keys: Mapping[str, str]

    def milliseconds(self, text: str) -> int | None:
        """Return what `now-60` or `now-60.25` stands for, or None when the text is something else."""
        found = _MOMENT.fullmatch(text)
        if found is None:
            return None
        sign, whole, part = found.groups(default="0")
        offset = int(whole) * 1000 + int(part.ljust(3, "0"))
        return self.now_s * 1000 + (-offset if sign == "-" else offset)

    def fill(self, text: str) -> str:
        """Replace each `<…>` placeholder in the text."""
        return _PLACEHOLDER.sub(lambda found: self._placeholder(found[1]), text)

    def _placeholder(self, name: str) -> str:
        if name.startswith("now"):
            return json.dumps(self.number(name))
        if name == "basic":
            return base64.b64encode(f"any:{self.keys['default']}".encode()).decode()
        if name.startswith("key"):
            return self.keys[name[4:] or "default"]
        return name[0] * int(name[2:])

    def number(self, text: str) -> int | float:
        """Return the moment in seconds: an integer when it is whole."""
        found = self.milliseconds(text)
        assert found is not None, f"not a moment: {text}"
        return found // 1000 if found % 1000 == 0 else found / 1000

    def resolve(self, document: Any) -> Any:
        """Return the document with moments as numbers and placeholders filled, in keys as well."""
        match document:
            case str() if _MOMENT.fullmatch(document):
                return self.number(document)
            case str():
                return self.fill(document)
            case list():
                return [self.resolve(item) for item in document]
            case dict():
                return {self.fill(key): self.resolve(value) for key, value in document.items()}
        return document


@dataclass(frozen=True)
class Request:
    """One request of a case, ready to be sent, and the answer it must get."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes | list[bytes] | None
    answer: Mapping[str, Any] | None

    def send(self, instance: Instance) -> Answer:
        return instance.send(self.method, self.path, self.body, self.headers)

    def judge(self, answer: Answer) -> None:
        """Compare status, media type and body with what the case says, or with the route's own answer."""
        expected = self.answer or self._taken()
        assert answer.status == expected["status"], answer
        assert "location" not in answer.headers, answer
        assert "date" in answer.headers, answer
        for part, judge in JUDGES.items():
            if part in expected:
                judge(answer, expected[part])

    def _taken(self) -> dict[str, Any]:
        path = re.sub("/+", "/", self.path.partition("?")[0]).rstrip("/") or "/"
        status, document = next((s, d) for pattern, s, d in TAKEN if re.fullmatch(pattern, path))
        return {"status": status, "json": document}


def _judge_json(answer: Answer, expected: Any) -> None:
    assert answer.media_type == "application/json", answer
    assert answer.json() == expected


def _judge_has(answer: Answer, expected: Any) -> None:
    """The answer holds at least this; where a list is expected, just these elements in this order."""
    assert answer.media_type == "application/json", answer
    assert _held(answer.json(), expected) == expected


def _held(found: Any, expected: Any) -> Any:
    """Return what of a document an expectation speaks of."""
    match expected, found:
        case dict(), dict():
            return {key: _held(found[key], inner) for key, inner in expected.items() if key in found}
        case list(), list() if len(expected) == len(found):
            return [_held(one, like) for one, like in zip(found, expected, strict=True)]
    return found


def _judge_complaint(answer: Answer, pattern: str) -> None:
    """One short sentence, and it speaks of the matter."""
    assert answer.media_type == "application/json", answer
    document = answer.json()
    assert document.keys() == {"errors"}, document
    (complaint,) = document["errors"]
    assert 10 <= len(complaint) <= LONGEST_COMPLAINT
    assert re.search(pattern, complaint, re.IGNORECASE), complaint


def _judge_prometheus_error(answer: Answer, expected: Mapping[str, str]) -> None:
    assert answer.media_type == "application/json", answer
    document = answer.json()
    assert document["status"] == "error"
    assert document["errorType"] == expected["type"]
    assert re.search(expected["says"], document["error"]), document


def _judge_type(answer: Answer, expected: str) -> None:
    assert answer.media_type == expected, answer


def _judge_hex(answer: Answer, expected: str) -> None:
    assert answer.body == bytes.fromhex(expected)


def _judge_text(answer: Answer, expected: str) -> None:
    assert answer.body.decode().strip() == expected


JUDGES: dict[str, Callable[[Answer, Any], None]] = {
    "json": _judge_json,
    "has": _judge_has,
    "complaint": _judge_complaint,
    "prometheus_error": _judge_prometheus_error,
    "type": _judge_type,
    "hex": _judge_hex,
    "text": _judge_text,
}

# How a body is written down: the bytes it stands for, and its Content-Type unless the case gives another.
BODIES: dict[str, tuple[str | None, Callable[[Any, Moment], bytes]]] = {
    "json": ("application/json", lambda said, moment: json.dumps(moment.resolve(said)).encode()),
    "text": ("application/json", lambda said, moment: moment.fill(said).encode("utf-8", "surrogateescape")),
    "hex": (None, lambda said, _: bytes.fromhex(said)),
    "protobuf": ("application/x-protobuf", lambda said, moment: wire.metric_payload(moment.resolve(said))),
    "sketches": ("application/x-protobuf", lambda said, moment: wire.sketch_payload(moment.resolve(said))),
    "columnar": ("application/x-protobuf", lambda said, moment: columnar.payload(moment.resolve(said))),
}


def _body(said: Mapping[str, Any], moment: Moment) -> tuple[str | None, bytes | None]:
    """Return the Content-Type and the bytes of a request's body."""
    for name, (media_type, build) in BODIES.items():
        if name in said:
            return media_type, build(said[name], moment)
    return None, None


def _encoded(said: Mapping[str, Any], body: bytes | None) -> bytes | list[bytes] | None:
    """Return the body as it goes on the wire: encoded, cut short, in chunks, as the case says."""
    if body is None:
        return None
    sent = wire.ENCODERS[said["encode"]](body) if "encode" in said else body
    sent = sent[: len(sent) - said.get("cut", 0)]
    if said.get("chunked"):
        return [sent[start : start + CHUNK] for start in range(0, len(sent), CHUNK)]
    return sent


@dataclass(frozen=True)
class Case:
    """One file of the corpus."""

    name: str
    said: Mapping[str, Any]

    @property
    def tenant(self) -> str:
        return str(self.said.get("tenant", "default"))

    @property
    def config(self) -> Mapping[str, Any]:
        """Return what the instance's config must say besides ports and tenants."""
        return dict(self.said.get("config", {}))

    def requests(self, moment: Moment) -> Iterator[Request]:
        for said in self.said["send"]:
            yield self._request(said, moment)

    def _request(self, said: Mapping[str, Any], moment: Moment) -> Request:
        (method,) = METHODS & said.keys()
        assert said.keys() <= REQUEST_KEYS | METHODS, said.keys()
        media_type, body = _body(said, moment)
        headers = {} if said.get("keyless") else {"DD-API-KEY": moment.keys[self.tenant]}
        headers |= {"Content-Type": media_type} if media_type else {}
        headers |= {name: moment.fill(str(value)) for name, value in said.get("headers", {}).items()}
        path = moment.fill(said[method])
        return Request(method.upper(), path, headers, _encoded(said, body), moment.resolve(said.get("answer")))

    def series(self, moment: Moment) -> dict[LabelSet, Mapping[str, str]]:
        """Return the expected label sets with their samples as the case writes them."""
        return {label_set(moment.resolve(row["labels"])): row["samples"] for row in self.said.get("series", [])}

    def asks(self, moment: Moment) -> Iterator[tuple[str, dict[LabelSet, str]]]:
        """Yield queries with the instant vector each must answer, values as Prometheus writes them."""
        for said in self.said.get("asks", []):
            rows = ((label_set(moment.resolve(row.get("labels", {}))), row["value"]) for row in said["vector"])
            yield said["query"], dict(rows)

    def logs(self, moment: Moment) -> Iterator[tuple[str, list[dict[str, Any]]]]:
        """Yield each query of logs with what it must find; what a case leaves out is empty, the status `info`."""
        for asked in self.said.get("logs", []):
            found = [
                {**NOTHING_SAID, **moment.resolve({k: v for k, v in log.items() if k != "at"})}
                | ({"timestamp_ms": moment.milliseconds(log["at"])})
                for log in asked["found"]
            ]
            yield moment.fill(asked["query"]), found

    def names(self, moment: Moment) -> list[str]:
        """Return every metric name the case speaks of, also those that must not be there."""
        present = [dict(labels)["__name__"] for labels in self.series(moment)]
        return sorted({*present, *self.said.get("absent", [])})


def expected_samples(written: Mapping[str, str], moment: Moment, found: Samples, answered: range) -> Samples:
    """Return the samples a case wants; `just now` stands for any one moment while the request ran."""
    expected: Samples = {}
    for when, value in written.items():
        exact = moment.milliseconds(when)
        during: Iterable[int] = (moment_ms for moment_ms in found if moment_ms in answered)
        expected[next(iter(during), -1) if exact is None else exact] = value
    return expected


def load(path: Path) -> Case:
    """Return the case of one file; a key nobody reads is a mistake in the file."""
    said = yaml.safe_load(path.read_text())
    assert said.keys() <= CASE_KEYS, f"{path}: {said.keys() - CASE_KEYS}"
    return Case(str(path.relative_to(CORPUS).with_suffix("")), said)


def load_all() -> list[Case]:
    """Return every case, in the order of their names."""
    return [load(path) for path in sorted(CORPUS.rglob("*.yaml"))]
