-- Sketches in the order of the key. One that was committed twice is there twice until a merge.
SELECT series, toUnixTimestamp64Milli(timestamp) AS time_ms, source, commit, cnt, sum, min, max{bins}
FROM sketches
WHERE tenant = {tenant:String}
    AND metric IN {metrics:Array(UInt64)}
    AND {wanted}
    AND timestamp BETWEEN fromUnixTimestamp64Milli({start_ms:Int64}) AND fromUnixTimestamp64Milli({end_ms:Int64})
ORDER BY tenant, metric, series, timestamp, source, commit
LIMIT {limit:UInt64}
SETTINGS output_format_arrow_compression_method = 'none'
