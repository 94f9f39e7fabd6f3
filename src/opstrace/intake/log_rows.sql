-- The logs of this commit that are stored. One without a time is of now, and like no other.
INSERT INTO logs
SELECT
    tenant,
    fromUnixTimestamp64Milli(coalesce(said_ms, {now_ms:Int64}), 'UTC'),
    if(said_ms IS NULL, sipHash64(payload, place, body, {commit:UInt64}), sipHash64(payload, place)),
    host,
    service,
    source,
    multiIf(
        sent_state = '', 'info',
        match(sent_state, '^[0-7]$'), ['emergency', 'alert', 'critical', 'error', 'warn', 'notice', 'info', 'debug'][toUInt8(sent_state) + 1],
        lower(sent_state)
    ),
    arraySort(arrayDistinct(arrayFilter(tag -> tag != '', arrayMap(tag -> trim(BOTH ' ' FROM tag), sent_tags)))),
    message,
    attributes,
    {commit:UInt64}
FROM staged_logs
WHERE legible AND coalesce(said_ms, {now_ms:Int64}) BETWEEN {oldest:Float64} * 1000 AND {newest:Float64} * 1000
SETTINGS max_partitions_per_insert_block = 0, optimize_on_insert = 0
