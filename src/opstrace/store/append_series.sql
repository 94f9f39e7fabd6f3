-- The series of blocks, which are in Prometheus's view already, that have no row of their day yet.
INSERT INTO unseen (day, tenant, name, aspect, metric, series, label_set, labels, metric_name)
WITH arrayZip(keys, contents) AS all_labels
SELECT
    day,
    tenant,
    name,
    aspect,
    metric,
    series,
    cityHash64(name, all_labels),
    CAST(all_labels, 'Map(LowCardinality(String), String)'),
    name
FROM
(
    SELECT
        assumeNotNull(toDate32(day)) AS day,
        assumeNotNull(tenant) AS tenant,
        assumeNotNull(name) AS name,
        assumeNotNull(aspect) AS aspect,
        assumeNotNull(metric) AS metric,
        assumeNotNull(series) AS series,
        arrayMap(key -> assumeNotNull(key), keys) AS keys,
        arrayMap(content -> assumeNotNull(content), contents) AS contents
    FROM Python(rows)
)
WHERE seen_key(tenant, day, series) NOT IN seen
