-- The points of this commit that are stored, as they were sent: seconds become milliseconds, values stay.
INSERT INTO samples
SELECT
    tenant,
    metric,
    series,
    fromUnixTimestamp64Milli(toInt64(round(point.1 * 1000)), 'UTC'),
    point.2,
    {commit:UInt64}
FROM staged
ARRAY JOIN points AS point
WHERE metric_name != ''
    AND type != 'distribution'
    AND point.1 BETWEEN {oldest:Float64} AND {newest:Float64}
    AND isFinite(point.2)
SETTINGS max_partitions_per_insert_block = 0
