-- The latest run of each service check of this commit; of two of one time the one that was sent later.
INSERT INTO checks (tenant, name, host, series, metric, tags, timestamp, status, message)
SELECT
    tenant,
    metric_name,
    host,
    series,
    metric,
    tags,
    fromUnixTimestamp64Milli(toInt64(round(point.1 * 1000)), 'UTC'),
    toUInt8(point.2),
    message
FROM (SELECT *, metric_name, series, metric, tags, rowNumberInAllBlocks() AS place FROM staged)
ARRAY JOIN points AS point
WHERE type = 'service_check'
    AND metric_name != ''
    AND point.1 BETWEEN {oldest:Float64} AND {newest:Float64}
    AND point.2 IS NOT NULL
ORDER BY point.1 DESC, place DESC
LIMIT 1 BY tenant, series
SETTINGS max_partitions_per_insert_block = 0, max_threads = 1
