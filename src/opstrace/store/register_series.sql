-- Optimising a part while it is written would cost more than all the rest; merges do it.
INSERT INTO series
SELECT *
FROM unseen
LIMIT 1 BY tenant, day, series, aspect
SETTINGS max_partitions_per_insert_block = 0, optimize_on_insert = 0
