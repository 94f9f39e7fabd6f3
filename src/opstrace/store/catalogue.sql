-- Every metric of a tenant that has a point on some days, with what it costs: its series and hosts. Where its series do not
-- say its type or its unit, remote write may have told them. Some rows of earlier versions are no UTF-8.
SELECT
    name,
    datadog_name,
    if(said_type = '', told.type, said_type) AS last_type,
    if(said_unit = '', told.unit, said_unit) AS last_unit,
    interval_s,
    last_source,
    series,
    hosts,
    last_day_s
FROM
(
    SELECT
        name,
        toValidUTF8(argMax(metric_name, day)) AS datadog_name,
        argMax(toString(type), day) AS said_type,
        toValidUTF8(argMax(toString(unit), day)) AS said_unit,
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
) AS sent
LEFT JOIN
(
    SELECT name, toString(type) AS type, toValidUTF8(unit) AS unit
    FROM metric_metadata FINAL
    WHERE tenant = {tenant:String}
) AS told USING (name)
ORDER BY series DESC, name
SETTINGS max_threads = 2, max_execution_time = 60
