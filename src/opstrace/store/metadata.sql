-- The type, unit and Datadog's name of each metric, as last seen. Some rows of earlier versions are no UTF-8.
SELECT name, argMax(if(aspect IN ('sketch', 'histograms'), 'native', toString(type)), day) AS last_type, toValidUTF8(argMax(metric_name, day)) AS last_name, toValidUTF8(argMax(toString(unit), day)) AS last_unit
FROM series
WHERE {condition}
GROUP BY name
ORDER BY name
