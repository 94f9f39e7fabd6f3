-- What makes a series one, said once for all that read a payload.

-- Agents of 2022 to 2025 mark what should not be indexed by a prefix of the name (datadog-intake.md, section 9).
CREATE OR REPLACE FUNCTION true_name_of AS sent_name -> if(startsWith(sent_name, 'n_o_i_n_d_e_x.'), substring(sent_name, 15), sent_name);

-- For payloads that have no resources: where there are some, Agents make a resource of a tag `dd.internal.resource:type:name`
-- (dogstatsd-and-sketches.md, section 3.4), which is the tag `type:name` here. One without a name is a tag like any other.
CREATE OR REPLACE FUNCTION resources_named AS tags ->
    arrayMap(
        tag -> if(startsWith(tag, 'dd.internal.resource:') AND position(tag, ':', 22) > 22, substring(tag, 22), tag),
        tags
    );

-- Of the resources of a series one is its host; the others are tags `type:name`.
CREATE OR REPLACE FUNCTION host_among AS resources ->
    tupleElement(arrayFirst(resource -> resource.type = 'host' AND resource.name != '', resources), 'name');
CREATE OR REPLACE FUNCTION other_resources AS resources -> arrayMap(
    resource -> concat(resource.type, ':', resource.name),
    arrayFilter(resource -> resource.type NOT IN ('', 'host') AND resource.name != '', resources)
);

-- The point of a service check: now, where it says no time, and no value but one of the four.
CREATE OR REPLACE FUNCTION point_of_check AS (timestamp, status, now_ms) -> (
    if(coalesce(timestamp, 0) = 0, toFloat64(now_ms) / 1000, timestamp), if(status IN (0, 1, 2, 3), status, NULL)
);

CREATE OR REPLACE FUNCTION tags_of AS sent_tags -> arrayCompact(arraySort(arrayFilter(tag -> tag != '', sent_tags)));

-- Why nothing of a series is stored, by the numbers of judgement.py; 0 where nothing is wrong with it.
CREATE OR REPLACE FUNCTION refusal_of AS (name, host, tags) -> multiIf(
    name = '', {no_name},
    length(name) > {max_name_bytes}, {name_too_long},
    length(tags) > {max_tags}, {too_many_tags},
    length(host) > {max_tag_bytes} OR arrayExists(tag -> length(tag) > {max_tag_bytes}, tags), {tag_too_long},
    0
);

-- Whether a sketch is one that can be stored: SentSketches.numbers says so of those that are looked at.
CREATE OR REPLACE FUNCTION is_sketch AS sent ->
    sent.cnt BETWEEN 1 AND exp2(53)
    AND isFinite(sent.sum) AND isFinite(sent.min) AND isFinite(sent.max)
    AND length(sent.k) = length(sent.n)
    AND arrayExists(count -> count > 0, sent.n)
    AND arrayAll(count -> count <= exp2(53), sent.n)
    AND arrayAll(key -> abs(key) <= 32767, sent.k);

CREATE OR REPLACE FUNCTION series_of AS (name, host, type, interval, tags) -> cityHash64(name, host, type, interval, tags);

-- The device of an event: a text, or as datadogpy takes it, a list, of which it is the first.
CREATE OR REPLACE FUNCTION device_of AS said -> if(startsWith(said, '['), JSONExtractString(said, 1), said);

-- The time of a log in milliseconds, from what it says; NULL where that cannot be read. The engine also evaluates expressions
-- for rows that do not need them, so none of these may fail, whatever it is given.

-- Seconds, milliseconds, microseconds or nanoseconds, by how large the number is; what is made whole is chosen first.
CREATE OR REPLACE FUNCTION ms_of_number AS number -> toInt64(multiIf(
    abs(number) < 1e11, round(number * 1e3),
    abs(number) < 1e14, round(number),
    abs(number) < 1e17, round(number / 1e3),
    abs(number) < 1e19, round(number / 1e6),
    NULL
));

CREATE OR REPLACE FUNCTION ms_of_date AS text -> toUnixTimestamp64Milli(parseDateTime64BestEffortOrNull(text, 3, 'UTC'));

-- Python's loggers part seconds by a comma (`2026-11-28 07:06:27,123`), web servers write `28/Nov/2026:07:06:27 +0000`.
CREATE OR REPLACE FUNCTION usual_date AS text -> replaceOne(
    replaceRegexpOne(text, '^(\\d{1,2})/([A-Za-z]{3})/(\\d{4}):', '\\1 \\2 \\3 '), ',', '.'
);

CREATE OR REPLACE FUNCTION said_ms_of AS text -> if(
    ms_of_number(toFloat64OrNull(text)) IS NOT NULL,
    ms_of_number(toFloat64OrNull(text)),
    if(ms_of_date(text) IS NOT NULL, ms_of_date(text), ms_of_date(usual_date(text)))
);

