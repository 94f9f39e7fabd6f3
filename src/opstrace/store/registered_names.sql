-- The metrics that have new series, by tenant.
SELECT tenant, groupUniqArray(name) AS names
FROM unseen
GROUP BY tenant
