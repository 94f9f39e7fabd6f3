-- POST /api/beta/sketches: protobuf. The bodies follow each other in one file, each after its length, and are told
-- apart by their row in it. A device is among the tags.
INSERT INTO staged_sketches
SELECT
    {bodies:Array(UInt32)}[message + 1],
    {tenants:Array(String)}[message + 1],
    place,
    s.metric,
    s.host,
    '',
    '',
    s.tags,
    arrayMap(d -> (toNullable(toFloat64(d.ts)), d.cnt, d.sum, d.min, d.max, d.k, d.n), s.dogsketches)
FROM
(
    SELECT _row_number AS message, sketches
    FROM file({path:String}, 'Protobuf', 'sketches Array(Tuple(
        metric      String,
        host        String,
        tags        Array(String),
        dogsketches Array(Tuple(
            ts  Int64,
            cnt Int64,
            min Float64,
            max Float64,
            sum Float64,
            k   Array(Int32),
            n   Array(UInt64)
        ))
    ))')
)
ARRAY JOIN sketches AS s, arrayEnumerate(sketches) AS place
SETTINGS format_schema = '{schema}:SketchPayload', input_format_parallel_parsing = 0, max_threads = 1
