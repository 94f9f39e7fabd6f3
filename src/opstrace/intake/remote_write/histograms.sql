-- The native histograms of this commit that are stored: spans become indexes, differences become counts.
INSERT INTO histograms (
    tenant, metric, series, timestamp, schema, count, sum, zero_threshold, zero_count, positive_keys,
    positive_counts, negative_keys, negative_counts, custom_bounds, hint, commit, start
)
SELECT
    tenant,
    metric,
    histogram_series,
    fromUnixTimestamp64Milli(h.timestamp, 'UTC'),
    h.schema,
    h.count_int + h.count_float,
    h.sum,
    h.zero_threshold,
    h.zero_count_int + h.zero_count_float,
    arrayFlatten(arrayMap((start, length) -> range(start, start + length), both[1].starts, both[1].lengths)),
    both[1].counts,
    arrayFlatten(arrayMap((start, length) -> range(start, start + length), both[2].starts, both[2].lengths)),
    both[2].counts,
    h.custom_values,
    -- Whether a counter was reset is seen in the data, whatever the sender took it for: so does Prometheus's own store.
    if(h.reset_hint = 3, 'gauge', 'unknown'),
    {commit:UInt64},
    h.start_timestamp
FROM
(
    SELECT tenant, metric, histogram_series, h, both
    FROM staged_writes
    ARRAY JOIN sent_histograms AS h, sides AS both, are_sound AS is_sound, are_markers AS is_marker
    WHERE refusal = 'none'
        AND {admitted}
        AND is_sound
        AND NOT is_marker
        AND h.timestamp BETWEEN {oldest:Float64} * 1000 AND {newest:Float64} * 1000
)
SETTINGS max_partitions_per_insert_block = 0
