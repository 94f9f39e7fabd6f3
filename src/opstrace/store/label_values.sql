SELECT DISTINCT labels[{label:String}] AS content
FROM series
WHERE {condition} AND content != ''
ORDER BY content
