-- Series that agree in some labels, together: what is wanted of all of them.
SELECT arrayMap(key -> labels[key], {keys:Array(String)}) AS contents, type = '' AS alien, {wanted} AS wanted
FROM series
WHERE {condition}
GROUP BY contents, alien
