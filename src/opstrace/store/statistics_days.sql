-- The first and the last day on which there is anything.
SELECT count() > 0 AS known, min(day) AS first_day, max(day) AS last_day
FROM series
WHERE {condition}
