-- What becomes of each event of this commit, counted a body: stored, or refused for a reason.
SELECT
    body,
    multiIf(
        title = '' AND text = '', 'no_text',
        time > {newest:Float64}, 'future',
        time < {oldest:Float64}, 'ancient',
        'stored'
    ) AS reason,
    count() AS total
FROM staged_events
GROUP BY body, reason
