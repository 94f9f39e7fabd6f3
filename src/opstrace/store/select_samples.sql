-- Samples part by part, each part in the order of the key: merging parts here would cost more than all the rest. A sample
-- that was committed twice is there twice until a merge.
SELECT series, toUnixTimestamp64Milli(timestamp) AS time_ms, value
FROM samples
WHERE tenant = {tenant:String}
    AND metric IN {metrics:Array(UInt64)}
    AND {wanted}
    AND timestamp BETWEEN fromUnixTimestamp64Milli({start_ms:Int64}) AND fromUnixTimestamp64Milli({end_ms:Int64})
LIMIT {limit:UInt64}
SETTINGS output_format_arrow_compression_method = 'none', max_threads = 2
