-- How many native histograms a selection has, and how many buckets and bounds these have.
SELECT count() AS histograms, sum(length(positive_keys) + length(negative_keys) + length(custom_bounds)) AS buckets
FROM histograms
WHERE tenant = {tenant:String}
    AND metric IN {metrics:Array(UInt64)}
    AND {wanted}
    AND timestamp BETWEEN fromUnixTimestamp64Milli({start_ms:Int64}) AND fromUnixTimestamp64Milli({end_ms:Int64})
SETTINGS max_threads = 2
