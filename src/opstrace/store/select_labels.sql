-- The label sets of a selector, each once.
SELECT toJSONString(mapConcat(map('__name__', name), labels)) AS label_json, type = '' AS alien
FROM series
WHERE {condition}
ORDER BY name, labels, alien
LIMIT 1 BY label_set
