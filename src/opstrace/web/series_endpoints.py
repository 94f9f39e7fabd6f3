"""Endpoints of Prometheus's API that list series, labels and what is known of metrics."""

import re
from collections.abc import Callable, Sequence
from functools import partial

from opstrace.errors import BadQuery
from opstrace.promql.engine import Engine
from opstrace.promql.parser import parse_selector
from opstrace.store.backend import Labels, Matcher, MetricMetadata
from opstrace.web import encode
from opstrace.web.answer import Answer
from opstrace.web.parameters import EARLIEST_MS, LATEST_MS, Parameters
from opstrace.web.question import TRUNCATED, Question, parameter, parsed, plain


def _selection(question: Question) -> tuple[Sequence[Sequence[Matcher]], int, int]:
    """Return the selectors of `match[]` and the time range in ms; without one, all of time.

    In a range that ends before it starts there is nothing, and that is no error.
    """
    parameters = question.parameters
    start_ms, end_ms = parameters.time_ms("start", EARLIEST_MS), parameters.time_ms("end", LATEST_MS)
    with parameter("match[]"):
        selectors = [_selector(text, question.engine) for text in parameters.every("match[]")]
    return selectors, start_ms, end_ms


def _selector(text: str, engine: Engine) -> Sequence[Matcher]:
    engine.check_length(text)
    return parse_selector(text)


def series(question: Question) -> Answer:
    """List label sets."""
    if not question.parameters.every("match[]"):
        raise BadQuery("no match[] parameter provided")
    return _listed(question, question.querier.series)


def labels(question: Question) -> Answer:
    """List names of labels."""
    return _listed(question, question.querier.label_names)


def label_values(question: Question) -> Answer:
    """List values of a label."""
    name = unescape_name(question.path["name"])
    if not name:
        raise BadQuery('invalid label name: ""')
    return _listed(question, partial(question.querier.label_values, name))


_ESCAPED = re.compile(r"__|_(?P<code>[0-9a-fA-F]{1,6})_")
_ESCAPED_NAME = re.compile(r"U__(?:[^_]|__|_[0-9a-fA-F]{1,6}_)*")


def unescape_name(name: str) -> str:
    """Return the name that `U__sy_2e_stem` stands for in an address; any other name is itself.

    `__` is an underscore, `_2e_` the character of that number (prometheus/common: model/metric.go).
    """
    if not _ESCAPED_NAME.fullmatch(name):
        return name
    try:
        found = _ESCAPED.sub(lambda match: chr(int(match["code"], 16)) if match["code"] else "_", name[3:])
        found.encode()  # half a character is none
    except ValueError:
        return name
    return found


# Finds entries by selectors, in a time range in ms.
_Find = Callable[[Sequence[Sequence[Matcher]], int, int], Sequence[str] | Sequence[Labels]]


def _listed(question: Question, find: _Find) -> Answer:
    selectors, start_ms, end_ms = _selection(question)
    limit = question.parameters.count("limit")
    found = find(selectors, start_ms, end_ms) if start_ms <= end_ms else []
    shown = found[:limit] if limit else found
    return Answer(encode.list_json(shown), warnings=(TRUNCATED,) if len(shown) < len(found) else ())


def metadata(question: Question) -> Answer:
    """Tell type, help and unit of metrics."""
    parameters = question.parameters
    limit, limit_per_metric = (_metadata_limit(parameters, name) for name in ("limit", "limit_per_metric"))
    metrics: dict[str, list[dict[str, str]]] = {}
    for entry in question.querier.metadata(parameters.text("metric") or None):
        metrics.setdefault(entry.metric, []).append(_metadata_json(entry))
    # Of metrics, unlike elsewhere, 0 is none at all.
    return plain({metric: entries[: limit_per_metric or None] for metric, entries in list(metrics.items())[:limit]})


def _metadata_limit(parameters: Parameters, name: str) -> int | None:
    """Return a limit, or nothing where it is negative or not there: then there is none."""
    text = parameters.text(name)
    if not text:
        return None
    if not re.fullmatch(r"[+-]?[0-9]{1,18}", text):
        raise BadQuery(f"{name} must be a number")
    return int(text) if int(text) >= 0 else None


def _metadata_json(entry: MetricMetadata) -> dict[str, str]:
    return {"type": entry.type, "help": entry.help, "unit": entry.unit}


def exemplars(question: Question) -> Answer:
    """Return no exemplars: none are stored."""
    parsed(question)
    _, start_ms, end_ms = _selection(question)
    if end_ms < start_ms:
        raise BadQuery("end timestamp must not be before start timestamp")
    return plain([])
