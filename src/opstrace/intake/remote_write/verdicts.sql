-- What becomes of each series, sample and histogram of this commit, and how many exemplars came, counted a body.
SELECT
    body,
    ['samples', 'histograms', 'series', 'exemplars'][intDiv(fate, 100) + 1] AS kind,
    if(fate % 100 >= 50, 'stored', [
        'no_name',
        'bad_labels',
        'name_too_long',
        'too_many_labels',
        'label_too_long',
        'too_many_series',
        'too_many_new_series',
        'bad_histogram',
        'future',
        'ancient',
        'no_points', -- of a series
        'not_kept' -- of an exemplar, and of a series that has nothing else
    ][fate % 100]) AS reason,
    fate % 100 = 51 AS late,
    sum(times) AS total
FROM
(
    SELECT
        body,
        arrayMap(time -> toUInt16(multiIf(
            refusal != 'none', toUInt8(refusal),
            {excess}
            time > {newest:Float64} * 1000, 9,
            time < {oldest:Float64} * 1000, 10,
            time < {now_ms:Int64} - 60000, 51,
            50
        )), samples.timestamp) AS sample_fates,
        arrayMap((time, is_sound) -> toUInt16(100 + multiIf(
            refusal != 'none', toUInt8(refusal),
            {histogram_excess}
            NOT is_sound, 8,
            time > {newest:Float64} * 1000, 9,
            time < {oldest:Float64} * 1000, 10,
            time < {now_ms:Int64} - 60000, 51,
            50
        )), sent_histograms.timestamp, are_sound) AS histogram_fates,
        arrayMap(fate -> fate % 100, arrayConcat(sample_fates, histogram_fates)) AS reasons,
        toUInt16(200 + multiIf(
            arrayExists(reason -> reason >= 50, reasons), 50,
            refusal != 'none', toUInt8(refusal),
            empty(reasons), if(exemplars > 0, 12, 11),
            reasons[1]
        )) AS fate_of_all,
        arrayConcat(
            arrayMap(fate -> (fate, toUInt64(1)), arrayConcat(sample_fates, histogram_fates, [fate_of_all])),
            [(toUInt16(312), exemplars)]
        ) AS counted
    FROM staged_writes
)
ARRAY JOIN counted.1 AS fate, counted.2 AS times
GROUP BY body, fate
HAVING total > 0
