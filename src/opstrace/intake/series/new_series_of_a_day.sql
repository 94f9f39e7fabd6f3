-- The same as new_series.sql where a tenant's series are there once and of one day, which is the rule, in half the time.
SELECT
    tenant,
    day,
    count() AS added,
    countIf(NOT (seen_key(tenant, day - 1, series) IN seen OR was_seen_lately(tenant, series))) AS unheard_of
FROM unseen
WHERE aspect IN ('samples', 'sketch') -- a sketch has rows for its numbers, too
GROUP BY tenant, day
SETTINGS query_plan_enable_optimizations = 0
