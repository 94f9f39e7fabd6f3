-- POST /api/v2/logs: arrays of logs with Datadog's own fields and no others, found by agent_logs.py; a row each.
INSERT INTO staged_logs (
    body, tenant, place, payload, legible, came_ms, said_ms, host, service, source, sent_state, sent_tags, message, attributes
)
SELECT
    assumeNotNull(body),
    assumeNotNull(tenant),
    assumeNotNull(place),
    assumeNotNull(payload),
    true,
    assumeNotNull(came_ms),
    assumeNotNull(timestamp),
    assumeNotNull(hostname),
    assumeNotNull(service),
    assumeNotNull(ddsource),
    assumeNotNull(status),
    log_tags_of(assumeNotNull(ddtags), ''),
    assumeNotNull(message),
    ''
FROM Python(rows)
