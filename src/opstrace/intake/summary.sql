-- What each body of this commit holds, as a whole: mostly all of it is stored and nothing of it is new, and then no other
-- statement looks at it. Of series of which not every point is stored, or whose points are of several days, it says no
-- more than how many there are.
WITH if(ifNull(points[1].1 BETWEEN {oldest:Float64} AND {newest:Float64}, 0), points[1].1, 0) AS first_s
SELECT
    body,
    toValidUTF8(anyHeavyIf(host, host != '')) AS of_host,                    -- that most of them speak of
    count() AS series,
    sum(length(points)) AS stored,
    countIf(
        metric_name = ''
        OR empty(points)
        OR NOT arrayAll(
            point -> ifNull(
                point.1 BETWEEN {oldest:Float64} AND {newest:Float64}
                AND isFinite(point.2)
                AND floor(point.1 / 86400) = floor(points[1].1 / 86400),
                0
            ),
            points
        )
    ) AS odd,
    sum(arrayCount(point -> ifNull(point.1 < {now_ms:Int64} / 1000 - 60, 0), points)) AS late,
    sum(arrayCount(point -> ifNull(point.1 = {now_ms:Int64} / 1000, 0), points)) AS untimed,
    countIf(seen_key(tenant, toDate32(toDateTime64(first_s, 3, 'UTC')), staged.series) NOT IN seen) AS unseen
FROM staged
GROUP BY body
