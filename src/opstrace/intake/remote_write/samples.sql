-- The samples of this commit that are stored, markers among them. The marker of a series of histograms is one of its label
-- set's numbers.
INSERT INTO samples (tenant, metric, series, timestamp, value, commit)
SELECT tenant, metric, series, fromUnixTimestamp64Milli(sample.timestamp, 'UTC'), sample.value, {commit:UInt64}
FROM
(
    SELECT
        tenant,
        metric,
        series,
        arrayConcat(
            samples,
            arrayFilter(
                (sample, is_marker) -> is_marker,
                arrayMap(h -> CAST((h.sum, h.timestamp), 'Tuple(value Float64, timestamp Int64)'), sent_histograms),
                are_markers
            )
        ) AS all_samples
    FROM staged_writes
    WHERE refusal = 'none' AND NOT is_started
)
ARRAY JOIN all_samples AS sample
WHERE sample.timestamp BETWEEN {oldest:Float64} * 1000 AND {newest:Float64} * 1000 AND {admitted}
SETTINGS max_partitions_per_insert_block = 0
