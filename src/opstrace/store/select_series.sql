-- The stored series of a selector with their labels, a row each, by their number.
SELECT
    series,
    metric,
    CAST(aspect, 'Int8') AS aspect_code,
    label_set,
    toJSONString(mapConcat(map('__name__', name), labels)) AS label_json,
    type = '' AS alien
FROM series
WHERE {condition}
ORDER BY series
LIMIT 1 BY series, aspect
