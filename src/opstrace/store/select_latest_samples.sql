-- When some series last had a sample or a sketch since a moment.
SELECT series, toUnixTimestamp64Milli(max(timestamp)) AS seen_ms
FROM
(
    SELECT tenant, metric, series, timestamp FROM samples
    UNION ALL
    SELECT tenant, metric, series, timestamp FROM sketches
)
WHERE tenant = {tenant:String}
    AND (metric, series) IN (SELECT assumeNotNull(metric), assumeNotNull(series) FROM Python(rows))
    AND timestamp >= fromUnixTimestamp64Milli({since_ms:Int64}, 'UTC')
GROUP BY series
SETTINGS max_execution_time = 60
