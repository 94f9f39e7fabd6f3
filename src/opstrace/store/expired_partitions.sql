-- Partitions of days before the oldest that is kept.
SELECT DISTINCT table, partition, partition_id
FROM system.parts
WHERE database = currentDatabase()
    AND table IN ('samples', 'started_samples', 'series', 'histograms', 'sketches', 'checks', 'check_messages', 'events', 'logs', 'books')
    AND active
    AND partition < if(table = 'logs', {oldest_log:String}, {oldest:String})
ORDER BY table, partition
