-- What is on disk: tables with a partition a day, so that retention is the dropping of partitions.
-- The tenant leads every key. An INSERT returns once its parts and their directories are synced.

-- One row a point, as it was sent. Of rows with the same key the one of the latest commit counts.
CREATE TABLE IF NOT EXISTS samples
(
    tenant    LowCardinality(String),
    metric    UInt64,                                              -- hash of the metric's name: keeps its series together
    series    UInt64,                                              -- hash of all that makes a series one
    timestamp DateTime64(3, 'UTC') CODEC(Delta(8), ZSTD(1)),
    value     Float64              CODEC(ZSTD(1)),        -- unchanged, bit for bit
    commit    UInt64               CODEC(Delta(8), ZSTD(1))     -- grows with every commit
)
ENGINE = ReplacingMergeTree(commit)
PARTITION BY toDate32(timestamp)
ORDER BY (tenant, metric, series, timestamp)
-- A query for a few of many series reads a few granules, and no more of a column than these.
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1,
    index_granularity = 2048, min_compress_block_size = 16384, max_compress_block_size = 16384;

-- One row a series and day on which it has samples: Datadog's view of it and Prometheus's.
CREATE TABLE IF NOT EXISTS series
(
    day         Date32,
    tenant      LowCardinality(String),
    name        String,                                            -- __name__
    aspect      Enum8('samples' = 0, 'histograms' = 1, 'sketch' = 2, 'count' = 3, 'sum' = 4, 'min' = 5, 'max' = 6, 'avg' = 7, 'started' = 8),
                                                                   -- what its points are: rows of samples, of histograms, of
                                                                   -- started_samples, or this much of rows of sketches
    metric      UInt64,                                            -- as in samples
    series      UInt64,                                            -- as in samples
    label_set   UInt64,                                            -- hash of name and labels: one series in PromQL
    labels      Map(LowCardinality(String), String),               -- sorted, without __name__
    metric_name String,                                            -- Datadog's
    host        String,
    tags        Array(String),                                     -- sorted, unique; devices and resources included
    type        LowCardinality(String),                            -- gauge, rate, count, service_check, distribution; '' when not Datadog's
    interval    Float64,                                           -- s; 0 when not said
    unit        LowCardinality(String),
    source_type LowCardinality(String)
)
ENGINE = ReplacingMergeTree
PARTITION BY day
ORDER BY (tenant, name, series)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;

-- One row a point that says when its counting began. Its series is apart from that of the same labels' samples.
CREATE TABLE IF NOT EXISTS started_samples
(
    tenant    LowCardinality(String),
    metric    UInt64,                                              -- as in samples
    series    UInt64,                                              -- as in series
    timestamp DateTime64(3, 'UTC') CODEC(Delta(8), ZSTD(1)),
    value     Float64              CODEC(ZSTD(1)),
    start     Int64                CODEC(Delta(8), ZSTD(1)),       -- ms since the epoch, as the sender says
    commit    UInt64               CODEC(Delta(8), ZSTD(1))
)
ENGINE = ReplacingMergeTree(commit)
PARTITION BY toDate32(timestamp)
ORDER BY (tenant, metric, series, timestamp)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;

