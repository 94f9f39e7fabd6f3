-- How many series each tenant adds to a day by this commit, and how many of them it did not have the day before.
SELECT tenant, day, count() AS added, countIf(new) AS unheard_of
FROM
(
    SELECT tenant, day, series, seen_key(tenant, day - 1, series) NOT IN seen AS new
    FROM unseen
    LIMIT 1 BY tenant, day, series
)
GROUP BY tenant, day
