-- The series that were sent, for those who need all of what was said of them.
INSERT INTO staged (body, tenant, sent_name, host, type, interval, unit, source_type, sent_tags, points)
SELECT body, tenant, sent_name, host, type, interval, unit, source_type, sent_tags, points
FROM {sent}
SETTINGS max_threads = 1{settings}
