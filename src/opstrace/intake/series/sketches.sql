-- POST /api/beta/sketches: protobuf. The bodies follow each other in one file, each after its length, and are told
-- apart by their row in it. A device is among the tags.
SELECT
    {bodies:Array(UInt32)}[message + 1] AS body,
    {tenants:Array(String)}[message + 1] AS tenant,
    s.metric AS sent_name,
    s.host AS host,
    'distribution' AS type,
    toFloat64(0) AS interval,
    '' AS unit,                                                        -- translated only
    '' AS source_type,                                                 -- translated only
    resources_named(s.tags) AS sent_tags,
    arrayMap(i -> bitShiftLeft(toUInt64(place), 32) + i, arrayEnumerate(s.dogsketches)) AS places,   -- looked at only
    tupleElement(s.dogsketches, 'cnt') AS cnts,                        -- looked at only
    tupleElement(s.dogsketches, 'sum') AS sums,                        -- looked at only
    tupleElement(s.dogsketches, 'min') AS minima,                      -- looked at only
    tupleElement(s.dogsketches, 'max') AS maxima,                      -- looked at only
    tupleElement(s.dogsketches, 'k') AS keys,                          -- looked at only
    tupleElement(s.dogsketches, 'n') AS counts,                        -- looked at only
    arrayMap(ts -> (toFloat64(ts), toFloat64(0)), tupleElement(s.dogsketches, 'ts')) AS points       -- looked at only
    arrayMap(one -> (toFloat64(one.ts), if(is_sketch(one), 0, nan)), s.dogsketches) AS points        -- translated only
FROM
(
    SELECT _row_number AS message, sketches
    FROM file({path:String}, 'Protobuf', 'sketches Array(Tuple(
        metric      String,
        host        String,
        tags        Array(String),
        dogsketches Array(Tuple(
            cnt Int64,
            min Float64,
            max Float64,
            sum Float64,
            k   Array({key}),
            n   Array({count}),
            ts  Int64
        ))
    ))')
)
ARRAY JOIN sketches AS s, arrayEnumerate(sketches) AS place
