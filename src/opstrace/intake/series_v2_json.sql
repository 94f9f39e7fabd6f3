-- POST /api/v2/series with a JSON body. Resources other than the host become tags `type:name`.
INSERT INTO staged (body, tenant, sent_name, host, type, interval, unit, source_type, sent_tags, points)
SELECT
    body,
    tenant,
    s.metric,
    arrayFirst(resource -> resource.type = 'host', s.resources).name,
    multiIf(s.type IN ('1', 'count'), 'count', s.type IN ('2', 'rate'), 'rate', 'gauge'),
    if(isFinite(s.interval), s.interval, 0),
    s.unit,
    s.source_type_name,
    arrayConcat(
        s.tags,
        arrayMap(
            resource -> concat(resource.type, ':', resource.name),
            arrayFilter(resource -> resource.type NOT IN ('', 'host') AND resource.name != '', s.resources)
        )
    ),
    arrayMap(point -> (point.timestamp, point.value), s.points)
FROM
(
    SELECT
        assumeNotNull(body) AS body,
        assumeNotNull(tenant) AS tenant,
        arrayJoin(tupleElement(JSONExtract(assumeNotNull(content), 'Tuple(
            series Array(Tuple(
                metric           String,
                points           Array(Tuple(timestamp Nullable(Float64), value Nullable(Float64))),
                type             LowCardinality(String),
                interval         Float64,
                resources        Array(Tuple(type String, name String)),
                tags             Array(String),
                unit             LowCardinality(String),
                source_type_name LowCardinality(String)
            ))
        )'), 1)) AS s
    FROM Python(rows)
)
