-- Sketches of known series. One whose payload comes again has the same source.
-- What comes twice in one commit is left to merges, and to whoever reads before them.
INSERT INTO sketches (tenant, metric, series, timestamp, source, cnt, sum, min, max, keys, counts, commit)
SELECT
    assumeNotNull(tenant),
    assumeNotNull(metric),
    assumeNotNull(series),
    fromUnixTimestamp64Milli(assumeNotNull(timestamp), 'UTC'),
    sipHash64(assumeNotNull(payload), assumeNotNull(place)),
    assumeNotNull(cnt),
    assumeNotNull(sum),
    assumeNotNull(min),
    assumeNotNull(max),
    CAST(keys, 'Array(Int16)'),
    CAST(counts, 'Array(UInt64)'),
    {commit:UInt64}
FROM Python(rows)
SETTINGS max_partitions_per_insert_block = 0, optimize_on_insert = 0
