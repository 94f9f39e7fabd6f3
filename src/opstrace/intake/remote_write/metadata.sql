-- What is told of metrics and was not known yet. A tenant's metrics that are told of have a bound, and so has a help text.
INSERT INTO metric_metadata (tenant, name, type, help, unit, commit)
SELECT tenant, name, type, help, unit, {commit:UInt64}
FROM
(
    SELECT
        told.tenant AS tenant,
        told.name AS name,
        transform(
            told.type,
            [1, 2, 3, 4, 5, 6, 7],
            ['counter', 'gauge', 'histogram', 'gaugehistogram', 'summary', 'info', 'stateset'],
            'unknown'
        ) AS type,
        substringUTF8(toValidUTF8(told.help), 1, {max_help:UInt32}) AS help,
        substringUTF8(toValidUTF8(told.unit), 1, {max_help:UInt32}) AS unit,
        known.tenant = '' AS is_new,
        (known.type, known.help, known.unit) AS before
    FROM
    (
        SELECT tenant, name, anyLast(type) AS type, anyLast(help) AS help, anyLast(unit) AS unit
        FROM staged_metadata
        WHERE name != '' AND length(name) <= {max_name:UInt32} AND isValidUTF8(name)
        GROUP BY tenant, name
    ) AS told
    LEFT JOIN
    (
        SELECT tenant, name, type, help, unit
        FROM metric_metadata FINAL
        WHERE (tenant, name) IN (SELECT tenant, name FROM staged_metadata)
    ) AS known ON told.tenant = known.tenant AND told.name = known.name
) AS news
LEFT JOIN (SELECT tenant, uniq(name) AS told_of FROM metric_metadata GROUP BY tenant) AS tenants USING tenant
WHERE (is_new OR before != (type, help, unit)) AND (NOT is_new OR told_of < {max_metrics:UInt32})
