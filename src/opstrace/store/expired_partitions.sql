-- Partitions of days before the oldest that is kept. Tables that are not kept by day have one partition, `tuple()`.
SELECT DISTINCT table, partition, partition_id
FROM system.parts
WHERE database = currentDatabase()
    AND partition != 'tuple()'
    AND active
    AND partition < if(table = 'logs', {oldest_log:String}, {oldest:String})
ORDER BY table, partition
