SELECT DISTINCT name
FROM series
WHERE {condition}
ORDER BY name
