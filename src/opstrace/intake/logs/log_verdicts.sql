-- What becomes of each log of this commit, counted a body; how many have no time of their own, how many are cut.
SELECT
    body,
    multiIf(
        NOT legible, 'not_a_log',
        coalesce(said_ms, came_ms) > {newest:Float64} * 1000, 'future',
        coalesce(said_ms, came_ms) < {oldest:Float64} * 1000, 'ancient',
        'stored'
    ) AS reason,
    count() AS total,
    countIf(said_ms IS NULL) AS untimed,
    countIf(length(message) > {max_message_bytes:UInt64}) AS cut,
    toValidUTF8(anyHeavy(host)) AS of_host
FROM staged_logs
GROUP BY body, reason