-- One row a native histogram of a series. Of rows with the same key the one of the latest commit counts.
CREATE TABLE IF NOT EXISTS histograms
(
    tenant          LowCardinality(String),
    metric          UInt64,                                              -- as in samples
    series          UInt64,                                              -- as in series; apart from that of the same labels' samples
    timestamp       DateTime64(3, 'UTC') CODEC(Delta(8), ZSTD(1)),
    schema          Int8,                                                -- -53 when the bounds are custom_bounds
    count           Float64              CODEC(ZSTD(1)),
    sum             Float64              CODEC(ZSTD(1)),
    zero_threshold  Float64              CODEC(ZSTD(1)),
    zero_count      Float64              CODEC(ZSTD(1)),
    positive_keys   Array(Int32)         CODEC(Delta(4), ZSTD(1)),       -- indexes of buckets, ascending
    positive_counts Array(Float64)       CODEC(ZSTD(1)),
    negative_keys   Array(Int32)         CODEC(Delta(4), ZSTD(1)),
    negative_counts Array(Float64)       CODEC(ZSTD(1)),
    custom_bounds   Array(Float64)       CODEC(ZSTD(1)),
    hint            LowCardinality(String),                              -- of a counter reset: unknown, reset, not_reset, gauge
    commit          UInt64               CODEC(Delta(8), ZSTD(1)),
    start           Int64 DEFAULT 0      CODEC(Delta(8), ZSTD(1))        -- ms since the epoch, when its counting began; 0 where nobody said
)
ENGINE = ReplacingMergeTree(commit)
PARTITION BY toDate32(timestamp)
ORDER BY (tenant, metric, series, timestamp)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;

-- One row a sketch, as it was sent: those of one series and time are merged when they are read.
CREATE TABLE IF NOT EXISTS sketches
(
    tenant    LowCardinality(String),
    metric    UInt64,                                              -- as in samples
    series    UInt64,                                              -- as in series
    timestamp DateTime64(3, 'UTC') CODEC(Delta(8), ZSTD(1)),
    source    UInt64,                                              -- hash of the payload and the place in it: a repeat counts once
    cnt       UInt64               CODEC(ZSTD(1)),
    sum       Float64              CODEC(ZSTD(1)),
    min       Float64              CODEC(ZSTD(1)),
    max       Float64              CODEC(ZSTD(1)),
    keys      Array(Int16)         CODEC(Delta(2), ZSTD(1)),       -- of bins, ascending, each once
    counts    Array(UInt64)        CODEC(T64, ZSTD(1)),
    commit    UInt64               CODEC(Delta(8), ZSTD(1))
)
ENGINE = ReplacingMergeTree(commit)
PARTITION BY toDate32(timestamp)
ORDER BY (tenant, metric, series, timestamp, source)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;

-- One row a change of what a host is tagged with by a source: its tags from that moment on, until the next row.
CREATE TABLE IF NOT EXISTS host_tags
(
    tenant LowCardinality(String),
    host   String,
    source LowCardinality(String),                                 -- as sent: system, otel …; users for those given by hand; empty where
                                                                   -- the set holds other names of the host, if any: whoever spoke has one
    since  DateTime64(3, 'UTC'),                                   -- when they came
    tags   Array(String),                                          -- sorted, unique
    commit UInt64
)
ENGINE = ReplacingMergeTree(commit)
ORDER BY (tenant, host, source, since)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;

-- What remote write tells of a metric. Of rows with the same key the one of the latest commit counts.
CREATE TABLE IF NOT EXISTS metric_metadata
(
    tenant LowCardinality(String),
    name   String,                                                 -- of the metric, or of the family of a histogram's series
    type   LowCardinality(String),                                 -- counter, gauge, histogram … as Prometheus has them
    help   String,
    unit   String,
    commit UInt64
)
ENGINE = ReplacingMergeTree(commit)
ORDER BY (tenant, name)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;

-- What a host last said of itself: one row a subject.
CREATE TABLE IF NOT EXISTS hosts
(
    tenant   LowCardinality(String),
    host     String,
    subject  LowCardinality(String),                               -- a key of its metadata, or a kind of inventory
    seen     DateTime64(3, 'UTC'),                                 -- when it came
    document String CODEC(ZSTD(3)),                                -- JSON
    commit   UInt64
)
ENGINE = ReplacingMergeTree(commit)
ORDER BY (tenant, host, subject)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;

