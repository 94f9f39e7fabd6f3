-- What becomes of each point and each series of this commit, counted a body. A point is stored or refused for a reason;
-- a series is stored if a point of it is, else refused for the reason of its first point.
SELECT
    body,
    if(code >= 100, 'series', 'points') AS unit,
    multiIf(code % 100 >= 50, 'stored', [
        'no_name',
        'name_too_long',
        'too_many_tags',
        'tag_too_long',
        'too_many_series',
        'too_many_new_series',
        'no_timestamp',
        'bad_sketch',
        'no_value',
        'not_finite',
        'future',
        'ancient',
        'no_points' -- of a series
    ][code % 100]) AS reason,
    code = 51 AS late,
    code = 52 AS untimed,
    total
FROM
(
    SELECT body, fate AS code, count() AS total
    FROM
    (
        SELECT
            body,
            arrayMap(
                point -> toUInt8(multiIf(
                    refusal != 'none', toUInt8(refusal),
                    {excess}
                    point.1 IS NULL, 7,
                    point.2 IS NULL AND type = 'distribution', 8,
                    point.2 IS NULL, 9,
                    NOT isFinite(point.1) OR NOT isFinite(point.2), 10,
                    point.1 > {newest:Float64}, 11,
                    point.1 < {oldest:Float64}, 12,
                    point.1 = {now_ms:Int64} / 1000, 52,
                    point.1 < {now_ms:Int64} / 1000 - 60, 51,
                    50
                )),
                points
            ) AS fates,
            multiIf(
                arrayExists(fate -> fate >= 50, fates), 50,
                refusal != 'none', toUInt8(refusal),
                empty(fates), 13,
                fates[1]
            ) AS fate_of_all
        FROM staged
    )
    ARRAY JOIN arrayPushBack(fates, toUInt8(100 + fate_of_all)) AS fate
    GROUP BY body, fate
)
