-- How many series each tenant has on each of the days that still grow.
SELECT tenant, day, uniq(series) AS added
FROM series
WHERE day >= toDate32(now('UTC')) - {days:UInt32}
GROUP BY tenant, day
