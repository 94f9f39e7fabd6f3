-- Events of one tenant that match, the youngest first or last.
SELECT
    id,
    time_ms,
    title,
    text,
    host,
    toString(source) AS source,
    toString(priority) AS priority,
    toString(alert_type) AS alert_type,
    aggregation_key,
    tags,
    device_name,
    toString(event_type) AS event_type,
    related_event_id,
    attributes
FROM
(
    SELECT *, toUnixTimestamp64Milli(timestamp) AS time_ms
    FROM events FINAL
    WHERE tenant = {tenant:String}
        AND timestamp BETWEEN fromUnixTimestamp64Milli({start_ms:Int64}, 'UTC') AND fromUnixTimestamp64Milli({end_ms:Int64}, 'UTC')
) AS found
{of_hosts}
WHERE (time_ms, id) {beyond} ({after_ms:Int64}, {after_id:UInt64})
    AND {condition}
ORDER BY timestamp {direction}, id {direction}
LIMIT {limit:UInt32} OFFSET {offset:UInt32}
SETTINGS max_execution_time = 30
