-- How many rows merges have read since the engine was started.
SELECT toUInt64(sum(value)) AS merged_rows
FROM system.events
WHERE event = 'MergedRows'
