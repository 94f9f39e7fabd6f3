-- How large the youngest logs of a tenant are that meet some conditions, in the order of select_logs.sql.
SELECT length(message) + length(attributes) + arraySum(tag -> length(tag), tags) AS size_bytes
FROM logs
WHERE tenant = {tenant:String}
    AND timestamp BETWEEN fromUnixTimestamp64Milli({start_ms:Int64}, 'UTC') AND fromUnixTimestamp64Milli({end_ms:Int64}, 'UTC')
    AND {conditions}
ORDER BY timestamp DESC, id
LIMIT 1 BY timestamp, id
LIMIT {limit:UInt32}
SETTINGS max_threads = 2, max_execution_time = 60
