-- The samples of this commit that are stored, of series that say when their counting began.
INSERT INTO started_samples
SELECT tenant, metric, series, fromUnixTimestamp64Milli(sample.timestamp, 'UTC'), sample.value, start, {commit:UInt64}
FROM staged_writes
ARRAY JOIN samples AS sample, start_times AS start
WHERE refusal = 'none'
    AND is_started
    AND {admitted}
    AND sample.timestamp BETWEEN {oldest:Float64} * 1000 AND {newest:Float64} * 1000
SETTINGS max_partitions_per_insert_block = 0
