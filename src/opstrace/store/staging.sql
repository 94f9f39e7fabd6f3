-- The rows of `series` that the commit under way adds. In memory only; emptied by every commit.
DROP TABLE IF EXISTS unseen;
CREATE TABLE unseen AS series ENGINE = Memory
;

-- What `seen` holds of a row of `series`. Its hash begins with a number that is new at each start and that nobody knows:
-- no tenant can choose series that are taken for another tenant's.
CREATE OR REPLACE FUNCTION seen_key AS (tenant, day, series) -> cityHash64({secret}, tenant, toInt32(day), series)
