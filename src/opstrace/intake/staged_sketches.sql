-- Sketches as they were sent become sketches as they are stored: keys ascending and each once, infinite values in the last
-- bin. One that cannot be, or has no values, becomes a point without a value, one with a sum that is not finite a point
-- that is not.
INSERT INTO staged (body, tenant, sent_name, host, type, interval, unit, source_type, sent_tags, points, sketches)
SELECT
    body,
    tenant,
    sent_name,
    host,
    'distribution',
    0,
    unit,
    source_type,
    sent_tags,
    arrayMap(
        s -> (
            s.timestamp,
            multiIf(
                -- More values than a double can count is no number of values.
                s.cnt NOT BETWEEN 1 AND 9007199254740992
                    OR length(s.keys) != length(s.counts)
                    OR arrayExists(key -> key NOT BETWEEN -32767 AND 32767, s.keys)
                    OR arrayExists(n -> n > 9007199254740992, s.counts), NULL,
                NOT isFinite(s.sum) OR NOT isFinite(s.min) OR NOT isFinite(s.max), nan,
                toFloat64(s.cnt)
            )
        ),
        sketches
    ),
    arrayMap(
        (s, bins, index) -> (
            bitShiftLeft(toUInt64(place), 32) + index, toUInt64(s.cnt), s.sum, s.min, s.max, bins.1, bins.2
        ),
        sketches,
        arrayMap(
            s -> if(
                length(s.keys) != length(s.counts), ([], []),
                if(
                    arrayExists(step -> step <= 0, arraySlice(arrayDifference(s.keys), 2))
                        OR has(s.counts, 0)
                        OR arrayExists(key -> key NOT BETWEEN -32766 AND 32766, s.keys),
                    arrayReduce(
                        'sumMap',
                        [arrayMap(key -> toInt16(greatest(least(key, 32766), -32766)), s.keys)],
                        [s.counts]
                    ),
                    (CAST(s.keys, 'Array(Int16)'), s.counts)
                )
            ),
            sketches
        ),
        arrayEnumerate(sketches)
    )
FROM staged_sketches
WHERE notEmpty(sketches)
