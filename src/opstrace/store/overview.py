"""What is known of a tenant's metrics and series as a whole: types, units and help, and how many there are."""

from datetime import date

from opstrace.store.backend import Matcher, MatchOp, MetricMetadata, Statistics
from opstrace.store.reading import Reading
from opstrace.store.selectors import LAST_DAY, MS_PER_DAY, Condition, condition

# Datadog's values are gauges to a Prometheus client: a count is an increase since the last one, not a counter.
_METADATA_TYPES = {
    "gauge": "gauge",
    "rate": "gauge",
    "count": "gauge",
    "service_check": "gauge",
    "distribution": "gauge",
    "native": "histogram",
}


def metadata(reading: Reading, metric: str | None = None) -> list[MetricMetadata]:
    """Return what is known of one metric, or of all; what remote write told counts more."""
    selector = [] if metric is None else [[Matcher("__name__", MatchOp.EQUAL, metric)]]
    table = reading.read("metadata", condition(reading.tenant, selector, 0, LAST_DAY * MS_PER_DAY))
    known = {row["name"]: _seen_metadata(**row) for row in table.to_pylist()}
    where = Condition("tenant = {tenant:String}", {"tenant": reading.tenant})
    if metric is not None:
        where.clause += " AND name = {metric:String}"
        where.parameters["metric"] = metric
    told = {row["name"]: _told_metadata(**row) for row in reading.read("told_metadata", where).to_pylist()}
    return [entry for _, entry in sorted((known | told).items())]


def statistics(reading: Reading, at_ms: int, limit: int) -> Statistics:
    """Return the series of a moment's day in numbers, `limit` rows of each table."""
    where = condition(reading.tenant, [], at_ms, at_ms)
    totals = reading.read("statistics", where).to_pylist()[0]
    ever = condition(reading.tenant, [], 0, LAST_DAY * MS_PER_DAY)
    days = reading.read("statistics_days", ever).to_pylist()[0]
    first, last = ((days[name] - date(1970, 1, 1)).days if days["known"] else 0 for name in ("first_day", "last_day"))
    where.parameters["limit"] = limit

    def table(name: str, column: str = "total", **clauses: str) -> dict[str, int]:
        return {row["subject"]: row[column] for row in reading.read(name, where, **clauses).to_pylist()}

    return Statistics(
        series=totals["label_sets"],
        label_pairs=totals["pairs"],
        pieces=totals["pieces"],
        start_ms=first * MS_PER_DAY,
        end_ms=min((last + 1) * MS_PER_DAY - 1, at_ms) if days["known"] else 0,
        series_by_name=table("statistics_by_name"),
        values_by_label=table("statistics_by_label", order="total"),
        bytes_by_label=table("statistics_by_label", "size_bytes", order="size_bytes"),
        series_by_pair=table("statistics_by_pair"),
    )


def _seen_metadata(*, name: str, last_type: str, last_name: str, last_unit: str) -> MetricMetadata:
    """Return what a metric's series tell; one that came by Datadog's API tells its name there."""
    return MetricMetadata(name, _METADATA_TYPES.get(last_type, "unknown"), last_name if last_type else "", last_unit)


def _told_metadata(*, name: str, type: str, help: str, unit: str) -> MetricMetadata:  # noqa: A002 (the columns' names)
    return MetricMetadata(name, type, help, unit)
