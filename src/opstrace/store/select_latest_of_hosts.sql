-- When some hosts of a tenant last had a sample or a sketch since a moment, of whichever of their series.
SELECT host, toUnixTimestamp64Milli(max(timestamp)) AS seen_ms
FROM
(
    SELECT tenant, metric, series, timestamp FROM samples
    UNION ALL
    SELECT tenant, metric, series, timestamp FROM sketches
) AS points
INNER JOIN
(
    SELECT DISTINCT metric, series, host
    FROM series
    WHERE tenant = {tenant:String}
        AND host IN {hosts:Array(String)}
        AND day >= toDate32(fromUnixTimestamp64Milli({since_ms:Int64}, 'UTC'))
) AS of_hosts ON points.metric = of_hosts.metric AND points.series = of_hosts.series
WHERE tenant = {tenant:String}
    AND (metric, series) IN (
        SELECT metric, series
        FROM series
        WHERE tenant = {tenant:String}
            AND host IN {hosts:Array(String)}
            AND day >= toDate32(fromUnixTimestamp64Milli({since_ms:Int64}, 'UTC'))
    )
    AND timestamp >= fromUnixTimestamp64Milli({since_ms:Int64}, 'UTC')
GROUP BY host
SETTINGS max_execution_time = 60
