-- POST /api/v1/distribution_points: JSON. The values of the points; the sketches are made of them outside of the engine.
SELECT
    body,
    tenant,
    toUInt32(place) AS place,
    s.metric AS sent_name,
    s.host AS host,
    s.unit AS unit,
    s.source_type_name AS source_type,
    arrayConcat(
        resources_named(s.tags),
        if(s.device = '', [], [concat('device:', s.device)]),
        if(s.device_name = '', [], [concat('device:', s.device_name)])
    ) AS sent_tags,
    arrayMap(point -> point.1, s.points) AS times,
    arrayMap(point -> point.2, s.points) AS samples
FROM
(
    SELECT
        assumeNotNull(body) AS body,
        assumeNotNull(tenant) AS tenant,
        tupleElement(JSONExtract(assumeNotNull(content), 'Tuple(
            series Array(Tuple(
                metric           String,
                points           Array(Tuple(Nullable(Float64), Array(Nullable(Float64)))),
                host             String,
                tags             Array(String),
                device           String,
                device_name      String,
                unit             String,
                source_type_name String
            ))
        )'), 1) AS series
    FROM Python(rows)
)
ARRAY JOIN series AS s, arrayEnumerate(series) AS place
ORDER BY body, place
SETTINGS output_format_arrow_compression_method = 'none'
