"""The catalogue of our own metrics, and how they become samples of tenant `system`.

One object of an application holds them all; `docs/telemetry.md` has a line for each.
"""

from collections.abc import Iterator
from typing import Final

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)

_SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_EXPOSITION_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"

# One metric, its labels and its value, as collected.
Sample = tuple[str, dict[str, str], float]


class Telemetry:
    """Every metric of one server. Attributes are metrics, named here and nowhere else."""

    content_type = _EXPOSITION_TYPE

    def __init__(self) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # when a counter was made is of no use to anybody here
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self.request_duration = Histogram(
            "dd_api_request_duration_seconds",
            "Time from a request of the Datadog API to its answer. `route` is the path, slashes as underscores.",
            ("method", "route", "status_code", "tenant"),
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.request_bytes = Counter(
            "dd_api_request_bytes_total",
            "Bytes of request bodies of the Datadog API, as they came and once inflated.",
            ("route", "tenant", "stage"),
            registry=self.registry,
        )
        self.stored_points = Counter(
            "dd_api_stored_points_total",
            "Points of the Datadog API that were stored.",
            ("tenant",),
            registry=self.registry,
        )
        self.refused_points = Counter(
            "dd_api_refused_points_total",
            "Points of the Datadog API that were refused while the rest of their body was stored, by reason.",
            ("tenant", "reason"),
            registry=self.registry,
        )
        self.stored_events = Counter(
            "dd_api_stored_events_total", "Events that were stored.", ("tenant",), registry=self.registry
        )
        self.refused_events = Counter(
            "dd_api_refused_events_total",
            "Events that were refused, by reason.",
            ("tenant", "reason"),
            registry=self.registry,
        )
        self.refused_bodies = Counter(
            "dd_api_refused_bodies_total",
            "Bodies of the Datadog API that were refused as a whole, by reason.",
            ("route", "tenant", "reason"),
            registry=self.registry,
        )
        self.unhandled_bodies = Counter(
            "dd_api_unhandled_bodies_total",
            "Bodies that were kept as they came, because their route is not understood yet.",
            ("route", "tenant"),
            registry=self.registry,
        )
        self.booked = Counter(
            "dd_api_booked_total",
            "What senders sent by the Datadog API, and what became of it; ten seconds late at most.",
            ("tenant", "agent_version", "unit", "outcome"),
            registry=self.registry,
        )
        self.stored_logs = Counter(
            "dd_api_stored_logs_total", "Logs that were stored.", ("tenant",), registry=self.registry
        )
        self.refused_logs = Counter(
            "dd_api_refused_logs_total",
            "Logs that were refused while the rest of their body was stored, by reason.",
            ("tenant", "reason"),
            registry=self.registry,
        )
        self.cut_logs = Counter(
            "dd_api_cut_logs_total",
            "Logs that were stored without the end of a message that is too long.",
            ("tenant",),
            registry=self.registry,
        )
        self.stored_facts = Counter(
            "dd_api_stored_host_facts_total",
            "Sets of tags of a host, and documents of its metadata, that were stored.",
            ("tenant",),
            registry=self.registry,
        )
        self.refused_facts = Counter(
            "dd_api_refused_host_facts_total",
            "Tags of hosts, and documents of their metadata, that were refused, by reason.",
            ("tenant", "reason"),
            registry=self.registry,
        )
        self.kept_bodies = Gauge(
            "dd_api_kept_bodies", "Bodies that are kept as they came.", ("tenant",), registry=self.registry
        )
        self.kept_bytes = Gauge(
            "dd_api_kept_bytes",
            "Bytes on disk of bodies that are kept as they came.",
            ("tenant",),
            registry=self.registry,
        )
        self.flares = Gauge("dd_api_flares", "Flares that are kept.", ("tenant",), registry=self.registry)
        self.write_duration = Histogram(
            "opstrace_write_duration_seconds",
            "Time from a remote write to its answer.",
            ("status_code", "tenant"),
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.written = Counter(
            "opstrace_write_stored_total",
            "Samples and native histograms of remote writes that were stored.",
            ("tenant", "kind"),
            registry=self.registry,
        )
        self.unwritten = Counter(
            "opstrace_write_refused_total",
            "Samples, native histograms and exemplars of remote writes that were not stored, by reason.",
            ("tenant", "kind", "reason"),
            registry=self.registry,
        )
        self.refused_writes = Counter(
            "opstrace_write_refused_bodies_total",
            "Remote writes that were refused as a whole, by reason.",
            ("tenant", "reason"),
            registry=self.registry,
        )
        self.commit_duration = Histogram(
            "opstrace_commit_duration_seconds",
            "Time of one commit: decoding, translation, synced inserts.",
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.committed_bodies = Counter(
            "opstrace_commit_bodies_total", "Bodies that went through a commit.", registry=self.registry
        )
        self.new_series = Counter(
            "opstrace_commit_new_series_total",
            "Series rows added: a series that is new, or that has its first sample of a day.",
            registry=self.registry,
        )
        self.queue_bodies = Gauge(
            "opstrace_commit_queue_bodies", "Bodies that wait for their commit.", registry=self.registry
        )
        self.queue_bytes = Gauge(
            "opstrace_commit_queue_bytes", "Inflated bytes that wait for their commit.", registry=self.registry
        )
        self.dogstatsd_packets = Counter(
            "opstrace_dogstatsd_packets_total",
            "Datagrams, and frames of streams, that were read.",
            ("listener",),
            registry=self.registry,
        )
        self.dogstatsd_bytes = Counter(
            "opstrace_dogstatsd_bytes_total", "Bytes that were read.", ("listener",), registry=self.registry
        )
        self.dogstatsd_kernel_drops = Counter(
            "opstrace_dogstatsd_kernel_drops_total",
            "Datagrams that the kernel threw away because a socket's buffer was full.",
            ("listener",),
            registry=self.registry,
        )
        self.dogstatsd_lines = Counter(
            "opstrace_dogstatsd_lines_total",
            "Lines that were taken, by type; those of a bucket once it is over.",
            ("tenant", "type"),
            registry=self.registry,
        )
        self.dogstatsd_refused = Counter(
            "opstrace_dogstatsd_refused_total",
            "Lines that were refused, or values of lines, by reason.",
            ("tenant", "reason"),
            registry=self.registry,
        )
        self.dogstatsd_blocked = Counter(
            "opstrace_dogstatsd_blocked_lines_total",
            "Lines of names that the config's lists do not let through.",
            ("tenant",),
            registry=self.registry,
        )
        self.dogstatsd_contexts = Gauge(
            "opstrace_dogstatsd_contexts",
            "Contexts (name, host, tags, type) that are aggregated.",
            ("tenant",),
            registry=self.registry,
        )
        self.dogstatsd_buckets = Counter(
            "opstrace_dogstatsd_buckets_total", "Buckets that were flushed.", ("tenant",), registry=self.registry
        )
        self.dogstatsd_lost = Counter(
            "opstrace_dogstatsd_lost_total",
            "What was lost between aggregation and store: flushes that found no room, payloads that were refused.",
            ("what",),
            registry=self.registry,
        )
        self.dogstatsd_queue = Gauge(
            "opstrace_dogstatsd_queue", "Flushes that wait for the server to take them.", registry=self.registry
        )
        self.dogstatsd_restarts = Counter(
            "opstrace_dogstatsd_restarts_total",
            "Times that the DogStatsD process ended and was started again.",
            registry=self.registry,
        )
        self.query_duration = Histogram(
            "opstrace_query_duration_seconds",
            "Time of a request of the Prometheus API.",
            ("endpoint", "status_code", "tenant"),
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.refused_queries = Counter(
            "opstrace_query_refused_total",
            "Requests that went over a budget, by budget.",
            ("tenant", "budget"),
            registry=self.registry,
        )
        self.query_cache = Gauge(
            "opstrace_query_cache_bytes", "Bytes of memory that the query cache takes.", registry=self.registry
        )
        self.store_rows = Gauge(
            "opstrace_store_rows", "Rows on disk, repeats included.", ("table",), registry=self.registry
        )
        self.store_bytes = Gauge("opstrace_store_bytes", "Bytes on disk.", ("table",), registry=self.registry)
        self.store_parts = Gauge(
            "opstrace_store_parts", "Active parts of the engine's tables.", ("table",), registry=self.registry
        )
        self.store_disk_free = Gauge(
            "opstrace_store_disk_free_bytes", "Bytes left on the disk that holds the data.", registry=self.registry
        )
        self.store_disk_size = Gauge(
            "opstrace_store_disk_size_bytes", "Bytes of the disk that holds the data.", registry=self.registry
        )
        self.store_merged_rows = Gauge(
            "opstrace_store_merged_rows", "Rows that merges have read since the start.", registry=self.registry
        )

    def samples(self) -> Iterator[Sample]:
        """Yield every sample of every metric as it stands now."""
        for family in self.registry.collect():
            for sample in family.samples:
                yield sample.name, dict(sample.labels), float(sample.value)

    def forget(self, tenant: str) -> None:
        """Remove every sample of a tenant."""
        for metric in vars(self).values():
            if isinstance(metric, Counter | Gauge | Histogram) and "tenant" in metric._labelnames:
                metric.remove_by_labels({"tenant": tenant})

    def exposition(self) -> bytes:
        """Return the metrics as the text a Prometheus server scrapes."""
        return generate_latest(self.registry)
