-- The metrics with the most series.
SELECT name AS subject, uniqExact(label_set) AS total
FROM series
WHERE {condition}
GROUP BY name
ORDER BY total DESC, subject
LIMIT {limit:UInt32}
