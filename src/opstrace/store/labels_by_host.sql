-- Series that agree in some labels, together: what is wanted of all of them.
SELECT arrayMap(key -> labels[key], {keys:Array(String)}) AS contents, {wanted} AS wanted
FROM series
WHERE {condition}
GROUP BY contents
