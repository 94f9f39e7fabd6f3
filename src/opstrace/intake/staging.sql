-- Where one commit's payloads lie, decoded, until they are in the store. In memory only; emptied by every commit.

DROP TABLE IF EXISTS staged;
-- One row a series of a payload. Families fill the plain columns; the others say, for all of them alike, what
-- makes a series one: name, host, type, interval and the set of tags.
CREATE TABLE staged
(
    body        UInt32,                                            -- which body of the commit it came in
    tenant      LowCardinality(String),
    sent_name   String,
    host        String,
    type        LowCardinality(String),
    interval    Float64,
    unit        LowCardinality(String),
    source_type LowCardinality(String),
    sent_tags   Array(String),                                     -- devices and resources included
    points      Array(Tuple(Nullable(Float64), Nullable(Float64))), -- s, value; of a distribution the number of its values
    -- Of a distribution one a point: place in the body, cnt, sum, min, max, keys, counts.
    sketches    Array(Tuple(UInt64, UInt64, Float64, Float64, Float64, Array(Int16), Array(UInt64))),
    message     String,                                            -- of a service check
    -- Agents of 2022 to 2025 mark what should not be indexed by a prefix of the name (datadog-intake.md, section 9).
    metric_name String        MATERIALIZED if(startsWith(sent_name, 'n_o_i_n_d_e_x.'), substring(sent_name, 15), sent_name),
    tags        Array(String) MATERIALIZED arraySort(arrayDistinct(arrayFilter(tag -> tag != '', sent_tags))),
    metric      UInt64        MATERIALIZED sipHash64(metric_name),
    series      UInt64        MATERIALIZED sipHash64(metric_name, host, type, interval, tags)
)
ENGINE = Memory;

DROP TABLE IF EXISTS staged_sketches;
-- One row a distribution of a payload, as it was sent; staged_sketches.sql brings it to `staged`.
CREATE TABLE staged_sketches
(
    body        UInt32,
    tenant      LowCardinality(String),
    place       UInt32,                                            -- in the body
    sent_name   String,
    host        String,
    unit        LowCardinality(String),
    source_type LowCardinality(String),
    sent_tags   Array(String),
    sketches    Array(Tuple(
        timestamp Nullable(Float64),                               -- s
        cnt       Int64,
        sum       Float64,
        min       Float64,
        max       Float64,
        keys      Array(Int32),
        counts    Array(UInt64)
    ))
)
ENGINE = Memory;

DROP TABLE IF EXISTS staged_events;
-- One row an event of a payload.
CREATE TABLE staged_events
(
    body             UInt32,
    tenant           LowCardinality(String),
    time             Float64,                                      -- s
    title            String,
    text             String,
    host             String,
    source           LowCardinality(String),
    priority         LowCardinality(String),
    alert_type       LowCardinality(String),
    aggregation_key  String,
    sent_tags        Array(String),
    device_name      String,
    event_type       LowCardinality(String),
    related_event_id UInt64,                                       -- 0: none
    attributes       String,                                       -- JSON: what only the second API version says
    tags             Array(String) MATERIALIZED arraySort(arrayDistinct(arrayFilter(tag -> tag != '', sent_tags))),
    -- All that an event says makes it one: a repeat is the same. Clients read ids as signed 64 bits.
    id               UInt64        MATERIALIZED bitShiftRight(sipHash64(
        time, title, text, host, source, priority, alert_type, aggregation_key, tags, device_name, event_type,
        related_event_id, attributes
    ), 1)
)
ENGINE = Memory
