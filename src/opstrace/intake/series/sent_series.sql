-- What judging needs of each series that was sent: what it is known by, whether its row of the day exists, its points.
-- The day is that of the first point; a first point that is not stored belongs to none.
WITH if(first_s BETWEEN {oldest:Float64} AND {newest:Float64}, first_s, 0) AS stored_s
SELECT
    body,
    host,
    type = 'distribution' AS is_sketch,
    refusal_of(name, host, tags) AS refusal,
    toUInt64(arraySum(arrayMap(tag -> length(tag) + 8, tags))) AS tag_bytes, -- a little more than their text
    sipHash64(name) AS metric,
    series_of(name, host, type, interval, tags) AS series,
    points.1 AS times,
    points.2 AS values,
    seen_key(tenant, toInt32(stored_s / 86400), series) IN seen AS is_known{more}
FROM
(
    SELECT
        body, tenant, host, type, interval, points{more},
        true_name_of(sent_name) AS name,
        tags_of(sent_tags) AS tags,
        ifNull(points[1].1, 0) AS first_s
    FROM {sent}
)
-- Optimising the plan of such a statement takes longer than running it, and gains nothing.
SETTINGS query_plan_enable_optimizations = 0, max_threads = 1, output_format_arrow_compression_method = 'none'{settings}
