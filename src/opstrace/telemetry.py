"""The catalogue of our own metrics, and how they become samples of tenant `system`.

One object of an application holds them all; `docs/telemetry.md` has a line for each.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
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


@dataclass(frozen=True, slots=True)
class Fates:
    """What became of things of one kind."""

    stored: Counter  # by tenant
    refused: Counter  # by tenant and reason

    def count(self, tenant: str, stored: int, refused: Mapping[str, int]) -> None:
        """Count things of a tenant: how many were stored, and how many were refused by which reason."""
        if stored:
            self.stored.labels(tenant).inc(stored)
        for reason, number in refused.items():
            self.refused.labels(tenant, reason).inc(number)


class Telemetry:
    """Every metric of one server. Attributes are metrics, and the `fates` of what senders send by their kind."""

    content_type = _EXPOSITION_TYPE

    def __init__(self) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # when a counter was made is of no use to anybody here
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        counter = partial(Counter, registry=self.registry)
        gauge = partial(Gauge, registry=self.registry)
        duration = partial(Histogram, registry=self.registry, buckets=_SECONDS)
        self.fates = {
            "points": Fates(
                counter("dd_api_stored_points_total", "Points of the Datadog API that were stored.", ("tenant",)),
                counter(
                    "dd_api_refused_points_total",
                    "Points of the Datadog API that were refused while the rest of their body was stored, by reason.",
                    ("tenant", "reason"),
                ),
            ),
            "events": Fates(
                counter("dd_api_stored_events_total", "Events that were stored.", ("tenant",)),
                counter("dd_api_refused_events_total", "Events that were refused, by reason.", ("tenant", "reason")),
            ),
            "logs": Fates(
                counter("dd_api_stored_logs_total", "Logs that were stored.", ("tenant",)),
                counter(
                    "dd_api_refused_logs_total",
                    "Logs that were refused while the rest of their body was stored, by reason.",
                    ("tenant", "reason"),
                ),
            ),
            "facts": Fates(
                counter(
                    "dd_api_stored_host_facts_total",
                    "Sets of tags of a host, and documents of its metadata, that were stored.",
                    ("tenant",),
                ),
                counter(
                    "dd_api_refused_host_facts_total",
                    "Tags of hosts, and documents of their metadata, that were refused, by reason.",
                    ("tenant", "reason"),
                ),
            ),
        }
        self.request_duration = duration(
            "dd_api_request_duration_seconds",
            "Time from a request of the Datadog API to its answer. `route` is the path, slashes as underscores.",
            ("method", "route", "status_code", "tenant"),
        )
        self.request_bytes = counter(
            "dd_api_request_bytes_total",
            "Bytes of request bodies of the Datadog API, as they came and once inflated.",
            ("route", "tenant", "stage"),
        )
        self.refused_bodies = counter(
            "dd_api_refused_bodies_total",
            "Bodies of the Datadog API that were refused as a whole, by reason.",
            ("route", "tenant", "reason"),
        )
        self.unhandled_bodies = counter(
            "dd_api_unhandled_bodies_total",
            "Bodies that were kept as they came, because their route is not understood yet.",
            ("route", "tenant"),
        )
        self.booked = counter(
            "dd_api_booked_total",
            "What senders sent by the Datadog API, and what became of it; ten seconds late at most.",
            ("tenant", "agent_version", "unit", "outcome"),
        )
        self.cut_logs = counter(
            "dd_api_cut_logs_total",
            "Logs that were stored without the end of a message that is too long.",
            ("tenant",),
        )
        self.kept_bodies = gauge("dd_api_kept_bodies", "Bodies that are kept as they came.", ("tenant",))
        self.kept_bytes = gauge(
            "dd_api_kept_bytes", "Bytes on disk of bodies that are kept as they came.", ("tenant",)
        )
        self.flares = gauge("dd_api_flares", "Flares that are kept.", ("tenant",))
        self.write_duration = duration(
            "opstrace_write_duration_seconds", "Time from a remote write to its answer.", ("status_code", "tenant")
        )
        self.written = counter(
            "opstrace_write_stored_total",
            "Samples and native histograms of remote writes that were stored.",
            ("tenant", "kind"),
        )
        self.unwritten = counter(
            "opstrace_write_refused_total",
            "Samples, native histograms and exemplars of remote writes that were not stored, by reason.",
            ("tenant", "kind", "reason"),
        )
        self.refused_writes = counter(
            "opstrace_write_refused_bodies_total",
            "Remote writes that were refused as a whole, by reason.",
            ("tenant", "reason"),
        )
        self.commit_duration = duration(
            "opstrace_commit_duration_seconds", "Time of one commit: decoding, translation, synced inserts."
        )
        self.committed_bodies = counter("opstrace_commit_bodies_total", "Bodies that went through a commit.")
        self.new_series = counter(
            "opstrace_commit_new_series_total",
            "Series rows added: a series that is new, or that has its first sample of a day.",
        )
        self.queue_bodies = gauge("opstrace_commit_queue_bodies", "Bodies that wait for their commit.")
        self.queue_bytes = gauge("opstrace_commit_queue_bytes", "Inflated bytes that wait for their commit.")
        self.dogstatsd_packets = counter(
            "opstrace_dogstatsd_packets_total", "Datagrams, and frames of streams, that were read.", ("listener",)
        )
        self.dogstatsd_bytes = counter("opstrace_dogstatsd_bytes_total", "Bytes that were read.", ("listener",))
        self.dogstatsd_kernel_drops = counter(
            "opstrace_dogstatsd_kernel_drops_total",
            "Datagrams that the kernel threw away because a socket's buffer was full.",
            ("listener",),
        )
        self.dogstatsd_lines = counter(
            "opstrace_dogstatsd_lines_total",
            "Lines that were taken, by type; those of a bucket once it is over.",
            ("tenant", "type"),
        )
        self.dogstatsd_refused = counter(
            "opstrace_dogstatsd_refused_total",
            "Lines that were refused, or values of lines, by reason.",
            ("tenant", "reason"),
        )
        self.dogstatsd_blocked = counter(
            "opstrace_dogstatsd_blocked_lines_total",
            "Lines of names that the config's lists do not let through.",
            ("tenant",),
        )
        self.dogstatsd_contexts = gauge(
            "opstrace_dogstatsd_contexts", "Contexts (name, host, tags, type) that are aggregated.", ("tenant",)
        )
        self.dogstatsd_buckets = counter(
            "opstrace_dogstatsd_buckets_total", "Buckets that were flushed.", ("tenant",)
        )
        self.dogstatsd_lost = counter(
            "opstrace_dogstatsd_lost_total",
            "What was lost between aggregation and store: flushes that found no room, payloads that were refused.",
            ("what",),
        )
        self.dogstatsd_queue = gauge("opstrace_dogstatsd_queue", "Flushes that wait for the server to take them.")
        self.dogstatsd_restarts = counter(
            "opstrace_dogstatsd_restarts_total", "Times that the DogStatsD process ended and was started again."
        )
        self.query_duration = duration(
            "opstrace_query_duration_seconds",
            "Time of a request of the Prometheus API.",
            ("endpoint", "status_code", "tenant"),
        )
        self.refused_queries = counter(
            "opstrace_query_refused_total", "Requests that went over a budget, by budget.", ("tenant", "budget")
        )
        self.query_cache = gauge("opstrace_query_cache_bytes", "Bytes of memory that the query cache takes.")
        self.store_rows = gauge("opstrace_store_rows", "Rows on disk, repeats included.", ("table",))
        self.store_bytes = gauge("opstrace_store_bytes", "Bytes on disk.", ("table",))
        self.store_parts = gauge("opstrace_store_parts", "Active parts of the engine's tables.", ("table",))
        self.store_disk_free = gauge("opstrace_store_disk_free_bytes", "Bytes left on the disk that holds the data.")
        self.store_disk_size = gauge("opstrace_store_disk_size_bytes", "Bytes of the disk that holds the data.")
        self.store_merges_stopped = gauge(
            "opstrace_store_merges_stopped", "Whether merges and deletions have stopped, for want of free disk say."
        )
        self.store_merged_rows = gauge("opstrace_store_merged_rows", "Rows that merges have read since the start.")

    @property
    def metrics(self) -> list[Counter | Gauge | Histogram]:
        """All metrics but those of the process."""
        of_fates = [metric for fates in self.fates.values() for metric in (fates.stored, fates.refused)]
        return [one for one in (*vars(self).values(), *of_fates) if isinstance(one, Counter | Gauge | Histogram)]

    def samples(self) -> Iterator[Sample]:
        """Yield every sample of every metric as it stands now."""
        for family in self.registry.collect():
            for sample in family.samples:
                yield sample.name, dict(sample.labels), float(sample.value)

    def forget(self, tenant: str) -> None:
        """Remove every sample of a tenant."""
        for metric in self.metrics:
            if "tenant" in metric._labelnames:
                metric.remove_by_labels({"tenant": tenant})

    def exposition(self) -> bytes:
        """Return the metrics as the text a Prometheus server scrapes."""
        return generate_latest(self.registry)
