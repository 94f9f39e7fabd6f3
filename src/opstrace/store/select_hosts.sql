-- Hosts of a tenant that were heard of since a moment: when they last sent a payload or spoke of themselves, the names of
-- their metrics, counted, and some of their series. Some rows of earlier versions are no UTF-8. The books have names as they
-- are shown: one that was cut, or had characters that cannot be printed, is no host's.
SELECT
    toValidUTF8(sent_host) AS host,
    max(heard_ms) AS seen_ms,
    max(names) AS metric_count,
    CAST(groupArrayArray(some), 'Array(Tuple(metric UInt64, series UInt64))') AS chosen
FROM
(
    SELECT
        host AS sent_host,
        toUnixTimestamp64Milli(max(seen)) AS heard_ms,
        toUInt64(0) AS names,
        CAST([], 'Array(Tuple(UInt64, UInt64))') AS some
    FROM hosts
    WHERE tenant = {tenant:String}
        AND seen >= fromUnixTimestamp64Milli({since_ms:Int64}, 'UTC')
        AND subject != 'mute' -- which is not the host's own word
    GROUP BY host
    UNION ALL
    SELECT host, toInt64(toUnixTimestamp(max(latest))) * 1000, 0, []
    FROM books
    WHERE tenant = {tenant:String}
        AND outcome = 'received'
        AND hour >= toStartOfHour(toDateTime(intDiv({since_ms:Int64}, 1000), 'UTC'))
        AND latest >= toDateTime(intDiv({since_ms:Int64}, 1000), 'UTC')
        AND NOT endsWith(host, '…') AND position(host, '?') = 0
    GROUP BY host
    UNION ALL
    SELECT
        host,
        0,
        uniqExact(metric_name),
        groupUniqArrayIf(5)((metric, series), aspect IN ('samples', 'sketch'))
    FROM series
    WHERE tenant = {tenant:String} AND day >= toDate32(fromUnixTimestamp64Milli({since_ms:Int64}, 'UTC'))
    GROUP BY host
)
WHERE sent_host != '' AND sent_host != '(others)'
GROUP BY host
ORDER BY host
SETTINGS max_execution_time = 60
