-- POST /api/intake/metrics/v3/series: the series of columnar payloads whose points are numbers, a row each.
SELECT
    assumeNotNull(body) AS body,
    assumeNotNull(tenant) AS tenant,
    assumeNotNull(sent_name) AS sent_name,
    assumeNotNull(host) AS host,
    assumeNotNull(type) AS type,
    assumeNotNull(interval) AS interval,
    assumeNotNull(unit) AS unit,
    assumeNotNull(source_type) AS source_type,
    CAST(sent_tags, 'Array(String)') AS sent_tags,
    arrayZip(times, values) AS points
FROM Python(rows)
