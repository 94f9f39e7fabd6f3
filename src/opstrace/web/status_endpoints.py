"""Endpoints of Prometheus's API that tell of the server itself, and of what only a scraping Prometheus has."""

import os
import threading
from datetime import UTC, datetime
from pathlib import Path

from opstrace import __version__
from opstrace.errors import BadQuery
from opstrace.web.answer import Answer
from opstrace.web.parameters import invalid
from opstrace.web.question import Endpoint, Question, plain
from opstrace.web.whole_numbers import whole_number

# The Prometheus whose API this is. Clients look at the version to know what they may ask.
PROMETHEUS_VERSION = "3.5.0"

BUILD = {
    "application": "opstrace",
    "version": PROMETHEUS_VERSION,
    "revision": __version__,
    "branch": "",
    "buildUser": "",
    # When it was installed; clients read it as a date.
    "buildDate": datetime.fromtimestamp(Path(__file__).stat().st_mtime, UTC).strftime("%Y%m%d-%H:%M:%S"),
    "goVersion": "",
}


def constant(data: object) -> Endpoint:
    """Return an endpoint whose answer is always the same."""
    answer = plain(data)
    return lambda _question: answer


def rules(question: Question) -> Answer:
    """Return no rules: none are evaluated here."""
    if (kind := question.parameters.text("type")).lower() not in ("", "alert", "record"):
        raise invalid("type", f'not supported value "{kind}"')
    return plain({"groups": []})


def _rfc3339(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def flags(question: Question) -> Answer:
    """Tell the settings."""
    return plain(dict(question.about().settings))


def config(question: Question) -> Answer:
    """Tell the settings as a document."""
    return plain({"yaml": "".join(f"{name}: {value}\n" for name, value in question.about().settings.items())})


def runtime(question: Question) -> Answer:
    """Tell how the process does."""
    about = question.about()
    return plain(
        {
            "startTime": _rfc3339(about.started_s),
            "CWD": "",
            "hostname": "",
            "serverTime": _rfc3339(question.now_ms / 1000),
            "reloadConfigSuccess": True,
            "lastConfigTime": _rfc3339(about.started_s),
            "corruptionCount": 0,
            "goroutineCount": threading.active_count(),
            "GOMAXPROCS": os.cpu_count() or 1,
            "GOMEMLIMIT": 0,
            "GOGC": "",
            "GODEBUG": "",
            "storageRetention": about.retention,
        }
    )


_STATISTICS, _MOST_STATISTICS = 10, 10_000  # rows of each table, as in Prometheus


def tsdb(question: Question) -> Answer:
    """Tell how many series there are, and of what."""
    text = question.parameters.text("limit") or str(_STATISTICS)
    if (limit := whole_number(text, 1, 1 << 63)) is None:
        raise BadQuery("limit must be a positive number")
    if limit > _MOST_STATISTICS:
        raise BadQuery(f"limit must not exceed {_MOST_STATISTICS}")
    found = question.querier.statistics(question.now_ms, limit)
    tables = {
        "seriesCountByMetricName": found.series_by_name,
        "labelValueCountByLabelName": found.values_by_label,
        "memoryInBytesByLabelName": found.bytes_by_label,
        "seriesCountByLabelValuePair": found.series_by_pair,
    }
    head = {
        "numSeries": found.series,
        "numLabelPairs": found.label_pairs,
        "chunkCount": found.pieces,
        "minTime": found.start_ms,
        "maxTime": found.end_ms,
    }
    named = {
        name: [{"name": subject, "value": total} for subject, total in table.items()]
        for name, table in tables.items()
    }
    return plain({"headStats": head, **named})
