-- POST /api/v1/events: one event a body. One without a time is of now; NaN is what is no time.
INSERT INTO staged_events (body, tenant, time, title, text, host, source, priority, alert_type, aggregation_key, sent_tags, device_name, related_event_id)
SELECT
    body,
    tenant,
    multiIf(
        is_timed AND e.date_happened IS NULL, nan,
        coalesce(e.date_happened, 0) = 0, intDiv({now_ms:Int64}, 1000),
        e.date_happened
    ),
    e.title,
    e.text,
    e.host,
    if(e.source_type_name = '', 'api', e.source_type_name),
    if(e.priority = '', 'normal', e.priority),
    if(e.alert_type = '', 'info', e.alert_type),
    e.aggregation_key,
    e.tags,
    device_of(e.device_name),
    e.related_event_id
FROM
(
    SELECT
        assumeNotNull(body) AS body,
        assumeNotNull(tenant) AS tenant,
        JSONExtract(assumeNotNull(content), 'Tuple(
            title            String,
            text             String,
            date_happened    Nullable(Float64),
            host             String,
            source_type_name String,
            priority         String,
            alert_type       String,
            aggregation_key  String,
            tags             Array(String),
            device_name      String,
            related_event_id UInt64
        )') AS e,
        JSONType(assumeNotNull(content), 'date_happened') != 'Null' AS is_timed
    FROM Python(rows)
    WHERE JSONLength(assumeNotNull(content)) > 0
)
