-- For each tenant: whether any sample has a start timestamp, and the time (ms) of the oldest sample that may be stored.
SELECT
    tenant,
    max(is_started) AS started,
    min(arrayMin(arrayPushBack(
        arrayFilter(
            time -> time >= {oldest:Float64} * 1000,
            arrayConcat(tupleElement(samples, 'timestamp'), tupleElement(sent_histograms, 'timestamp'))
        ),
        toInt64(9223372036854775807)
    ))) AS oldest_ms
FROM staged_writes
GROUP BY tenant
