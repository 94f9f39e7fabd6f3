-- What remote write told of metrics.
SELECT name, type, help, unit
FROM metric_metadata FINAL
WHERE {condition}
ORDER BY name
