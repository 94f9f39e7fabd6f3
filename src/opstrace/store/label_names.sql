SELECT DISTINCT arrayJoin(arrayConcat(['__name__'], mapKeys(labels))) AS label
FROM series
WHERE {condition}
ORDER BY label
