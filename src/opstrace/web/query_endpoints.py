"""Endpoints of Prometheus's API that evaluate, or look at, a query."""

import time
from dataclasses import replace
from functools import partial

import numpy as np

from opstrace.errors import BadQuery
from opstrace.promql.document import document
from opstrace.promql.engine import Result
from opstrace.promql.printer import printed
from opstrace.promql.tokens import quote
from opstrace.store.backend import Block
from opstrace.web import encode, remote_read
from opstrace.web.answer import Answer, Message
from opstrace.web.parameters import Parameters, invalid
from opstrace.web.question import TRUNCATED, Question, parameter, parsed, plain


def query(question: Question) -> Answer:
    """Evaluate a query at one moment."""
    parameters = question.parameters
    at_ms = parameters.time_ms("time", question.now_ms)
    limit, lookback_ms = parameters.count("limit"), _lookback_ms(parameters)
    with parameter("query"):
        result = question.engine.instant(
            question.querier, parameters.text("query"), at_ms, question.budget, lookback_ms=lookback_ms
        )
    return _result_answer(question, result, limit)


def query_range(question: Question) -> Answer:
    """Evaluate a query at the steps of a range."""
    parameters = question.parameters
    start_ms, end_ms, step_ms = _grid(parameters, question.limits.max_points)
    limit, lookback_ms = parameters.count("limit"), _lookback_ms(parameters)
    with parameter("query"):
        result = question.engine.range(
            question.querier,
            parameters.text("query"),
            start_ms,
            end_ms,
            step_ms,
            question.budget,
            lookback_ms=lookback_ms,
        )
    return _result_answer(question, result, limit)


def _grid(parameters: Parameters, max_points: int) -> tuple[int, int, int]:
    """Return start, end and step in ms, all of them required."""
    for name in ("start", "end", "step"):
        if not parameters.text(name):
            what = "duration" if name == "step" else "timestamp"
            raise invalid(name, f'cannot parse "" to a valid {what}')
    start_ms, end_ms = parameters.time_ms("start", 0), parameters.time_ms("end", 0)
    if end_ms < start_ms:
        raise invalid("end", "end timestamp must not be before start time")
    step_ms = parameters.duration_ms("step", 0)
    if step_ms <= 0:
        raise invalid(
            "step", "zero or negative query resolution step widths are not accepted. Try a positive integer"
        )
    if (end_ms - start_ms) // step_ms > max_points:
        raise BadQuery(
            f"exceeded maximum resolution of {max_points:,} points per timeseries. "
            "Try decreasing the query resolution (?step=XX)"
        )
    return start_ms, end_ms, step_ms


def _lookback_ms(parameters: Parameters) -> int | None:
    """Return the lookback that was asked for, if one was; as at Prometheus, none is no lookback of zero."""
    if not parameters.text("lookback_delta"):
        return None
    lookback_ms = parameters.duration_ms("lookback_delta", 0)
    return lookback_ms if lookback_ms > 0 else None


def _result_answer(question: Question, result: Result, limit: int) -> Answer:
    shown = _first(result, limit)
    warnings = (*_remarks_on_stats(question.parameters), *(() if shown is result else (TRUNCATED,)), *result.warnings)
    told = _first_of("warning", warnings), _first_of("info", result.infos)
    return Answer(encode.result_json(shown, _stats(question)), *told, partial(encode.bytes_at_most, shown))


# Of warnings, and of infos, an answer has no more than these, as Prometheus's has.
_MAX_ANNOTATIONS = 10


def _first_of(kind: str, annotations: tuple[str, ...]) -> tuple[str, ...]:
    """Return the first annotations of a kind, and how many more there are."""
    omitted = len(annotations) - _MAX_ANNOTATIONS
    if omitted <= 0:
        return annotations
    return (*annotations[:_MAX_ANNOTATIONS], f"{omitted} more {kind} annotations omitted")


def _first(result: Result, limit: int) -> Result:
    """Return a result's first series, or the result itself if it has no more; 0 is no limit."""
    if not limit:
        return result
    if result.raw is not None:
        return result if len(result.raw.labels) <= limit else replace(result, raw=_first_raw(result.raw, limit))
    if result.kind not in ("vector", "matrix"):
        return result
    there = result.rows[np.count_nonzero(result.present, axis=1)[result.rows] > 0]
    if len(there) <= limit:
        return result
    kept = there[:limit]
    return replace(
        result,
        labels=[result.labels[index] for index in kept],
        values=result.values[kept],
        present=result.present[kept],
        histograms=None if result.histograms is None else result.histograms[kept],
        order=None,
    )


def _first_raw(block: Block, limit: int) -> Block:
    end = block.offsets[limit]
    return replace(
        block,
        labels=block.labels[:limit],
        offsets=block.offsets[: limit + 1],
        times_ms=block.timestamps[:end],
        values=block.values[:end],
        histograms=None if block.histograms is None else block.histograms[:end],
    )


def _remarks_on_stats(parameters: Parameters) -> tuple[str, ...]:
    """Return a warning of a value of `stats` that is none of Prometheus's."""
    if (stats := parameters.text("stats")) in ("", "true", "all"):
        return ()
    told = f'value {quote(stats[:100])} for parameter "stats" is deprecated'
    return (f'{told} and will be rejected in the next major release, use "true" or "all"',)


def _stats(question: Question) -> bytes:
    """Return the statistics a client asked for by `stats`: all of Prometheus's, zero where nothing is measured."""
    if not question.parameters.text("stats"):
        return b""
    elapsed = time.monotonic() - question.started
    timings = {**dict.fromkeys(_TIMINGS, 0.0), "evalTotalTime": elapsed, "execTotalTime": elapsed}
    budget = question.budget
    samples = {
        "totalQueryableSamples": budget.total_samples,
        "samplesRead": budget.total_samples,
        "seriesTouched": 0,
        "peakSamples": budget.peak_samples,
    }
    return encode.json_bytes({"timings": timings, "samples": samples})


# Clients may want all of them (prometheus/prometheus: util/stats/query_stats.go).
_TIMINGS = (
    *("evalTotalTime", "resultSortTime", "queryPreparationTime"),
    *("innerEvalTime", "execQueueTime", "execTotalTime"),
)


def format_query(question: Question) -> Answer:
    """Print a query as Prometheus does."""
    return plain(printed(parsed(question)))


def parse_query(question: Question) -> Answer:
    """Return a query's tree."""
    return plain(document(parsed(question)))


def read(question: Question) -> Message:
    """Answer a remote read."""
    if question.body is None:
        raise BadQuery(f"a remote read request comes in Snappy, with Content-Type {remote_read.MEDIA_TYPE}")
    return Message(remote_read.answer(question.querier, remote_read.reads(question.body)))
