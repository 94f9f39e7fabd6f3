-- How many series each tenant adds to a day by this commit, and how many of them it never had: each of these counts once, on
-- its first day.
SELECT tenant, day, sum(on_day) AS added, sum(new) AS unheard_of
FROM
(
    SELECT tenant, day, count() AS on_day, 0 AS new
    FROM (SELECT tenant, day, series FROM unseen LIMIT 1 BY tenant, day, series)
    GROUP BY tenant, day
    UNION ALL
    SELECT tenant, first_day, 0, count()
    FROM
    (
        SELECT tenant, series, min(day) AS first_day
        FROM unseen
        WHERE seen_key(tenant, day - 1, series) NOT IN seen -- at midnight this leaves next to nothing
        GROUP BY tenant, series
        HAVING NOT was_seen_lately(tenant, series)
    )
    GROUP BY tenant, first_day
)
GROUP BY tenant, day
SETTINGS query_plan_enable_optimizations = 0
