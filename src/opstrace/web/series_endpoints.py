"""Endpoints of Prometheus's API that list series, labels and what is known of metrics."""

import re
from collections.abc import Sequence

from opstrace.errors import BadQuery
from opstrace.promql.parser import parse_selector
from opstrace.store.backend import Labels, Matcher, MetricMetadata
from opstrace.web import encode
from opstrace.web.answer import Answer
from opstrace.web.parameters import EARLIEST_MS, LATEST_MS, Parameters, invalid
from opstrace.web.question import TRUNCATED, Question, parameter, parsed, plain


def _selection(question: Question) -> tuple[Sequence[Sequence[Matcher]], int, int]:
    """Return the selectors of `match[]` and the time range in ms; without one, all of time."""
    parameters = question.parameters
    start_ms, end_ms = parameters.time_ms("start", EARLIEST_MS), parameters.time_ms("end", LATEST_MS)
    if end_ms < start_ms:
        raise invalid("end", "end timestamp must not be before start time")
    with parameter("match[]"):
        selectors = [_selector(text, question.engine.max_query_bytes) for text in parameters.every("match[]")]
    return selectors, start_ms, end_ms


def _selector(text: str, max_bytes: int) -> Sequence[Matcher]:
    if len(text) > max_bytes:
        raise BadQuery(f"the selector is longer than {max_bytes} bytes")
    return parse_selector(text)


def series(question: Question) -> Answer:
    """List label sets."""
    selectors, start_ms, end_ms = _selection(question)
    if not selectors:
        raise BadQuery("no match[] parameter provided")
    limit = question.parameters.count("limit")
    return _listed(question.querier.series(selectors, start_ms, end_ms), limit)


def labels(question: Question) -> Answer:
    """List names of labels."""
    selectors, start_ms, end_ms = _selection(question)
    limit = question.parameters.count("limit")
    return _listed(question.querier.label_names(selectors, start_ms, end_ms), limit)


def label_values(question: Question) -> Answer:
    """List values of a label."""
    name = unescape_name(question.path["name"])
    selectors, start_ms, end_ms = _selection(question)
    limit = question.parameters.count("limit")
    return _listed(question.querier.label_values(name, selectors, start_ms, end_ms), limit)


_ESCAPED = re.compile(r"__|_(?P<code>[0-9a-fA-F]{1,6})_")


def unescape_name(name: str) -> str:
    """Return the name that `U__sy_2e_stem` stands for in an address; any other name is itself.

    `__` is an underscore, `_2e_` the character of that number (prometheus/common: model/metric.go).
    """
    if not name.startswith("U__"):
        return name
    try:
        found = _ESCAPED.sub(lambda match: chr(int(match["code"], 16)) if match["code"] else "_", name[3:])
        found.encode()  # half a character is none
    except ValueError:
        return name
    return found


def _listed(found: Sequence[str] | Sequence[Labels], limit: int) -> Answer:
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
    _selection(question)
    return plain([])
