-- Deletions that the engine has not finished, and why it failed the last time.
SELECT table, latest_fail_reason AS reason
FROM system.mutations
WHERE database = currentDatabase() AND table IN {tables:Array(String)} AND NOT is_done
