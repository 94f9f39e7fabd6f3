-- When the engine last made rows of ours durable, in milliseconds; it tells of whole seconds.
SELECT toUnixTimestamp(max(modification_time)) * 1000 + 999 AS last_ms
FROM system.parts
WHERE database = currentDatabase() AND active AND modification_time > toDateTime(0)
