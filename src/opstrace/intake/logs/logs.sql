-- POST /api/v2/logs, /v1/input with JSON: an array of logs, one log, or a log a line. Names of fields other than
-- Datadog's are those of other shippers (datadog-intake.md, section 14); whatever else a log says is an attribute.
INSERT INTO staged_logs (
    body, tenant, place, payload, legible, came_ms, said_ms, host, service, source, sent_state, tags, message, attributes
)
SELECT
    body,
    tenant,
    place,
    payload,
    first IN ('{', '"'),
    came_ms,
    -- As a lambda over an array, so that it is computed only for the few lines that need it.
    coalesce(by_timestamp, arrayMap(text -> said_ms_of(text), if(by_timestamp IS NULL, [multiIf(
        o.`@timestamp` != '', o.`@timestamp`,
        o._timestamp != '', o._timestamp,
        o.date != '', o.date,
        o.Timestamp != '', o.Timestamp,
        o.eventTime != '', o.eventTime,
        o.published_date != '', o.published_date,
        o.`@t` != '', o.`@t`,
        o.syslog.timestamp
    )], []))[1]),
    multiIf(
        s.hostname != '', s.hostname,
        s.host != '' AND NOT is_object, s.host,
        o.host.hostname != '', o.host.hostname,
        o.host.name != '', o.host.name,
        o.syslog.hostname != '', o.syslog.hostname,
        default_host
    ),
    multiIf(
        s.service != '', s.service,
        o.`dd.service` != '', o.`dd.service`,
        tupleElement(o.dd, 'service') != '', tupleElement(o.dd, 'service'), -- o.dd.service is the one before
        o.syslog.appname != '', o.syslog.appname,
        default_service
    ),
    multiIf(s.ddsource != '', s.ddsource, s.source != '', s.source, default_source),
    multiIf(s.status != '', s.status, o.severity != '', o.severity, o.level != '', o.level, o.`@l` != '', o.`@l`, o.syslog.severity),
    log_tags_of(s.ddtags, default_tags),
    multiIf(first = '"', JSONExtractString(line), s.message != '', s.message, o.msg != '', o.msg, o.log != '', o.log, o.`@m` != '', o.`@m`, o.`@mt`),
    attributes_with(
        if(
            empty(others),
            '',
            object_of(arrayFilter(
                pair -> is_attribute(pair.1, is_timed, is_named, is_sourced), JSONExtractKeysAndValuesRaw(line)
            ))
        ),
        default_attributes
    )
FROM
(
    SELECT
        body,
        tenant,
        place,
        payload,
        line,
        came_ms,
        default_host,
        default_service,
        default_source,
        default_tags,
        default_attributes,
        substring(trimLeft(line), 1, 1) AS first,
        JSONExtract(line, 'Tuple(
            message   String,
            status    String,
            timestamp String,
            hostname  String,
            host      String,
            service   String,
            ddsource  String,
            source    String,
            ddtags    String
        )') AS s,
        said_ms_of(s.timestamp) AS by_timestamp,
        by_timestamp IS NOT NULL AS is_timed,
        -- Beats and Logstash say more of the host than its name.
        startsWith(s.host, '{') AS is_object,
        s.hostname != '' OR is_object AS is_named,
        s.ddsource != '' AS is_sourced,
        arrayFilter(key -> is_attribute(key, is_timed, is_named, is_sourced), JSONExtractKeys(line)) AS others,
        -- Few lines have any of these: not to look for them in the others saves a twentieth of the time.
        JSONExtract(if(hasAny(others, [
            'msg', 'log', 'severity', 'level', '@timestamp', '_timestamp', 'date', 'Timestamp', 'eventTime', 'published_date',
            'syslog', 'dd.service', 'dd', 'host', '@t', '@m', '@mt', '@l'
        ]), line, '{}'), 'Tuple(
            msg            String,
            log            String,
            severity       String,
            level          String,
            `@timestamp`   String,
            _timestamp     String,
            date           String,
            Timestamp      String,
            eventTime      String,
            published_date String,
            `@t`           String,
            `@m`           String,
            `@mt`          String,
            `@l`           String,
            syslog         Tuple(hostname String, appname String, severity String, timestamp String),
            `dd.service`   String,
            dd             Tuple(service String),
            host           Tuple(hostname String, name String)
        )') AS o
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
            toValidUTF8(assumeNotNull(content)) AS text,
            cityHash64(text, default_host, default_service, default_source, concat(default_tags, default_attributes)) AS payload,
            multiIf(
                startsWith(trimLeft(text), '['), JSONExtractArrayRaw(text),
                isValidJSON(text), [text],
                -- Each line is parsed by itself; one that is not JSON becomes `null`, which is refused as no log.
                arrayMap(line -> if(isValidJSON(line) OR trim(line) = '', line, 'null'), splitByChar('\n', text))
            ) AS lines
        FROM Python(rows)
    )
    ARRAY JOIN arrayMap(log -> unwrapped(log), lines) AS line, arrayEnumerate(lines) AS place
    WHERE trim(BOTH ' \r\t\n' FROM line) NOT IN ('', '{}')
)
