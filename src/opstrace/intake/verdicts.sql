-- What becomes of each point of this commit, counted a body: stored, or refused for a reason.
SELECT
    body,
    multiIf(
        metric_name = '', 'no_name',
        point.1 IS NULL, 'no_timestamp',
        point.2 IS NULL AND type = 'distribution', 'bad_sketch',
        point.2 IS NULL, 'no_value',
        NOT isFinite(point.1) OR NOT isFinite(point.2), 'not_finite',
        point.1 > {newest:Float64}, 'future',
        point.1 < {oldest:Float64}, 'ancient',
        'stored'
    ) AS reason,
    count() AS total
FROM staged
ARRAY JOIN points AS point
GROUP BY body, reason
