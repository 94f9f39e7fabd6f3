-- A line of JSON that a program wrote arrives as the text of a message, from an Agent or from OpenTelemetry's exporter. The
-- line's own time is taken, unless a log may not be so old: the Agent's is when it read the line, the exporter's when it sent
-- it. An Agent gives a line the status `info`, or `error` if it came by standard error; the program's own counts first if it is
-- a word: a number may mean anything. What is in a lambda is computed once.
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
                    inner.7 != '', inner.7,
                    inner.8
                ),
                [JSONExtract(message, 'Tuple(
                    `@timestamp`   String,
                    timestamp      String,
                    _timestamp     String,
                    Timestamp      String,
                    eventTime      String,
                    date           String,
                    published_date String,
                    `@t`           String
                )')]
            ))
        ),
        said_ms
    ),
    sent_state = multiIf(
        is_word_in(message, 'level'), JSONExtractString(message, 'level'),
        is_word_in(message, 'severity'), JSONExtractString(message, 'severity'),
        is_word_in(message, 'status'), JSONExtractString(message, 'status'),
        is_word_in(message, '@l'), JSONExtractString(message, '@l'),
        sent_state
    ),
    service = if(service = '' AND JSONType(message, 'service') = 'String', JSONExtractString(message, 'service'), service)
WHERE startsWith(message, '{')
