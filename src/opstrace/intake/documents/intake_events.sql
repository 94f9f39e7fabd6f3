-- POST /intake/: events, in lists under the names of their sources. One without a time is of now. What an event of an
-- Agent version 5 says in fields of its own, as Nagios's do, are its attributes, and its text where it has none; without a
-- host it is of its Agent's.
INSERT INTO staged_events (body, tenant, time, title, text, host, source, priority, alert_type, aggregation_key, sent_tags, device_name, event_type, attributes)
WITH
    members_beside(sent, [
        'msg_title', 'msg_text', 'timestamp', 'host', 'source_type_name', 'priority', 'alert_type', 'aggregation_key',
        'event_object', 'tags', 'device_name', 'event_type', 'api_key'
    ]) AS others,
    if(empty(others), '', object_of(others)) AS own_fields
SELECT
    body,
    tenant,
    if(coalesce(e.timestamp, 0) = 0, intDiv({now_ms:Int64}, 1000), e.timestamp),
    if(e.msg_title = '', e.event_type, e.msg_title),
    if(e.msg_text = '', own_fields, e.msg_text),
    if(e.host = '' AND startsWith(agent_version, '5.'), agent_host, e.host),
    if(e.source_type_name = '', source, e.source_type_name),
    if(e.priority = '', 'normal', e.priority),
    if(e.alert_type = '', 'info', e.alert_type),
    if(e.aggregation_key = '', e.event_object, e.aggregation_key),
    e.tags,
    device_of(e.device_name),
    e.event_type,
    if(own_fields = '', '', concat('{"attributes":', own_fields, '}'))
FROM
(
    SELECT
        body,
        tenant,
        agent_host,
        agent_version,
        source,
        sent,
        JSONExtract(sent, 'Tuple(
            msg_title        String,
            msg_text         String,
            timestamp        Nullable(Float64),
            host             String,
            source_type_name String,
            priority         String,
            alert_type       String,
            aggregation_key  String,
            event_object     String,
            tags             Array(String),
            device_name      String,
            event_type       String
        )') AS e
    FROM
    (
        -- What is parted here is not beside its parts: each would have a copy.
        SELECT body, tenant, agent_host, agent_version, of_source.1 AS source, JSONExtractArrayRaw(of_source.2) AS events
        FROM
        (
            SELECT
                assumeNotNull(body) AS body,
                assumeNotNull(tenant) AS tenant,
                JSONExtractString(assumeNotNull(content), 'internalHostname') AS agent_host,
                JSONExtractString(assumeNotNull(content), 'agentVersion') AS agent_version,
                JSONExtractKeysAndValuesRaw(JSONExtractRaw(assumeNotNull(content), 'events')) AS sources
            FROM Python(rows)
        )
        ARRAY JOIN sources AS of_source
    )
    ARRAY JOIN events AS sent
)
