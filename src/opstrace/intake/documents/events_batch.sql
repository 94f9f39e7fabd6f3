-- POST /api/v1/events_batch with a protobuf body; bodies as in series_v2_protobuf.sql. Text may be any bytes there.
INSERT INTO staged_events (body, tenant, time, title, text, host, source, priority, alert_type, aggregation_key, sent_tags)
SELECT
    {bodies:Array(UInt32)}[message + 1],
    {tenants:Array(String)}[message + 1],
    if(e.ts = 0, {came:Array(Int64)}[message + 1], e.ts),
    toValidUTF8(e.title),
    toValidUTF8(e.text),
    toValidUTF8(e.host),
    if(e.source_type_name = '', 'api', toValidUTF8(e.source_type_name)),
    if(e.priority = '', 'normal', toValidUTF8(e.priority)),
    if(e.alert_type = '', 'info', toValidUTF8(e.alert_type)),
    toValidUTF8(e.aggregation_key),
    arrayMap(tag -> toValidUTF8(tag), e.tags)
FROM
(
    SELECT _row_number AS message, arrayJoin(events) AS e
    FROM file({path:String}, 'Protobuf', 'events Array(Tuple(
        title            String,
        text             String,
        ts               Int64,
        priority         String,
        host             String,
        tags             Array(String),
        alert_type       String,
        aggregation_key  String,
        source_type_name String
    ))')
)
SETTINGS format_schema = '{schema}:EventsPayload', input_format_parallel_parsing = 0, max_threads = 1
