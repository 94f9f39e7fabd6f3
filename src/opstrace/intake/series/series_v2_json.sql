-- POST /api/v2/series with a JSON body. Resources other than the host become tags `type:name`.
SELECT
    body,
    tenant,
    s.metric AS sent_name,
    host_among(s.resources) AS host,
    multiIf(s.type IN ('1', 'count'), 'count', s.type IN ('2', 'rate'), 'rate', 'gauge') AS type,
    if(isFinite(s.interval), s.interval, 0) AS interval,
    s.unit AS unit,                                                    -- translated only
    s.source_type_name AS source_type,                                 -- translated only
    arrayConcat(s.tags, other_resources(s.resources)) AS sent_tags,
    arrayMap(point -> (point.timestamp, point.value), s.points) AS points
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
                unit             LowCardinality(String),               -- translated only
                source_type_name LowCardinality(String),               -- translated only
                tags             Array(String)
            ))
        )'), 1)) AS s
    FROM Python(rows)
)
