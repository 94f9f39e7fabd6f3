-- When some series last had a sample since a moment.
SELECT series, toUnixTimestamp64Milli(max(timestamp)) AS seen_ms
FROM samples
WHERE tenant = {tenant:String}
    AND (metric, series) IN (SELECT assumeNotNull(metric), assumeNotNull(series) FROM Python(rows))
    AND timestamp >= fromUnixTimestamp64Milli({since_ms:Int64}, 'UTC')
GROUP BY series
