-- Whether a series of this commit has no row of its day yet: mostly none does, and then nothing is translated.
SELECT 1
FROM staged
ARRAY JOIN points AS point
WHERE metric_name != ''
    AND point.1 BETWEEN {oldest:Float64} AND {newest:Float64}
    AND isFinite(point.2)
    AND sipHash64(tenant, toDate32(toDateTime64(point.1, 3, 'UTC')), series) NOT IN seen
LIMIT 1