-- The tags of a log, sorted and unique: its own, parted by commas or a list in JSON, and those that the address says of all.
CREATE OR REPLACE FUNCTION log_tags_of AS (ddtags, default_tags) -> arraySort(arrayDistinct(arrayFilter(
    tag -> tag != '',
    arrayMap(
        tag -> trim(BOTH ' ' FROM tag),
        arrayConcat(
            if(startsWith(ddtags, '['), JSONExtract(ddtags, 'Array(String)'), splitByChar(',', ddtags)),
            splitByChar(',', default_tags)
        )
    )
)));

-- An object in JSON, of its keys and their values as JSON.
CREATE OR REPLACE FUNCTION object_of AS pairs ->
    concat('{', arrayStringConcat(arrayMap(pair -> concat(toJSONString(pair.1), ':', pair.2), pairs), ','), '}');

-- The members of an object beside those that have columns, each with its JSON; one that is null says nothing.
CREATE OR REPLACE FUNCTION members_beside AS (object, known) -> arrayFilter(
    member -> NOT has(known, member.1) AND member.2 != 'null', JSONExtractKeysAndValuesRaw(object)
);

-- A log in JSON whose message is an object with a message of its own, as functions on Lambda send it, as one object: what
-- the outer one says counts first.
CREATE OR REPLACE FUNCTION unwrapped AS log -> if(
    match(log, '"message"\\s*:\\s*\\{') AND JSONHas(log, 'message', 'message'),
    object_of(arrayConcat(
        arrayFilter(pair -> pair.1 != 'message', JSONExtractKeysAndValuesRaw(log)),
        JSONExtractKeysAndValuesRaw(log, 'message')
    )),
    log
);

-- The attributes of a log, after those that the address says of all.
CREATE OR REPLACE FUNCTION attributes_with AS (attributes, default_attributes) -> multiIf(
    default_attributes = '', attributes,
    attributes = '', default_attributes,
    concat(substring(default_attributes, 1, length(default_attributes) - 1), ',', substring(attributes, 2))
);

-- Whether a field of a JSON text is a text that begins like a word.
CREATE OR REPLACE FUNCTION is_word_in AS (text, name) ->
    JSONType(text, name) = 'String' AND match(JSONExtractString(text, name), '^[A-Za-z]');

-- Whether a field of a log is none of Datadog's own. It is asked for each field, so it is given nothing large.
CREATE OR REPLACE FUNCTION is_attribute AS (key, is_timed, is_named, is_sourced) ->
    key NOT IN ('message', 'status', 'hostname', 'service', 'ddsource', 'ddtags')
    AND NOT (key = 'timestamp' AND is_timed)
    AND NOT (key = 'host' AND NOT is_named)
    AND NOT (key = 'source' AND NOT is_sourced);

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
    points      Array(Tuple(Nullable(Float64), Nullable(Float64))), -- s, value
    message     String,                                            -- of a service check
    true_name   String        MATERIALIZED true_name_of(sent_name),
    tags        Array(String) MATERIALIZED tags_of(sent_tags),
    metric_name String        MATERIALIZED if(refusal_of(true_name, host, tags) = 0, true_name, ''), -- without one a series is not stored
    metric      UInt64        MATERIALIZED sipHash64(metric_name),
    series      UInt64        MATERIALIZED series_of(metric_name, host, type, interval, tags)
)
ENGINE = Memory;

DROP TABLE IF EXISTS excess;
-- The series of this commit that are more than their tenant may have on a day, or may add in a minute; keys are those of `seen`.
CREATE TABLE excess
(
    key     UInt64,
    tenant  String,
    day     Date32,
    series  UInt64,
    refusal Enum8('too_many_series' = {too_many_series}, 'too_many_new_series' = {too_many_new_series})
)
ENGINE = Memory;

-- Of the days that `seen` is filled with at a start.
CREATE OR REPLACE FUNCTION was_seen_lately AS (tenant, series) -> {was_seen_lately};

DROP TABLE IF EXISTS staged_logs;
-- One row a log of a payload, read but not judged.
CREATE TABLE staged_logs
(
    body       UInt32,
    tenant     LowCardinality(String),
    place      UInt32,                                             -- in the body
    payload    UInt64,                                             -- hash of the body
    legible    Bool,                                               -- it is a log at all
    came_ms    Int64,
    said_ms    Nullable(Int64),                                    -- none: it is of when it came
    host       String,
    service    String,
    source     String,
    sent_state String,
    tags       Array(String),                                      -- sorted, unique
    message    String,
    attributes String
)
ENGINE = Memory;

DROP TABLE IF EXISTS staged_events;
-- One row an event of a payload.
CREATE TABLE staged_events
(
    body             UInt32,
    tenant           LowCardinality(String),
    time             Float64,                                      -- s; NaN: what was sent is no time
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
    attributes       String,                                       -- JSON: what the second API version, or Agents of version 5, say beside
    tags             Array(String) MATERIALIZED arraySort(arrayDistinct(arrayFilter(tag -> tag != '', sent_tags))),
    -- All that an event says makes it one: a repeat is the same. Clients read ids as signed 64 bits.
    id               UInt64        MATERIALIZED bitShiftRight(sipHash64(
        time, title, text, host, source, priority, alert_type, aggregation_key, tags, device_name, event_type,
        related_event_id, attributes
    ), 1)
)
ENGINE = Memory
