-- The samples of blocks.
INSERT INTO samples
SELECT
    assumeNotNull(tenant),
    assumeNotNull(metric),
    assumeNotNull(series),
    fromUnixTimestamp64Milli(assumeNotNull(timestamp), 'UTC'),
    assumeNotNull(value),
    {commit:UInt64}
FROM Python(rows)
SETTINGS max_partitions_per_insert_block = 0
