-- The samples of blocks that say when their counting began.
INSERT INTO started_samples (tenant, metric, series, timestamp, value, start, commit)
SELECT
    assumeNotNull(tenant),
    assumeNotNull(metric),
    assumeNotNull(series),
    fromUnixTimestamp64Milli(assumeNotNull(timestamp), 'UTC'),
    assumeNotNull(value),
    assumeNotNull(start),
    {commit:UInt64}
FROM Python(rows)
SETTINGS max_partitions_per_insert_block = 0
