-- The tables on disk in which tenants have rows.
SELECT name
FROM system.tables
WHERE database = currentDatabase()
    AND engine LIKE '%MergeTree'
    AND name IN (SELECT table FROM system.columns WHERE database = currentDatabase() AND name = 'tenant')
ORDER BY name
