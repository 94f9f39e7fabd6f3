INSERT INTO seen SELECT sipHash64(tenant, day, series) FROM unseen
