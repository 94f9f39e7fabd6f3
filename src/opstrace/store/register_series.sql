INSERT INTO series SELECT * FROM unseen LIMIT 1 BY tenant, day, series SETTINGS max_partitions_per_insert_block = 0
