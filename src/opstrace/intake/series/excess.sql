-- The series of this commit that go beyond what their tenant has room for, day by day: those it had before find room first.
-- A series that is new to the tenant counts once, and not at all where none of its days has room.
INSERT INTO excess (key, tenant, day, series, refusal)
SELECT
    seen_key(tenant, day, series),
    tenant,
    day,
    series,
    if(on_day > room_on_day, 'too_many_series', 'too_many_new_series')
FROM
(
    SELECT *, dense_rank() OVER (PARTITION BY tenant, new, has_room ORDER BY series) AS new_so_far
    FROM
    (
        SELECT *, max(on_day <= room_on_day) OVER (PARTITION BY tenant, series) AS has_room
        FROM
        (
            SELECT
                *,
                indexOf({keys:Array(String)}, concat(tenant, ' ', toString(day))) AS place,
                {rooms:Array(Int64)}[place] AS room_on_day,
                {new_rooms:Array(Int64)}[place] AS room_for_new,
                row_number() OVER (PARTITION BY tenant, day ORDER BY new, series) AS on_day
            FROM
            (
                SELECT
                    tenant,
                    day,
                    series,
                    NOT (max(on_day_before) OVER (PARTITION BY tenant, series) OR was_seen_lately(tenant, series)) AS new
                FROM
                (
                    SELECT tenant, day, series, seen_key(tenant, day - 1, series) IN seen AS on_day_before
                    FROM unseen
                    LIMIT 1 BY tenant, day, series
                )
            )
        )
    )
)
WHERE on_day > room_on_day OR (new AND new_so_far > room_for_new)
