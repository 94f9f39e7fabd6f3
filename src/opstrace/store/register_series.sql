-- Optimising a part while it is written would cost more than all the rest; merges do it.
INSERT INTO series (
    day, tenant, name, aspect, metric, series, label_set, labels, metric_name, host, tags, type, interval, unit,
    source_type
)
SELECT
    day, tenant, name, aspect, metric, series, label_set, labels, metric_name, host, tags, type, interval, unit,
    source_type
FROM unseen
LIMIT 1 BY tenant, day, series, aspect
SETTINGS max_partitions_per_insert_block = 0, optimize_on_insert = 0
