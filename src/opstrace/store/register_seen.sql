INSERT INTO seen SELECT seen_key(tenant, day, series) FROM unseen
