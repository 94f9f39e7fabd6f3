-- What becomes of each event of this commit, counted a body: stored, or refused for a reason.
SELECT
    body,
    multiIf(
        title = '' AND text = '', 'no_text',
        isNaN(time), 'no_timestamp',
        time > {newest:Float64}, 'future',
        time < {oldest:Float64}, 'ancient',
        'stored'
    ) AS reason,
    count() AS total
FROM staged_events
GROUP BY body, reason
