-- POST /api/v2/logs: arrays of logs with Datadog's own fields and no others, found by agent_logs.py; a row each.
INSERT INTO staged_logs (
    body, tenant, place, payload, legible, came_ms, said_ms, host, service, source, sent_state, tags, message, attributes
)
SELECT
    assumeNotNull(body),
    assumeNotNull(tenant),
    assumeNotNull(place),
    bitRotateLeft(assumeNotNull(payload), 32),                         -- the lowest bits count: those of the CRC
    true,
    assumeNotNull(came_ms),
    assumeNotNull(timestamp),
    assumeNotNull(hostname),
    assumeNotNull(service),
    assumeNotNull(ddsource),
    assumeNotNull(status),
    CAST(tags, 'Array(String)'),
    assumeNotNull(message),
    ''
FROM Python(rows)
