-- POST /api/v1/series: JSON. A field of a wrong type reads as absent, an element of a wrong type as an empty one.
SELECT
    body,
    tenant,
    s.metric AS sent_name,
    s.host AS host,
    multiIf(s.type IN ('rate', 'count'), s.type, s.type = 'counter', 'count', 'gauge') AS type,
    if(isFinite(s.interval), s.interval, 0) AS interval,
    s.unit AS unit,                                                    -- translated only
    s.source_type_name AS source_type,                                 -- translated only
    arrayConcat(
        resources_named(s.tags),
        if(s.device = '', [], [concat('device:', s.device)]),
        if(s.device_name = '', [], [concat('device:', s.device_name)])
    ) AS sent_tags,
    s.points AS points
FROM
(
    SELECT
        assumeNotNull(body) AS body,
        assumeNotNull(tenant) AS tenant,
        arrayJoin(tupleElement(JSONExtract(assumeNotNull(content), 'Tuple(
            series Array(Tuple(
                metric           String,
                points           Array(Tuple(Nullable(Float64), Nullable(Float64))),
                type             LowCardinality(String),
                interval         Float64,
                host             String,
                tags             Array(String),
                device           String,
                unit             LowCardinality(String),               -- translated only
                source_type_name LowCardinality(String),               -- translated only
                device_name      String
            ))
        )'), 1)) AS s
    FROM Python(rows)
)
