-- POST /api/v1/check_run: a service check is a series of its status. A check without a time is of now.
INSERT INTO staged (body, tenant, sent_name, host, type, interval, unit, source_type, sent_tags, points, message)
SELECT
    body,
    tenant,
    c.check,
    multiIf(c.host_name != '', c.host_name, c.host != '', c.host, c.hostname),
    'service_check',
    0,
    '',
    '',
    resources_named(c.tags),
    [point_of_check(c.timestamp, c.status, {now_ms:Int64})],
    c.message
FROM
(
    SELECT
        assumeNotNull(body) AS body,
        assumeNotNull(tenant) AS tenant,
        assumeNotNull(content) AS content,
        arrayJoin(JSONExtract(if(JSONType(content) = 'Object', concat('[', content, ']'), content), 'Array(Tuple(
            check     String,
            host_name String,
            host      String,
            hostname  String,
            timestamp Nullable(Float64),
            status    Nullable(Float64),
            message   String,
            tags      Array(String)
        ))')) AS c
    FROM Python(rows)
    WHERE content != '{}'
)
