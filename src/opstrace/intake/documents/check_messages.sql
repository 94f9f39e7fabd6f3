-- What service checks of this commit had to say.
INSERT INTO check_messages (tenant, series, timestamp, message, commit)
SELECT
    tenant,
    series,
    fromUnixTimestamp64Milli(toInt64(round(point.1 * 1000)), 'UTC'),
    message,
    {commit:UInt64}
FROM staged
ARRAY JOIN points AS point
WHERE type = 'service_check'
    AND message != ''
    AND metric_name != ''
    AND point.1 BETWEEN {oldest:Float64} AND {newest:Float64}
    AND point.2 IS NOT NULL
SETTINGS max_partitions_per_insert_block = 0
