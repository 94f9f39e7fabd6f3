-- The series of this commit that have no row of their day yet. Their labels stay as they are; to Datadog's language they
-- are tags.
INSERT INTO unseen (day, tenant, name, aspect, metric, series, label_set, labels, metric_name, tags)
SELECT
    toDate32(toInt32(of_points.3)) AS of_day,
    tenant,
    name,
    of_points.1 AS aspect,
    metric,
    of_points.2 AS number,
    label_set,
    CAST(labels, 'Map(LowCardinality(String), String)'),
    name,
    arrayMap(label -> concat(label.1, ':', label.2), labels)
FROM
(
    SELECT
        tenant, name, metric, label_set, labels,
        -- What is known already goes first: labels are copied for each day that stays.
        arrayJoin(arrayFilter(points -> seen_key(tenant, points.3, points.2) NOT IN seen, arrayConcat(
            arrayMap(
                day -> (if(is_started, 'started', 'samples'), series, day),
                arrayDistinct(arrayMap(
                    time -> intDiv(time, 86400000),
                    arrayFilter(
                        time -> time BETWEEN {oldest:Float64} * 1000 AND {newest:Float64} * 1000,
                        arrayConcat(
                            samples.timestamp,
                            arrayFilter((time, is_marker) -> is_marker, sent_histograms.timestamp, are_markers)
                        )
                    )
                ))
            ),
            arrayMap(
                day -> ('histograms', histogram_series, day),
                arrayDistinct(arrayMap(
                    time -> intDiv(time, 86400000),
                    arrayFilter(
                        (time, is_sound, is_marker) -> is_sound AND NOT is_marker
                            AND time BETWEEN {oldest:Float64} * 1000 AND {newest:Float64} * 1000,
                        sent_histograms.timestamp, are_sound, are_markers
                    )
                ))
            )
        ))) AS of_points
    FROM staged_writes
    WHERE refusal = 'none'
)
LIMIT 1 BY tenant, of_day, number, aspect
