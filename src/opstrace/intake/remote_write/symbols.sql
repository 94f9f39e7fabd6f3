-- The texts of bodies of version 2.0.
INSERT INTO staged_symbols (key, text)
SELECT bitShiftLeft(toUInt64(message), 32) + place - 1, symbol
FROM
(
    SELECT _row_number AS message, symbols
    FROM file({path:String}, 'Protobuf', 'symbols Array(String)')
)
ARRAY JOIN symbols AS symbol, arrayEnumerate(symbols) AS place
SETTINGS format_schema = '{schema}:Request', input_format_parallel_parsing = 0, max_threads = 1, max_memory_usage = {max_memory}
