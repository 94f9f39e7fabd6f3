-- The samples of blocks. Of what comes twice in one commit a merge leaves the last; doing so here would cost a twelfth of all.
INSERT INTO samples
SELECT
    assumeNotNull(tenant),
    assumeNotNull(metric),
    assumeNotNull(series),
    fromUnixTimestamp64Milli(assumeNotNull(timestamp), 'UTC'),
    assumeNotNull(value),
    {commit:UInt64}
FROM Python(rows)
SETTINGS max_partitions_per_insert_block = 0, optimize_on_insert = 0
