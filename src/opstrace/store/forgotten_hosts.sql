-- Hosts that said nothing since the oldest day that is kept, and of which no series is left.
SELECT tenant, host
FROM
(
    SELECT tenant, host, max(seen) AS latest FROM hosts GROUP BY tenant, host
    UNION ALL
    SELECT tenant, host, max(since) FROM host_tags GROUP BY tenant, host
)
WHERE (tenant, host) NOT IN (SELECT tenant, host FROM series)
GROUP BY tenant, host
HAVING max(latest) < toDateTime64({oldest:String}, 3, 'UTC')
