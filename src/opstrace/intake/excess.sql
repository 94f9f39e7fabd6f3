-- The series of this commit that go beyond what their tenant has room for, on a day or for new ones.
INSERT INTO excess
SELECT
    sipHash64(tenant, series),
    tenant,
    series,
    if(on_day > room_on_day, 'too_many_series', 'too_many_new_series')
FROM
(
    SELECT
        tenant,
        series,
        indexOf({keys:Array(String)}, concat(tenant, ' ', toString(day))) AS place,
        {rooms:Array(Int64)}[place] AS room_on_day,
        {new_rooms:Array(Int64)}[place] AS room_for_new,
        row_number() OVER (PARTITION BY tenant, day ORDER BY series) AS on_day,
        sum(new) OVER (PARTITION BY tenant ORDER BY day, series ROWS UNBOUNDED PRECEDING) AS new_so_far,
        new
    FROM
    (
        SELECT tenant, day, series, toUInt64(seen_key(tenant, day - 1, series) NOT IN seen) AS new
        FROM unseen
        LIMIT 1 BY tenant, day, series
    )
)
WHERE on_day > room_on_day OR (new AND new_so_far > room_for_new)
LIMIT 1 BY tenant, series
