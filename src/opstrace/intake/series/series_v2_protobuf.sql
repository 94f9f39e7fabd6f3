-- POST /api/v2/series with a protobuf body: the bodies follow each other in one file, each after its length, and
-- are told apart by their row in it. Values beyond the schema's enumeration of types are gauges.
SELECT
    {bodies:Array(UInt32)}[message + 1] AS body,
    {tenants:Array(String)}[message + 1] AS tenant,
    s.metric AS sent_name,
    host_among(s.resources) AS host,
    multiIf(s.type = 1, 'count', s.type = 2, 'rate', 'gauge') AS type,
    toFloat64(s.interval) AS interval,
    s.unit AS unit,                                                    -- translated only
    s.source_type_name AS source_type,                                 -- translated only
    arrayConcat(s.tags, other_resources(s.resources)) AS sent_tags,
    arrayMap(point -> (toFloat64(point.timestamp), point.value), s.points) AS points
FROM
(
    SELECT _row_number AS message, arrayJoin(series) AS s
    FROM file({path:String}, 'Protobuf', 'series Array(Tuple(
        resources        Array(Tuple(type String, name String)),
        metric           String,
        tags             Array(String),
        points           Array(Tuple(value Float64, timestamp Int64)),
        type             Int32,
        unit             String,                                       -- translated only
        source_type_name String,                                       -- translated only
        interval         Int64
    ))')
)
