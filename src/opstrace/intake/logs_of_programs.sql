-- A line that a program wrote as JSON is text in the message of the Agent that read it, or of OpenTelemetry's exporter. When
-- it was written it says itself, if that may be: the Agent says when it read it, the exporter when it sent it. An Agent
-- calls a line `info`, or `error` where it came by standard error; the program knows better, if it has a word for it: a
-- number may be anything.
ALTER TABLE staged_logs UPDATE
    said_ms = coalesce(
        arrayFirstOrNull(
            ms -> ms BETWEEN came_ms - 7 * 86400000 AND came_ms + 600000,
            [said_ms_of(arrayFirst(text -> text != '', arrayMap(
                name -> JSONExtract(message, name, 'String'),
                ['@timestamp', 'timestamp', '_timestamp', 'Timestamp', 'eventTime', 'date', 'published_date']
            )))]
        ),
        said_ms
    ),
    sent_state = coalesce(
        arrayFirstOrNull(
            text -> text >= 'A',
            arrayMap(name -> JSONExtract(message, name, 'String'), ['level', 'severity', 'status'])
        ),
        sent_state
    ),
    service = if(service != '', service, JSONExtract(message, 'service', 'String'))
WHERE startsWith(message, '{')
