-- A line that a program wrote as JSON is text in the message of the Agent that read it, or of OpenTelemetry's exporter. When
-- it was written it says itself, if a log may be so old: the Agent says when it read it, the exporter when it sent it. An Agent
-- calls a line `info`, or `error` where it came by standard error; the program knows better, if it has a word for it: a
-- number may be anything. What is in a lambda is computed once.
ALTER TABLE staged_logs UPDATE
    said_ms = coalesce(
        arrayFirstOrNull(
            ms -> ms BETWEEN {oldest:Float64} * 1000 AND came_ms + 600000,
            arrayMap(text -> said_ms_of(text), arrayMap(
                inner -> multiIf(
                    inner.1 != '', inner.1,
                    inner.2 != '', inner.2,
                    inner.3 != '', inner.3,
                    inner.4 != '', inner.4,
                    inner.5 != '', inner.5,
                    inner.6 != '', inner.6,
                    inner.7
                ),
                [JSONExtract(message, 'Tuple(
                    `@timestamp`   String,
                    timestamp      String,
                    _timestamp     String,
                    Timestamp      String,
                    eventTime      String,
                    date           String,
                    published_date String
                )')]
            ))
        ),
        said_ms
    ),
    sent_state = multiIf(
        is_word_in(message, 'level'), JSONExtractString(message, 'level'),
        is_word_in(message, 'severity'), JSONExtractString(message, 'severity'),
        is_word_in(message, 'status'), JSONExtractString(message, 'status'),
        sent_state
    ),
    service = if(service = '' AND JSONType(message, 'service') = 'String', JSONExtractString(message, 'service'), service)
WHERE startsWith(message, '{')
