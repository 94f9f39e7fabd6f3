-- What series of version 2.0 tell of their metrics. A classic histogram or summary is told of by each of its series, and
-- named as in version 1.0.
INSERT INTO staged_metadata (body, tenant, name, type, help, unit)
SELECT DISTINCT
    {bodies:Array(UInt32)}[message + 1],
    {tenants:Array(String)}[message + 1],
    if(
        type IN (3, 4, 5) AND isValidUTF8(name),
        replaceRegexpOne(name, '_(bucket|g?count|g?sum)$', ''),
        name
    ),
    type,
    joinGet('staged_symbols', 'text', bitShiftLeft(toUInt64(message), 32) + s.metadata.help_ref),
    joinGet('staged_symbols', 'text', bitShiftLeft(toUInt64(message), 32) + s.metadata.unit_ref)
FROM
(
    SELECT
        _row_number AS message,
        arrayJoin(timeseries) AS s,
        if(s.metadata.type BETWEEN 0 AND 7, s.metadata.type, 0) AS type,
        arrayFirst(
            place -> joinGet('staged_symbols', 'text', bitShiftLeft(toUInt64(message), 32) + s.labels_refs[place]) = '__name__',
            range(1, length(s.labels_refs), 2)
        ) AS place_of_name,
        if(
            place_of_name = 0, '',
            joinGet('staged_symbols', 'text', bitShiftLeft(toUInt64(message), 32) + s.labels_refs[place_of_name + 1])
        ) AS name
    FROM file({path:String}, 'Protobuf', 'timeseries Array(Tuple(
        labels_refs Array(UInt32), metadata Tuple(type Int32, help_ref UInt32, unit_ref UInt32)
    ))')
)
WHERE type != 0 OR s.metadata.help_ref != 0 OR s.metadata.unit_ref != 0
SETTINGS format_schema = '{schema}:Request', input_format_parallel_parsing = 0, max_threads = 1, max_memory_usage = {max_memory}
