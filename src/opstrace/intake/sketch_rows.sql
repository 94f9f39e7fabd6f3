-- The sketches of this commit that are stored. A payload that comes again has the same source.
INSERT INTO sketches
SELECT
    tenant,
    metric,
    series,
    fromUnixTimestamp64Milli(toInt64(round(point.1 * 1000)), 'UTC'),
    sipHash64({digests:Array(UInt64)}[indexOf({bodies:Array(UInt32)}, body)], sketch.1),
    sketch.2,
    sketch.3,
    sketch.4,
    sketch.5,
    sketch.6,
    sketch.7,
    {commit:UInt64}
FROM staged
ARRAY JOIN points AS point, sketches AS sketch
WHERE metric_name != ''
    AND type = 'distribution'
    AND point.1 BETWEEN {oldest:Float64} AND {newest:Float64}
    AND isFinite(point.2)
SETTINGS max_partitions_per_insert_block = 0
