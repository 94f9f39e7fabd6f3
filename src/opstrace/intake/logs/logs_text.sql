-- POST /api/v2/logs, /v1/input with plain text: a log a line, which may be a syslog record (RFC 5424). With logplex each is
-- one after its length, parted by logplex.py:
-- `83 <40>1 2012-11-30T06:45:29+00:00 host app web.3 - the message` (Heroku's log drains; RFC 5424 without data). All of
-- Heroku's records are of `host` and `app`: who named others in the address means these.
INSERT INTO staged_logs (
    body, tenant, place, payload, legible, came_ms, said_ms, host, service, source, sent_state, tags, message, attributes
)
WITH
    -- Priority, time, host, application, process, kind of message, data, message; `-` where there is none.
    if(
        logplex,
        extractGroups(line, '^\\d+ <(\\d{1,3})>\\d+ (\\S+) (\\S+) (\\S+) (\\S+) (\\S+)()(?: ((?s:.*)))?$'),
        if(
            startsWith(line, '<'),
            extractGroups(
                line,
                '^<(\\d{1,3})>1 (\\S+) (\\S+) (\\S+) (\\S+) (\\S+) (-|(?:\\[(?:[^\\]\\\\]|\\\\.)*\\])+)(?: (.*))?$'
            ),
            []
        )
    ) AS record,
    notEmpty(record) AS syslog,
    arrayFilter(
        pair -> pair.2 NOT IN ('', '-'),
        [('procid', record[5]), ('msgid', if(logplex, '', record[6])), ('structured_data', record[7])]
    ) AS said
SELECT
    body,
    tenant,
    place,
    payload,
    true,
    came_ms,
    said_ms_of(if(syslog, record[2], '')),
    if(syslog AND default_host = '' AND record[3] != '-', record[3], default_host),
    if(syslog AND default_service = '' AND record[4] != '-', record[4], default_service),
    default_source,
    if(syslog, toString(toUInt16OrZero(record[1]) % 8), ''),
    log_tags_of('', default_tags),
    if(syslog, record[8], line),
    attributes_with(
        if(empty(said), '', object_of(arrayMap(pair -> (pair.1, toJSONString(pair.2)), said))),
        default_attributes
    )
FROM
(
    SELECT
        assumeNotNull(body) AS body,
        assumeNotNull(tenant) AS tenant,
        assumeNotNull(came_ms) AS came_ms,
        assumeNotNull(default_host) AS default_host,
        assumeNotNull(default_service) AS default_service,
        assumeNotNull(default_source) AS default_source,
        assumeNotNull(default_tags) AS default_tags,
        assumeNotNull(default_attributes) AS default_attributes,
        assumeNotNull(logplex) AS logplex,
        toValidUTF8(assumeNotNull(content)) AS text,
        cityHash64(text, default_host, default_service, default_source, concat(default_tags, default_attributes)) AS payload,
        if(logplex, splitByChar('\0', text), arrayMap(line -> trimRight(line, '\r'), splitByChar('\n', text))) AS lines
    FROM Python(rows)
)
ARRAY JOIN lines AS line, arrayEnumerate(lines) AS place
WHERE trim(BOTH ' \t' FROM line) != ''
