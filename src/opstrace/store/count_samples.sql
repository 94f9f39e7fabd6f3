-- How many samples a selection has, a little more where some are there twice.
SELECT count() AS samples
FROM samples
WHERE tenant = {tenant:String}
    AND metric IN {metrics:Array(UInt64)}
    AND {wanted}
    AND timestamp BETWEEN fromUnixTimestamp64Milli({start_ms:Int64}) AND fromUnixTimestamp64Milli({end_ms:Int64})
SETTINGS max_threads = 2
