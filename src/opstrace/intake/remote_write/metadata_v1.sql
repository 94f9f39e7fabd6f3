-- What bodies of version 1.0 tell of metrics.
INSERT INTO staged_metadata (body, tenant, name, type, help, unit)
SELECT
    {bodies:Array(UInt32)}[message + 1],
    {tenants:Array(String)}[message + 1],
    m.metric_family_name,
    if(m.type BETWEEN 0 AND 7, m.type, 0),
    m.help,
    m.unit
FROM
(
    SELECT _row_number AS message, arrayJoin(metadata) AS m
    FROM file({path:String}, 'Protobuf', 'metadata Array(Tuple(
        type Int32, metric_family_name String, help String, unit String
    ))')
)
SETTINGS format_schema = '{schema}:WriteRequest', input_format_parallel_parsing = 0, max_threads = 1, max_memory_usage = {max_memory}
