-- The youngest logs of a tenant that meet some conditions, each once: how large they are, or all that they say.
SELECT {columns}
FROM logs
WHERE tenant = {tenant:String}
    AND timestamp BETWEEN fromUnixTimestamp64Milli({start_ms:Int64}, 'UTC') AND fromUnixTimestamp64Milli({end_ms:Int64}, 'UTC')
    AND {conditions}
    AND (toUnixTimestamp64Milli(timestamp), id) < ({before_ms:Int64}, {before_id:UInt64})
ORDER BY timestamp DESC, id DESC
LIMIT 1 BY timestamp, id
LIMIT {limit:UInt32}
SETTINGS max_threads = 2, max_execution_time = 60
