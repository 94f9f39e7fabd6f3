-- The latest run of each service check of one tenant since a moment; of two of one time the one that came later, which is
-- the one that merges leave.
SELECT
    name AS check,
    host,
    tags,
    argMax(status, timestamp) AS last_status,
    argMax(message, timestamp) AS last_message,
    toUnixTimestamp64Milli(max(timestamp)) AS time_ms
FROM checks FINAL
WHERE tenant = {tenant:String}
    AND timestamp >= fromUnixTimestamp64Milli({since_ms:Int64}, 'UTC')
    AND ({name:String} = '' OR name = {name:String})
    AND ({host:String} = '' OR host = {host:String})
GROUP BY name, host, series, tags
ORDER BY last_status = 0, name, host, tags
LIMIT {limit:UInt32}
SETTINGS max_execution_time = 30
