-- The tables on disk, each with the end of its definition.
SELECT name, engine_full AS settings
FROM system.tables
WHERE database = currentDatabase() AND endsWith(engine, 'MergeTree')
