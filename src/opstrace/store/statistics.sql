-- A day's series in numbers.
SELECT
    uniqExact(label_set) AS label_sets,
    uniqExactArray(CAST(labels, 'Array(Tuple(String, String))')) + uniqExact(name) AS pairs,
    uniqExact(series, aspect) AS pieces
FROM series
WHERE {condition}
