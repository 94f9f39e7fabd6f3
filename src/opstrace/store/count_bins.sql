-- How many sketches a selection has, and how many bins these have.
SELECT count() AS sketches, sum(length(keys)) AS bins
FROM sketches
WHERE tenant = {tenant:String}
    AND metric IN {metrics:Array(UInt64)}
    AND {wanted}
    AND timestamp BETWEEN fromUnixTimestamp64Milli({start_ms:Int64}) AND fromUnixTimestamp64Milli({end_ms:Int64})
SETTINGS max_threads = 2
