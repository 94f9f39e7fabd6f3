-- POST /api/v2/series with a protobuf body: the bodies follow each other in one file, each after its length, and
-- are told apart by their row in it. Values beyond the schema's enumeration of types are gauges.
INSERT INTO staged (body, tenant, sent_name, host, type, interval, unit, source_type, sent_tags, points)
SELECT
    {bodies:Array(UInt32)}[message + 1],
    {tenants:Array(String)}[message + 1],
    s.metric,
    arrayFirst(resource -> resource.type = 'host', s.resources).name,
    multiIf(s.type = 1, 'count', s.type = 2, 'rate', 'gauge'),
    s.interval,
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
    SELECT _row_number AS message, arrayJoin(series) AS s
    FROM file({path:String}, 'Protobuf', 'series Array(Tuple(
        resources        Array(Tuple(type String, name String)),
        metric           String,
        tags             Array(String),
        points           Array(Tuple(value Float64, timestamp Int64)),
        type             Int32,
        unit             String,
        source_type_name String,
        interval         Int64
    ))')
)
SETTINGS format_schema = '{schema}:MetricPayload', input_format_parallel_parsing = 0, max_threads = 1