-- One row a service check and day: its latest run of that day. Of rows with the same key the one of the latest time counts.
CREATE TABLE IF NOT EXISTS checks
(
    tenant    LowCardinality(String),
    name      String,                                              -- of the check, as it was sent
    host      String,
    series    UInt64,                                              -- as in samples, where every run's status is
    metric    UInt64,                                              -- as in samples
    tags      Array(String),                                       -- sorted, unique
    timestamp DateTime64(3, 'UTC'),
    status    UInt8,                                               -- 0 OK, 1 warning, 2 critical, 3 unknown
    message   String
)
ENGINE = ReplacingMergeTree(timestamp)
PARTITION BY toDate32(timestamp)
ORDER BY (tenant, name, host, series)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;

-- One row a run of a service check that had something to say.
CREATE TABLE IF NOT EXISTS check_messages
(
    tenant    LowCardinality(String),
    series    UInt64,                                              -- as in samples
    timestamp DateTime64(3, 'UTC') CODEC(DoubleDelta, ZSTD(1)),
    message   String               CODEC(ZSTD(1)),
    commit    UInt64               CODEC(DoubleDelta, ZSTD(1))
)
ENGINE = ReplacingMergeTree(commit)
PARTITION BY toDate32(timestamp)
ORDER BY (tenant, series, timestamp)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;

-- One row an event. A repeat has the same id, and counts once.
CREATE TABLE IF NOT EXISTS events
(
    tenant           LowCardinality(String),
    timestamp        DateTime64(3, 'UTC'),
    id               UInt64,                                       -- hash of all that an event says
    title            String,
    text             String               CODEC(ZSTD(1)),
    host             String,
    source           LowCardinality(String),
    priority         LowCardinality(String),                       -- normal, low
    alert_type       LowCardinality(String),                       -- error, warning, info, success …
    aggregation_key  String,
    tags             Array(String),                                -- sorted, unique
    device_name      String,
    event_type       LowCardinality(String),
    related_event_id UInt64,                                       -- 0: none
    attributes       String               CODEC(ZSTD(1))           -- JSON: what the second API version, or Agents of version 5, say beside; else empty
)
ENGINE = ReplacingMergeTree
PARTITION BY toDate32(timestamp)
ORDER BY (tenant, timestamp, id)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;

-- One row a log. A payload that comes again has the same ids.
CREATE TABLE IF NOT EXISTS logs
(
    tenant     LowCardinality(String),
    timestamp  DateTime64(3, 'UTC') CODEC(DoubleDelta, ZSTD(1)),
    id         UInt64,                                             -- hash of the payload, 38 bits, and the place in it
    host       LowCardinality(String),
    service    LowCardinality(String),
    source     LowCardinality(String),
    status     LowCardinality(String),                             -- lower case; info when not said
    tags       Array(LowCardinality(String)),                      -- sorted, unique
    message    String               CODEC(ZSTD(1)),
    attributes String               CODEC(ZSTD(1)),                -- JSON: whatever else was said; empty if nothing
    commit     UInt64               CODEC(DoubleDelta, ZSTD(1))
)
ENGINE = ReplacingMergeTree(commit)
PARTITION BY toDate32(timestamp)
ORDER BY (tenant, timestamp, id)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;

-- The books: what each sender sent, and what became of it. The totals of rows with the same key are summed.
CREATE TABLE IF NOT EXISTS books
(
    hour    DateTime('UTC'),
    tenant  LowCardinality(String),
    host    String,                                                -- of the sender
    version LowCardinality(String),                                -- of the Agent
    unit    LowCardinality(String),                                -- payloads, bytes, series, points, logs, events, facts
    outcome LowCardinality(String),                                -- received; stored, refused, kept, duplicate; late, dropped, replayed
    reason  LowCardinality(String),                                -- of a refusal or a drop
    total   UInt64,
    latest  SimpleAggregateFunction(max, DateTime('UTC'))          -- when something was last added
)
ENGINE = SummingMergeTree(total)
PARTITION BY toDate32(hour)
ORDER BY (tenant, host, version, unit, outcome, reason, hour)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;

-- Which rows of `series` exist already, in memory; filled at the start from the youngest partitions.
CREATE TABLE IF NOT EXISTS seen (key UInt64) ENGINE = Set SETTINGS persistent = 0;
