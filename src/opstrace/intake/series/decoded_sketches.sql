-- Distributions whose sketches were decoded, or made, outside of the engine: a row each.
SELECT
    assumeNotNull(body) AS body,
    assumeNotNull(tenant) AS tenant,
    assumeNotNull(sent_name) AS sent_name,
    assumeNotNull(host) AS host,
    'distribution' AS type,
    toFloat64(0) AS interval,
    assumeNotNull(unit) AS unit,                                       -- translated only
    assumeNotNull(source_type) AS source_type,                         -- translated only
    CAST(sent_tags, 'Array(String)') AS sent_tags,
    assumeNotNull(row) AS row,                                         -- looked at only
    arrayZip(times, sums) AS points
FROM Python(rows)
