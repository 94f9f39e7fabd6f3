-- The events of this commit that are stored.
INSERT INTO events (
    tenant, timestamp, id, title, text, host, source, priority, alert_type, aggregation_key, tags, device_name,
    event_type, related_event_id, attributes
)
SELECT
    tenant,
    fromUnixTimestamp64Milli(toInt64(round(time * 1000)), 'UTC'),
    id,
    title,
    text,
    host,
    source,
    priority,
    alert_type,
    aggregation_key,
    tags,
    device_name,
    event_type,
    related_event_id,
    attributes
FROM staged_events
WHERE (title != '' OR text != '') AND time BETWEEN {oldest:Float64} AND {newest:Float64}
SETTINGS max_partitions_per_insert_block = 0
