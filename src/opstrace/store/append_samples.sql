-- The samples of blocks.
-- What comes twice in one commit is left to merges, and to whoever reads before them.
INSERT INTO samples (tenant, metric, series, timestamp, value, commit)
SELECT
    assumeNotNull(tenant),
    assumeNotNull(metric),
    assumeNotNull(series),
    fromUnixTimestamp64Milli(assumeNotNull(timestamp), 'UTC'),
    assumeNotNull(value),
    {commit:UInt64}
FROM Python(rows)
SETTINGS max_partitions_per_insert_block = 0, optimize_on_insert = 0
