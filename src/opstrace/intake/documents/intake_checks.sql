-- POST /intake/ of an Agent version 5: its service checks. One without a host is of the document's.
INSERT INTO staged (body, tenant, sent_name, host, type, interval, unit, source_type, sent_tags, points, message)
SELECT
    body,
    tenant,
    c.check,
    multiIf(c.host_name != '', c.host_name, c.host != '', c.host, c.hostname != '', c.hostname, document.internalHostname),
    'service_check',
    0,
    '',
    '',
    c.tags,
    [point_of_check(c.timestamp, c.status, {now_ms:Int64})],
    c.message
FROM
(
    SELECT
        assumeNotNull(body) AS body,
        assumeNotNull(tenant) AS tenant,
        JSONExtract(assumeNotNull(content), 'Tuple(
            internalHostname String,
            service_checks   Array(Tuple(
                check     String,
                host_name String,
                host      String,
                hostname  String,
                timestamp Nullable(Float64),
                status    Nullable(Float64),
                message   String,
                tags      Array(String)
            ))
        )') AS document
    FROM Python(rows)
)
ARRAY JOIN document.service_checks AS c
