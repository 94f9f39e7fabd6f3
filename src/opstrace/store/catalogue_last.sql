-- When the youngest point of one metric was, of whatever kind; 0 without one.
WITH metrics AS
(
    SELECT DISTINCT metric
    FROM series
    WHERE tenant = {tenant:String} AND (name = {name:String} OR metric_name = {name:String}) AND day >= toDate32(intDiv({start_s:Int64}, 86400))
)
SELECT max(last_ms) AS last_ms
FROM
(
    SELECT toUnixTimestamp64Milli(max(timestamp)) AS last_ms
    FROM samples
    WHERE tenant = {tenant:String} AND metric IN metrics
        AND timestamp >= fromUnixTimestamp64Milli({start_s:Int64} * 1000, 'UTC')
    UNION ALL
    SELECT toUnixTimestamp64Milli(max(timestamp)) AS last_ms
    FROM sketches
    WHERE tenant = {tenant:String} AND metric IN metrics
        AND timestamp >= fromUnixTimestamp64Milli({start_s:Int64} * 1000, 'UTC')
    UNION ALL
    SELECT toUnixTimestamp64Milli(max(timestamp)) AS last_ms
    FROM histograms
    WHERE tenant = {tenant:String} AND metric IN metrics
        AND timestamp >= fromUnixTimestamp64Milli({start_s:Int64} * 1000, 'UTC')
)
SETTINGS max_threads = 2, max_execution_time = 60
