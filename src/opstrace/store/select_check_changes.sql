-- When a service check of one tenant became another status, and its first run of the range; the youngest first.
SELECT host, tags, toUnixTimestamp64Milli(changes.timestamp) AS time_ms, toUInt8(value) AS new_status, said AS new_message
FROM
(
    SELECT series, timestamp, value
    FROM
    (
        SELECT
            series,
            timestamp,
            value,
            lagInFrame(toNullable(value)) OVER (PARTITION BY series ORDER BY timestamp ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) AS before
        FROM samples FINAL
        WHERE tenant = {tenant:String}
            AND (metric, series) IN
            (
                SELECT metric, series
                FROM checks
                WHERE tenant = {tenant:String} AND name = {name:String} AND ({host:String} = '' OR host = {host:String})
            )
            AND timestamp BETWEEN fromUnixTimestamp64Milli({start_ms:Int64}, 'UTC') AND fromUnixTimestamp64Milli({end_ms:Int64}, 'UTC')
    )
    WHERE before IS NULL OR before != value
    ORDER BY timestamp DESC
    LIMIT {limit:UInt32}
) AS changes
INNER JOIN
(
    SELECT series, any(checks.host) AS host, any(checks.tags) AS tags
    FROM checks
    WHERE tenant = {tenant:String} AND name = {name:String}
    GROUP BY series
) AS named ON changes.series = named.series
LEFT JOIN
(
    SELECT series, timestamp, argMax(message, commit) AS said
    FROM check_messages
    WHERE tenant = {tenant:String}
        AND series IN (SELECT series FROM checks WHERE tenant = {tenant:String} AND name = {name:String})
    GROUP BY series, timestamp
) AS messages ON changes.series = messages.series AND changes.timestamp = messages.timestamp
ORDER BY time_ms DESC, host, tags
SETTINGS max_execution_time = 30
