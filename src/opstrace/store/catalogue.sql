-- Every metric of a tenant that has a point on some days, with what it costs: its series and hosts.
-- Some rows of earlier versions are no UTF-8.
SELECT
    name,
    toValidUTF8(argMax(metric_name, day)) AS datadog_name,
    argMax(toString(type), day) AS last_type,
    toValidUTF8(argMax(toString(unit), day)) AS last_unit,
    argMax(interval, day) AS interval_s,
    toValidUTF8(argMax(toString(source_type), day)) AS last_source,
    uniqExact(label_set) AS series,
    uniqExactIf(host, host != '') AS hosts,
    toInt64(max(day)) * 86400 AS last_day_s
FROM series
WHERE tenant = {tenant:String}
    AND day BETWEEN toDate32(intDiv({start_s:Int64}, 86400)) AND toDate32(intDiv({end_s:Int64}, 86400))
GROUP BY name
ORDER BY series DESC, name
LIMIT {limit:UInt32}
SETTINGS max_threads = 2, max_execution_time = 60
