-- What becomes of each log of this commit, counted a body; and how many have no time of their own.
SELECT
    body,
    multiIf(
        NOT legible, 'not_a_log',
        said_ms > {newest:Float64} * 1000, 'future',
        said_ms < {oldest:Float64} * 1000, 'ancient',
        'stored'
    ) AS reason,
    count() AS total,
    countIf(said_ms IS NULL) AS untimed,
    toValidUTF8(anyHeavy(host)) AS of_host
FROM staged_logs
GROUP BY body, reason
