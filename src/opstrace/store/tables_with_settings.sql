-- The tables on disk, each with the end of its definition and where it lies.
SELECT name, engine_full AS settings, data_paths[1] AS directory
FROM system.tables
WHERE database = currentDatabase() AND endsWith(engine, 'MergeTree')
