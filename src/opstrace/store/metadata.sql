-- The type, unit and Datadog's name of each metric, as last seen.
SELECT name, argMax(if(aspect IN ('sketch', 'histograms'), 'native', toString(type)), day) AS last_type, argMax(metric_name, day) AS last_name, argMax(toString(unit), day) AS last_unit
FROM series
WHERE {condition}
GROUP BY name
ORDER BY name
