-- Samples that say when their counting began, each once: of those with the same key that of the latest commit.
SELECT
    series,
    toUnixTimestamp64Milli(timestamp) AS time_ms,
    value,
    start,
    commit
FROM started_samples FINAL
WHERE tenant = {tenant:String}
    AND metric IN {metrics:Array(UInt64)}
    AND {wanted}
    AND timestamp BETWEEN fromUnixTimestamp64Milli({start_ms:Int64}) AND fromUnixTimestamp64Milli({end_ms:Int64})
LIMIT {limit:UInt64}
SETTINGS output_format_arrow_compression_method = 'none', do_not_merge_across_partitions_select_final = 1
