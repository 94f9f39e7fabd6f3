-- POST /intake/: events, in lists under the names of their sources. One without a time is of now.
INSERT INTO staged_events (body, tenant, time, title, text, host, source, priority, alert_type, aggregation_key, sent_tags, device_name, event_type)
SELECT
    body,
    tenant,
    if(coalesce(e.timestamp, 0) = 0, intDiv({now_ms:Int64}, 1000), e.timestamp),
    if(e.msg_title = '', e.event_type, e.msg_title),
    e.msg_text,
    e.host,
    if(e.source_type_name = '', of_source.1, e.source_type_name),
    if(e.priority = '', 'normal', e.priority),
    if(e.alert_type = '', 'info', e.alert_type),
    if(e.aggregation_key = '', e.event_object, e.aggregation_key),
    e.tags,
    e.device_name,
    e.event_type
FROM
(
    SELECT
        assumeNotNull(body) AS body,
        assumeNotNull(tenant) AS tenant,
        arrayJoin(CAST(
            tupleElement(JSONExtract(assumeNotNull(content), 'Tuple(
                events Map(String, Array(Tuple(
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
                )))
            )'), 1),
            'Array(Tuple(String, Array(Tuple(
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
            ))))'
        )) AS of_source
    FROM Python(rows)
)
ARRAY JOIN of_source.2 AS e
