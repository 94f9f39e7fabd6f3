-- Native histograms, each once: of those with the same key that of the latest commit.
SELECT
    series,
    toUnixTimestamp64Milli(timestamp) AS time_ms,
    commit,
    schema,
    count,
    sum,
    zero_threshold,
    zero_count,
    positive_keys,
    positive_counts,
    negative_keys,
    negative_counts,
    custom_bounds,
    toString(hint) AS reset_hint,
    start
FROM histograms FINAL
WHERE tenant = {tenant:String}
    AND metric IN {metrics:Array(UInt64)}
    AND {wanted}
    AND timestamp BETWEEN fromUnixTimestamp64Milli({start_ms:Int64}) AND fromUnixTimestamp64Milli({end_ms:Int64})
LIMIT {limit:UInt64}
SETTINGS output_format_arrow_compression_method = 'none', do_not_merge_across_partitions_select_final = 1
