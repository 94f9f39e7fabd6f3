-- From Datadog's vocabulary to Prometheus's, for the series of this commit that have no row of their day yet. What is no
-- UTF-8, as in fields of protobuf, is a series of its own and made legible here.
INSERT INTO unseen (
    day, tenant, name, aspect, metric, series, label_set, labels, metric_name, host, tags, type, interval, unit,
    source_type
)
WITH
    toValidUTF8(metric_name) AS legible_metric_name,
    toValidUTF8(host) AS legible_host,
    arrayMap(tag -> toValidUTF8(tag), tags) AS legible_tags,
    -- "key:value" is split at the first colon; a bare tag is true.
    arrayMap(
        tag -> (
            if(position(tag, ':') = 0, tag, substring(tag, 1, position(tag, ':') - 1)),
            if(position(tag, ':') = 0, 'true', substring(tag, position(tag, ':') + 1))
        ),
        legible_tags
    ) AS sent_pairs,
    -- A key keeps to Prometheus's alphabet.
    arrayMap(
        pair -> (
            if(
                isValidASCII(pair.1),
                translate(pair.1, {not_in_keys:String}, repeat('_', length({not_in_keys:String}))),
                replaceRegexpAll(pair.1, '[^a-zA-Z0-9_]', '_')
            ),
            pair.2
        ),
        sent_pairs
    ) AS legal_pairs,
    -- It does not start with a digit, and never takes a label that means something else; `device` is meant.
    arrayMap(
        pair -> (
            multiIf(
                pair.1 = 'device', pair.1,
                {prefix:String} != '', concat({prefix:String}, pair.1),
                pair.1 = '' OR pair.1 BETWEEN '0' AND ':', concat('_', pair.1),
                pair.1 IN ('__name__', 'instance', 'job', 'type'), concat('tag_', pair.1),
                pair.1
            ),
            pair.2
        ),
        legal_pairs
    ) AS pairs,
    arraySort(arrayDistinct(pairs)) AS sorted_pairs,
    -- A key that comes with several values has them sorted, unique and joined; what was joined before counts part by part.
    if(
        length(arrayDistinct(arrayMap(pair -> pair.1, pairs))) = length(pairs),
        pairs,
        arrayMap(
            of_key -> (
                of_key[1].1,
                if(
                    length(of_key) = 1,
                    of_key[1].2,
                    arrayStringConcat(
                        arraySort(arrayDistinct(arrayFilter(
                            part -> part != '',
                            arrayFlatten(arrayMap(pair -> splitByChar(',', pair.2), of_key))
                        ))),
                        ','
                    )
                )
            ),
            arraySplit((pair, before) -> pair.1 != before.1, sorted_pairs, arrayPopBack(arrayPushFront(sorted_pairs, sorted_pairs[1])))
        )
    ) AS tag_labels,
    -- A label without a value is no label.
    arraySort(arrayFilter(
        label -> label.2 != '',
        arrayConcat(tag_labels, [('instance', legible_host), ('job', 'ddagent'), ('type', toString(type))])
    )) AS all_labels,
    if(
        isValidASCII(metric_name),
        translate(metric_name, {not_in_names:String}, repeat('_', length({not_in_names:String}))),
        replaceRegexpAll(legible_metric_name, '[^a-zA-Z0-9_:]', '_')
    ) AS legal_name,
    -- Sketches are a histogram, and five series of numbers beside it.
    arrayJoin(
        if(type = 'distribution', ['sketch', 'count', 'sum', 'min', 'max', 'avg'], ['samples'])
    ) AS of_points,
    if(of_points IN ('samples', 'sketch'), '', of_points) AS part,
    concat(
        if(legal_name BETWEEN '0' AND ':', '_', ''), legal_name, if(part = '', '', '_'), part
    ) AS label_name
SELECT
    day,
    tenant,
    label_name,
    of_points,
    metric,
    series,
    cityHash64(label_name, all_labels) AS label_set,
    CAST(all_labels, 'Map(LowCardinality(String), String)') AS labels,
    concat(legible_metric_name, if(part = '', '', '.'), part),
    legible_host,
    legible_tags,
    type,
    interval,
    if(part = 'count', '', toValidUTF8(unit)),
    toValidUTF8(source_type)
FROM
(
    SELECT
        tenant, host, tags, type, interval, unit, source_type,
        name AS metric_name,
        sipHash64(name) AS metric,
        series_of(name, host, type, interval, tags) AS series,
        arrayJoin(arrayDistinct(arrayMap(
            point -> toDate32(toDateTime64(point.1, 3, 'UTC')),
            arrayFilter(
                point -> point.1 BETWEEN {oldest:Float64} AND {newest:Float64} AND isFinite(point.2), points
            )
        ))) AS day
    FROM (SELECT *, true_name_of(sent_name) AS name, tags_of(sent_tags) AS tags FROM {sent})
    WHERE refusal_of(name, host, tags) = 0
)
WHERE seen_key(tenant, day, series) NOT IN seen
LIMIT 1 BY tenant, day, series, of_points
SETTINGS query_plan_enable_optimizations = 0, max_threads = {threads}{settings}
