-- POST /api/v1/series: JSON. A field of a wrong type reads as absent, an element of a wrong type as an empty one.
INSERT INTO staged (body, tenant, sent_name, host, type, interval, unit, source_type, sent_tags, points)
SELECT
    body,
    tenant,
    s.metric,
    s.host,
    multiIf(s.type IN ('rate', 'count'), s.type, s.type = 'counter', 'count', 'gauge'),
    if(isFinite(s.interval), s.interval, 0),
    s.unit,
    s.source_type_name,
    arrayConcat(
        s.tags,
        if(s.device = '', [], [concat('device:', s.device)]),
        if(s.device_name = '', [], [concat('device:', s.device_name)])
    ),
    s.points
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
                device_name      String,
                unit             LowCardinality(String),
                source_type_name LowCardinality(String)
            ))
        )'), 1)) AS s
    FROM Python(rows)
)
