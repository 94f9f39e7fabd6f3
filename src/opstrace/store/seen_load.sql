-- Fills the empty `seen` from the partitions that still grow.
INSERT INTO seen
SELECT sipHash64(tenant, day, series)
FROM series
WHERE day >= toDate32(now('UTC')) - {days:UInt32}
