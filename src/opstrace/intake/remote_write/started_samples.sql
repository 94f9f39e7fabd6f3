-- The samples of this commit that are stored, of series that say when their counting began; markers of their histograms
-- among them, as in samples.sql.
INSERT INTO started_samples (tenant, metric, series, timestamp, value, start, commit)
SELECT tenant, metric, series, fromUnixTimestamp64Milli(sample.timestamp, 'UTC'), sample.value, start, {commit:UInt64}
FROM
(
    SELECT
        tenant,
        metric,
        series,
        arrayFilter((h, is_marker) -> is_marker, sent_histograms, are_markers) AS markers,
        arrayConcat(
            samples,
            arrayMap(h -> CAST((h.sum, h.timestamp), 'Tuple(value Float64, timestamp Int64)'), markers)
        ) AS all_samples,
        arrayConcat(start_times, arrayMap(h -> h.start_timestamp, markers)) AS all_starts
    FROM staged_writes
    WHERE refusal = 'none' AND is_started
)
ARRAY JOIN all_samples AS sample, all_starts AS start
WHERE sample.timestamp BETWEEN {oldest:Float64} * 1000 AND {newest:Float64} * 1000 AND {admitted}
SETTINGS max_partitions_per_insert_block = 0
