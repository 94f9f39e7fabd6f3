-- POST /api/intake/metrics/v3/series: the series of columnar payloads whose points are numbers, a row each.
INSERT INTO staged (body, tenant, sent_name, host, type, interval, unit, source_type, sent_tags, points)
SELECT
    assumeNotNull(body),
    assumeNotNull(tenant),
    assumeNotNull(sent_name),
    assumeNotNull(host),
    assumeNotNull(type),
    assumeNotNull(interval),
    assumeNotNull(unit),
    assumeNotNull(source_type),
    arrayConcat(CAST(tags, 'Array(String)'), CAST(resource_tags, 'Array(String)')),
    arrayZip(times, values)
FROM Python(rows)
