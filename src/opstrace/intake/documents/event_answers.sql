-- The events of bodies whose senders are told what became of them.
SELECT
    body,
    id,
    toInt64(round(time * 1000)) AS time_ms,
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
WHERE body IN {bodies:Array(UInt32)} AND time BETWEEN {oldest:Float64} AND {newest:Float64}
