-- POST /api/v2/events: one event a body, as a JSON:API document. What this version alone can say stays JSON. An alert's
-- status is its type in the words of the first version. Without a time it is of now; NaN is what is no time. What stands
-- beside the attributes, as Agents write by the name of an integration, is one of them.
INSERT INTO staged_events (body, tenant, time, title, text, host, source, priority, alert_type, aggregation_key, sent_tags, attributes)
SELECT
    body,
    tenant,
    if(
        e.timestamp = '',
        toFloat64(intDiv({now_ms:Int64}, 1000)),
        coalesce(toFloat64(parseDateTime64BestEffortOrNull(e.timestamp, 3, 'UTC')), nan)
    ),
    e.title,
    e.message,
    e.host,
    if(e.integration_id = '', 'api', e.integration_id),
    'normal',
    transform(e.attributes.status, ['warn', 'error', 'ok'], ['warning', 'error', 'success'], 'info'),
    e.aggregation_key,
    e.tags,
    concat('{"category":', toJSONString(e.category), ',"attributes":', multiIf(
        notEmpty(others), object_of(arrayConcat(JSONExtractKeysAndValuesRaw(raw), others)),
        raw = '', 'null',
        raw
    ), '}')
FROM
(
    SELECT
        assumeNotNull(body) AS body,
        assumeNotNull(tenant) AS tenant,
        JSONExtract(assumeNotNull(content), 'data', 'attributes', 'Tuple(
            title           String,
            message         String,
            timestamp       String,
            host            String,
            category        String,
            integration_id  String,
            aggregation_key String,
            tags            Array(String),
            attributes      Tuple(status String)
        )') AS e,
        JSONExtractRaw(assumeNotNull(content), 'data', 'attributes', 'attributes') AS raw,
        members_beside(JSONExtractRaw(assumeNotNull(content), 'data', 'attributes'), [
            'title', 'message', 'timestamp', 'host', 'category', 'integration_id', 'aggregation_key', 'tags', 'attributes'
        ]) AS others
    FROM Python(rows)
    WHERE JSONLength(assumeNotNull(content)) > 0
)
