-- Whether a series of this commit has no row of its day yet: mostly none does, and then nothing is translated.
SELECT 1
FROM
(
    SELECT
        tenant,
        series,
        arrayJoin(arrayDistinct(arrayMap(
            point -> toDate32(toDateTime64(point.1, 3, 'UTC')),
            arrayFilter(
                point -> point.1 BETWEEN {oldest:Float64} AND {newest:Float64} AND isFinite(point.2), points
            )
        ))) AS day
    FROM staged
    WHERE metric_name != ''
)
WHERE sipHash64(tenant, day, series) NOT IN seen
LIMIT 1
