-- Fills the empty `seen` from the partitions that still grow.
INSERT INTO seen
SELECT seen_key(tenant, day, series)
FROM series
WHERE day >= toDate32(now('UTC')) - {days:UInt32}
