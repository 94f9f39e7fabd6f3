-- When the youngest point of one metric was; 0 without one.
SELECT max(last_ms) AS last_ms
FROM
(
    SELECT toUnixTimestamp64Milli(max(timestamp)) AS last_ms
    FROM samples
    WHERE tenant = {tenant:String} AND timestamp >= fromUnixTimestamp64Milli({start_s:Int64} * 1000, 'UTC')
        AND metric IN (SELECT metric FROM series WHERE tenant = {tenant:String} AND name = {name:String}
            AND day >= toDate32(intDiv({start_s:Int64}, 86400)))
    UNION ALL
    SELECT toUnixTimestamp64Milli(max(timestamp)) AS last_ms
    FROM sketches
    WHERE tenant = {tenant:String} AND timestamp >= fromUnixTimestamp64Milli({start_s:Int64} * 1000, 'UTC')
        AND metric IN (SELECT metric FROM series WHERE tenant = {tenant:String} AND name = {name:String}
            AND day >= toDate32(intDiv({start_s:Int64}, 86400)))
)
SETTINGS max_threads = 2, max_execution_time = 60
