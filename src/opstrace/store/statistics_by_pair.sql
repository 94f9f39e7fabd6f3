-- The pairs of a label and its value that the most series have.
SELECT concat(label.1, '=', label.2) AS subject, uniqExact(label_set) AS total
FROM series
ARRAY JOIN arrayConcat([('__name__', name)], CAST(labels, 'Array(Tuple(String, String))')) AS label
WHERE {condition}
GROUP BY subject
ORDER BY total DESC, subject
LIMIT {limit:UInt32}
