-- The native histograms of blocks.
INSERT INTO histograms (
    tenant, metric, series, timestamp, schema, count, sum, zero_threshold, zero_count, positive_keys,
    positive_counts, negative_keys, negative_counts, custom_bounds, hint, commit, start
)
SELECT
    assumeNotNull(tenant),
    assumeNotNull(metric),
    assumeNotNull(series),
    fromUnixTimestamp64Milli(assumeNotNull(timestamp), 'UTC'),
    assumeNotNull(schema),
    assumeNotNull(count),
    assumeNotNull(sum),
    assumeNotNull(zero_threshold),
    assumeNotNull(zero_count),
    arrayMap(key -> assumeNotNull(key), positive_keys),
    arrayMap(number -> assumeNotNull(number), positive_counts),
    arrayMap(key -> assumeNotNull(key), negative_keys),
    arrayMap(number -> assumeNotNull(number), negative_counts),
    arrayMap(limit -> assumeNotNull(limit), custom_bounds),
    assumeNotNull(hint),
    {commit:UInt64},
    assumeNotNull(start)
FROM Python(rows)
SETTINGS max_partitions_per_insert_block = 0
