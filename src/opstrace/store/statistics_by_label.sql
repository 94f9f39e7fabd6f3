-- The labels with the most values, and the bytes that these take.
SELECT label.1 AS subject, uniqExact(label.2) AS total, toUInt64(sum(length(label.1) + length(label.2))) AS size_bytes
FROM
(
    SELECT DISTINCT arrayJoin(arrayConcat([('__name__', name)], CAST(labels, 'Array(Tuple(String, String))'))) AS label
    FROM series
    WHERE {condition}
)
GROUP BY subject
ORDER BY {order} DESC, subject
LIMIT {limit:UInt32}
